# SPDX-License-Identifier: Apache-2.0
"""The reader of nftables' trace events (sys/nftrace) beside `nft monitor trace`, on the same packets."""
import json
import re
import socket
import subprocess

import pytest
from conntrack import inside
from harness import built, needs, veth, wait_for

pytestmark = needs("nft")

CLIENT, NEAR, FAR, SERVER = ("10.0.1.2", "fd01::2"), ("10.0.1.1", "fd01::1"), ("10.0.2.1", "fd02::1"), ("10.0.2.2", "fd02::2")
RULES = """
table inet t {
	chain pre {
		type nat hook prerouting priority dstnat; policy accept;
		tcp dport 80 jump service comment "front"
	}
	chain service {
		meta mark set 0x00000012
		meta nfproto ipv4 meta l4proto tcp dnat ip to 10.0.2.2:8080 comment "to the pod"
		meta nfproto ipv6 meta l4proto tcp dnat ip6 to [fd02::2]:8080
	}
	chain across {
		type filter hook forward priority filter; policy accept;
		tcp dport 8080 jump look
		udp dport 9 counter packets 0 bytes 0 drop comment "not that"
	}
	chain look {
		meta mark 0x00000012 return
		tcp sport 7 drop
	}
	chain post {
		type nat hook postrouting priority srcnat; policy accept;
		tcp dport 8080 masquerade fully-random
	}
}
"""
MONITOR = re.compile(r"trace id (\w+) inet (\S+) (\S+) (?:rule (?P<rule>.*) \(verdict (?P<verdict>.*)\)|verdict (?P<end>.*)"
                     r"|policy (?P<policy>\w+).*?) ?\n")


@pytest.fixture
def path(netns):
    """Client, router with RULES, server."""
    client, router, server = netns("c"), netns("r"), netns("s")
    veth(client, "eth0", router, "toc", [f"{CLIENT[0]}/24", f"{CLIENT[1]}/64"], [f"{NEAR[0]}/24", f"{NEAR[1]}/64"])
    veth(server, "eth0", router, "tos", [f"{SERVER[0]}/24", f"{SERVER[1]}/64"], [f"{FAR[0]}/24", f"{FAR[1]}/64"])
    for ns, gateways in ((client, NEAR), (server, FAR)):
        ns.ip("route", "add", "default", "via", gateways[0])
        ns.ip("-6", "route", "add", "default", "via", gateways[1])
    router.sysctl("net.ipv4.ip_forward", 1)
    router.sysctl("net.ipv6.conf.all.forwarding", 1)
    router.nft(RULES)
    return client, router, server


class Reader:
    """helpers/nftrace, until end() gives its events and how many were lost."""

    def __init__(self, ns, *args):
        self.p = subprocess.Popen(ns.argv(built("../tests/integration/helpers/nftrace"), *map(str, args)), text=True,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.table = self.p.stdout.readline().split()[1]

    def end(self):
        out, _ = self.p.communicate(timeout=20)
        assert self.p.returncode == 0
        *events, last = map(json.loads, out.splitlines())
        return events, last["lost"]


def listen(ns, address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with inside(ns):
        s = socket.socket(family)
    s.settimeout(5)
    s.bind((address, 8080))
    s.listen()
    return s


def connect(ns, address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with inside(ns):
        s = socket.socket(family)
    s.settimeout(5)
    s.connect((address, port))
    return s


def watched(text, table):
    """What nft saw of other tables than the tracing one: (id, chain, what, rule or policy)."""
    out = []
    for m in MONITOR.finditer(text):
        if m[2] == table:
            continue
        if m["policy"]:
            out.append((int(m[1], 16), m[3], "policy", m["policy"]))
        elif m["rule"]:
            rule = re.sub(r"packets \d+ bytes \d+ ?", "", m["rule"])
            out.append((int(m[1], 16), m[3], m["verdict"], re.sub(r" comment \".*\"", "", rule)))
    return out


def ours(events, table):
    out = []
    for x in events:
        if x["table"] == table or x["type"] == "return":  # nft says nothing of a chain's end
            continue
        what = "policy" if x["type"] == "policy" else x["verdict"]
        rule = ["drop", "accept"][x["policy"]] if what == "policy" else x["rule"]
        rule = re.sub(r" comment \".*\"", "", rule)
        out.append((x["id"], x["chain"], what, rule.replace("counter packets 0 bytes 0", "counter")))
    return out


def first_packet(events):
    """Its events: an id may come again for a later packet, which then begins as the first did."""
    same = [x for x in events if x["id"] == events[0]["id"]]
    begins = [i for i, x in enumerate(same) if (x["chain"], x["table"]) == (same[0]["chain"], same[0]["table"]) and "saddr" in x]
    return same[:begins[1] if len(begins) > 1 else None]


@pytest.mark.parametrize("v6", [False, True], ids=["v4", "v6"])
def test_as_nft_sees_it(path, start, v6):
    """Connections and a datagram that is dropped: the same events of each packet in the same order, and the same
    rules by handle."""
    client, router, server = path
    monitor = start(["stdbuf", "-oL", "nft", "monitor", "trace"], ns=router)
    reader = Reader(router, 0, 0, NEAR[v6], SERVER[v6])
    monitored = lambda: watched(monitor.log(), reader.table)
    with listen(server, SERVER[v6]) as at:
        def sees_monitor():
            """nft is slow to start: connect until it shows one."""
            connect(client, NEAR[v6], 80).close()
            at.accept()[0].close()
            return monitored()
        wait_for(sees_monitor)
        mark = f"sport {12345 + v6}"
        with inside(client):
            u = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
        with connect(client, NEAR[v6], 80), at.accept()[0], u:
            u.bind(("", 12345 + v6))
            u.sendto(b"x", (SERVER[v6], 9))
            wait_for(lambda: mark in monitor.log() and monitored()[-1][2] == "drop", what="the dropped datagram in nft")
            theirs = monitored()
    events, lost = reader.end()
    assert lost == 0
    mine = ours(events, reader.table)
    assert {x[0] for x in theirs} <= {x[0] for x in mine}
    for packet in {x[0] for x in theirs}:  # processors tell of several packets at once, and nft came later
        seen, by_nft = ([x for x in events if x[0] == packet] for events in (mine, theirs))
        assert any(seen[i:i + len(by_nft)] == by_nft for i in range(len(seen))), (seen, by_nft)
    said = {x[1:] for x in mine}
    assert ("pre", "jump service", "tcp dport 80 jump service") in said
    assert ("look", "return", "meta mark 0x00000012 return") in said
    assert ("across", "policy", "accept") in said


def test_headers_before_and_after(path):
    """The same packet at each hook, where no other table has a chain too; comments by handle."""
    client, router, server = path
    reader = Reader(router, 6, 80, NEAR[0])
    with listen(server, SERVER[0]) as at, connect(client, NEAR[0], 80) as c, at.accept()[0] as s:
        sport, seen = c.getsockname()[1], s.getpeername()
    events, lost = reader.end()
    assert lost == 0
    first = first_packet(events)
    heads = [(x["chain"], x["saddr"], x["sport"], x["daddr"], x["dport"]) for x in first if "saddr" in x]
    assert heads[0] == ("prerouting", CLIENT[0], sport, NEAR[0], 80)
    assert ("translated", CLIENT[0], sport, SERVER[0], 8080) in heads
    assert ("forward", CLIENT[0], sport, SERVER[0], 8080) in heads
    assert heads[-1] == ("postrouting", seen[0], seen[1], SERVER[0], 8080) and seen[0] == FAR[0]
    order = [x["chain"] for x in first if "saddr" in x]
    assert order == ["prerouting", "pre", "translated", "forward", "across", "post", "postrouting"]
    links = {d["ifname"]: d["ifindex"] for d in router.ip("link")}
    assert {x["iif"] for x in first if "saddr" in x} == {links["toc"]}
    assert {x["oif"] for x in first if "saddr" in x} == {0, links["tos"]}
    assert first[-1]["mark"] == 0x12 and first[0]["mark"] == 0
    comments = {x["comment"]: x["chain"] for x in first if "comment" in x}
    assert comments == {"front": "pre", "to the pod": "service"}
    if any(x["ct"] for x in first):  # Linux 6.16
        assert all(x["ct_state"] == 8 for x in first if x["ct"])  # new
        assert any(x["ct_state"] == 2 for x in events if x["ct"])  # established


def test_only_that_flow(path):
    """Other ports, protocols and destinations are not traced, and nothing is once it has ended."""
    client, router, server = path
    reader = Reader(router, 6, 80, NEAR[0])
    names = router.run("nft", "list", "tables").stdout
    assert reader.table in names
    refused = router.run("nft", "add", "rule", "inet", reader.table, "input", "drop", check=False)
    assert refused.returncode  # the table is its owner's
    with listen(server, SERVER[0]) as at:
        for address, port in ((SERVER[0], 8080), (NEAR[0], 80)):
            connect(client, address, port).close()
            at.accept()[0].close()
    events, _ = reader.end()
    assert {x["dport"] for x in events if x["chain"] == "prerouting" and "dport" in x} == {80}
    wait_for(lambda: router.run("nft", "list", "tables").stdout == "table inet t\n")


def test_killed(path):
    """Nothing of it stays."""
    _, router, _ = path
    readers = [Reader(router, 6, 80, NEAR[0]), Reader(router, 6, 80, NEAR[0])]
    assert router.run("nft", "list", "tables").stdout.count("fairlead-trace-") == 2
    for r in readers:
        r.p.kill()
        r.p.communicate()
    wait_for(lambda: router.run("nft", "list", "tables").stdout == "table inet t\n")


def test_more_than_it_can_hold(path):
    """A reader that does not read: the queue is bounded, and it knows how many events it lost."""
    client, router, _ = path
    deaf, reader = Reader(router, "deaf", 17, 9, SERVER[0]), Reader(router, 17, 9, SERVER[0])
    n = 3000
    with inside(client):
        u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with u:
        for _ in range(n):
            u.sendto(b"x", (SERVER[0], 9))
    def counted():
        text = router.run("nft", "list", "chain", "inet", "t", "across").stdout
        return f"counter packets {n} " in text
    wait_for(counted)
    events, lost = reader.end()
    _, deaf_lost = deaf.end()
    per_packet = len(first_packet(events))
    assert 5 < per_packet < 30
    assert len(events) + lost == n * per_packet  # all that were not lost were read
    assert 1000 < n * per_packet - deaf_lost < 10000  # what its queue held
