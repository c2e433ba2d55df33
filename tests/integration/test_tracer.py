# SPDX-License-Identifier: Apache-2.0
"""What the kernel did with one flow, as sys/tracer tells it (helpers/tracer), against what was built for the packets to meet."""
import concurrent.futures
import json
import pathlib
import random
import re
import socket
import struct
import subprocess

import pytest
from conntrack import inside
from harness import built, needs, veth, wait_for

pytestmark = needs("nft", "bpftool")

HELPER = "../tests/integration/helpers/tracer"
TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
SYN, SYN_ACK, RST_ACK = 2, 18, 20
# Addresses of the client, its node, the service, the server; by family.
NET = {4: dict(c="10.1.0.2", cgw="10.1.0.1", s="10.2.0.2", sgw="10.2.0.1", svc="10.96.0.1", n1="192.0.2.1", n2="192.0.2.2"),
       6: dict(c="fd01::2", cgw="fd01::1", s="fd02::2", sgw="fd02::1", svc="fd96::1", n1="2001:db8::1", n2="2001:db8::2")}
DNAT = """
table inet svc {
	chain d {
		type nat hook prerouting priority dstnat; policy accept;
		ip daddr 10.96.0.1 tcp dport 80 dnat ip to 10.2.0.2:8080 comment "front"
		ip6 daddr fd96::1 tcp dport 80 dnat ip6 to [fd02::2]:8080
		ip daddr 10.96.0.1 udp dport 53 dnat ip to 10.2.0.2:8053
	}
	chain f {
		type filter hook forward priority 0; policy accept;
	}
}
"""


class World:
    """client -- n1 -- n2 -- server, each a namespace; n1 has DNAT; between the nodes, directly or in VXLAN."""

    def __init__(self, netns, vxlan=False):
        self.c, self.n1, self.n2, self.s = self.spaces = [netns(x) for x in ("c", "n1", "n2", "s")]
        veth(self.c, "eth0", self.n1, "pod", ["10.1.0.2/24", "fd01::2/64"], ["10.1.0.1/24", "fd01::1/64"])
        veth(self.s, "eth0", self.n2, "pod", ["10.2.0.2/24", "fd02::2/64"], ["10.2.0.1/24", "fd02::1/64"])
        veth(self.n1, "eth0", self.n2, "eth0", ["192.0.2.1/24", "2001:db8::1/64"], ["192.0.2.2/24", "2001:db8::2/64"])
        for ns, side in ((self.c, "c"), (self.s, "s")):
            ns.batch(*(f"route add {to} via {NET[family][side + 'gw']}" for family, to in ((4, "0.0.0.0/0"), (6, "::/0"))))
        for ns in (self.n1, self.n2):
            ns.sh("cd /proc/sys/net; for key in ipv4/ip_forward ipv6/conf/all/forwarding; do echo 1 > $key; done")
        way = self.tunnel() if vxlan else {4: ("192.0.2.1", "192.0.2.2", "eth0"), 6: ("2001:db8::1", "2001:db8::2", "eth0")}
        for ns, beyond, other in ((self.n1, ("10.2.0.0/24", "fd02::/64"), 1), (self.n2, ("10.1.0.0/24", "fd01::/64"), 0)):
            ns.batch(*(f"route add {to} via {way[family][other]} dev {way[family][2]}" for to, family in zip(beyond, (4, 6), strict=True)))
        self.n1.nft(DNAT)

    def tunnel(self):
        ends = ((self.n1, 1, "02:00:00:00:00:01"), (self.n2, 2, "02:00:00:00:00:02"))
        for ns, i, mac in ends:
            _, other, other_mac = ends[2 - i]
            ns.batch(f"link add vxlan0 address {mac} mtu 1450 type vxlan id 42 local 192.0.2.{i} dstport 4789 nolearning",
                     f"addr add 10.9.0.{i}/24 dev vxlan0", f"addr add fd09::{i}/64 dev vxlan0 nodad", "link set vxlan0 up",
                     *(f"neigh add {address}{other} lladdr {other_mac} dev vxlan0 nud permanent" for address in ("10.9.0.", "fd09::")))
            ns.run("bridge", "fdb", "append", other_mac, "dev", "vxlan0", "dst", f"192.0.2.{other}", "self")
        return {4: ("10.9.0.1", "10.9.0.2", "vxlan0"), 6: ("fd09::1", "fd09::2", "vxlan0")}


RUNNING = []


@pytest.fixture(autouse=True)
def ended():
    """A test that fails leaves no tracer behind."""
    yield
    while RUNNING:
        p = RUNNING.pop()
        if p.poll() is None:
            p.kill()
            p.communicate()


class Tracer:
    """helpers/tracer, until end() gives its events."""

    def __init__(self, proto, value, spaces, rules=(), args=()):
        self.p = subprocess.Popen([built(HELPER), *args, str(proto), str(value),
                                   *(("+" if s in rules else "") + f"/run/netns/{s.name}" for s in spaces)],
                                  text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        RUNNING.append(self.p)
        _, means, *note = self.p.stdout.readline().split(maxsplit=2)
        self.means, self.note = int(means), "".join(note)

    def end(self):
        out, _ = self.p.communicate(timeout=20)
        assert self.p.returncode == 0
        *events, last = map(json.loads, out.splitlines())
        assert last == {"lost": 0}
        return events


def follow(proto, value, spaces, rules=(), sockets=False):
    t = Tracer(proto, value, spaces, rules, ("--sockets",) if sockets else ())
    assert t.means & 3 == (2 if sockets else 1), t.note
    t.sockets = sockets
    return t


@pytest.fixture(params=["ebpf", "sockets"])
def trace(request):
    """Follows a signature; by the kernel's programs, and without them."""
    return lambda *args, **kw: follow(*args, **kw, sockets=request.param == "sockets")


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def signature():
    return random.getrandbits(32)


def tcp_probe(ns, dst, port, seq):
    """Connects with that first sequence number; what came of it."""
    repair, queue, queue_seq, send_queue = 19, 20, 21, 2
    with inside(ns):
        s = socket.socket(family_of(dst))
    s.settimeout(0.4)
    for option, value in ((repair, 1), (queue, send_queue), (queue_seq, struct.unpack("i", struct.pack("I", seq))[0]), (repair, 0)):
        s.setsockopt(socket.IPPROTO_TCP, option, value)
    try:
        s.connect((dst, port))
        return "connected"
    except OSError as e:
        return type(e).__name__
    finally:
        s.close()


def udp_socket(ns):
    with inside(ns):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(5)
    return s


def listen(ns, address, port, kind=socket.SOCK_STREAM):
    with inside(ns):
        s = socket.socket(family_of(address), kind)
    s.settimeout(5)
    s.bind((address, port))
    if kind == socket.SOCK_STREAM:
        s.listen()
    return s


def way(events, flags=None):
    """(space, in or out, device) of a packet, in order of time."""
    seen = [x for x in events if x["kind"] in ("in", "out") and (flags is None or x["flags"] == flags)]
    return [(x["space"], x["kind"], x["device"]) for x in sorted(seen, key=lambda x: x["at"])]


def only(events, **wanted):
    return [x for x in events if all(x.get(k) == v for k, v in wanted.items())]


# ---- the way there and back

def there(vxlan):
    """Of the first packet, in World's spaces."""
    hops = [(0, "out", "eth0"), (1, "in", "pod"), (1, "out", "eth0"), (2, "in", "eth0"), (2, "out", "pod"), (3, "in", "eth0")]
    return hops if not vxlan else hops[:2] + [(1, "out", "vxlan0")] + hops[2:4] + [(2, "in", "vxlan0")] + hops[4:]


def back(vxlan):
    return [(space, "in" if what == "out" else "out", device) for space, what, device in reversed(there(vxlan))]


@pytest.mark.parametrize("vxlan", (False, True), ids=("direct", "vxlan"))
def test_there_and_back(netns, trace, vxlan):
    w = World(netns, vxlan)
    for family in (4, 6):
        there_and_back(w, trace, family, vxlan)


def there_and_back(w, trace, family, vxlan):
    a, seq = NET[family], signature()
    server = listen(w.s, a["s"], 8080)
    assert tcp_probe(w.c, a["svc"], 80, signature()) == "connected"  # neighbours are known now
    t = trace(TCP, seq, w.spaces, rules=(w.n1, w.n2))
    assert tcp_probe(w.c, a["svc"], 80, seq) == "connected"
    events = t.end()
    assert way(events, flags=SYN) == there(vxlan)
    assert way(events, flags=SYN_ACK) == back(vxlan)
    for x in only(events, flags=SYN):
        _, src, sport, dst, dport = x["flow"].split()
        assert (src, f"{dst} {dport}") == (a["c"], f"{a['svc']} 80" if x["space"] == 0 or (x["space"], x["device"]) == (1, "pod")
                                           else f"{a['s']} 8080")
        outside = vxlan and x["device"] == "eth0" and x["space"] in (1, 2) and x["kind"] in ("in", "out")
        assert x.get("outer") == ("17 192.0.2.1 192.0.2.2 42" if outside else None)
    front = [x for x in only(events, kind="rule", table="svc", chain="d") if x["type"] == 3]
    assert [x["space"] for x in front] == [1] and front[0]["flow"].split()[3:] == [a["svc"], "80"]
    assert [(x["space"], x["ct"]) for x in only(events, kind="ct") if "> " + a["s"] in x["ct"].replace("[", "")]
    if not t.sockets:
        one_after_the_other(events, family, vxlan)
    server.close()


def one_after_the_other(events, family, vxlan):
    """What only the kernel's programs tell: one packet from end to end, routes, and rules in their place."""
    a = NET[family]
    syn, ack = only(events, flags=SYN), only(events, flags=SYN_ACK)
    assert len({x["packet"] for x in syn}) == len({x["packet"] for x in ack}) == 1
    assert syn[0]["packet"] and syn[0]["packet"] != ack[0]["packet"]
    taken = only(events, kind="consume", flags=SYN)
    assert [x["space"] for x in taken] == [3] and taken[0]["place"].startswith("tcp_rcv_state_process+")
    hop = {(x["space"], x["kind"], x["device"]): events.index(x) for x in syn}
    device = "vxlan0" if vxlan else "eth0"
    rule = events.index(next(x for x in events if x.get("table") == "svc"))
    assert hop[1, "in", "pod"] < rule < hop[1, "out", device]
    route = [x for x in only(events, kind="route", space=1, packet=syn[0]["packet"], error=0) if x["flow"].split()[3] == a["s"]]
    via = {(4, False): "192.0.2.2", (4, True): "10.9.0.2", (6, False): "2001:db8::2", (6, True): "fd09::2"}[family, vxlan]
    assert via in [x["via"] for x in route]
    assert rule < events.index(route[0]) < hop[1, "out", device]


def test_only_what_bears_the_signature(netns, trace):
    w, a, seq = World(netns), NET[4], signature() | 1
    block = seq & ~63 | 64  # as the command line chooses it
    server = listen(w.s, a["s"], 8080)
    for own in (seq, block):
        t = trace(TCP, own, w.spaces, rules=(w.n1,))
        for other in (own - 100, own + 64, own + 2 ** 31):
            assert tcp_probe(w.c, a["svc"], 80, other % 2 ** 32) == "connected"
        c = udp_socket(w.c)
        c.sendto(own.to_bytes(8, "big"), (a["svc"], 80))
        c.close()
        assert t.end() == []
    for own in (seq, block, 2 ** 32 - 1):  # the last one's numbers begin anew at once
        t = trace(TCP, own, w.spaces, rules=(w.n1,))
        assert tcp_probe(w.c, a["svc"], 80, own) == "connected"
        assert len(way(t.end(), flags=SYN_ACK)) == len(back(False))
    server.close()


def test_two_at_once(netns, trace):
    """nftables tells each of them of the other's packets, too: of the same kind, on the same way, at the same time."""
    w, a, seqs, nonce = World(netns), NET[4], (signature(), signature()), random.getrandbits(64)
    server, asked = listen(w.s, a["s"], 8080), listen(w.s, a["s"], 8053, socket.SOCK_DGRAM)
    running = [trace(TCP, seq, w.spaces, rules=(w.n1, w.n2)) for seq in seqs] + [trace(UDP, nonce, w.spaces, rules=(w.n1, w.n2))]
    ports = []
    for seq in (*seqs, *seqs):
        assert tcp_probe(w.c, a["svc"], 80, seq) == "connected"
        with inside(w.s):
            ports.append(server.accept()[1][1])
    c = udp_socket(w.c)
    c.sendto(nonce.to_bytes(8, "big"), (a["svc"], 53))
    ports.append(asked.recvfrom(100)[1][1])
    for t, own in zip(running, ({ports[0], ports[2]}, {ports[1], ports[3]}, {ports[4]}), strict=True):
        rules = only(t.end(), kind="rule")
        ends = [x["flow"].split() for x in rules if "flow" in x]
        assert {int(sport if src == a["c"] else dport) for _, src, sport, _, dport in ends} == own
        assert {x["space"] for x in rules} == {1, 2}
        assert len({x["table"] for x in rules if x["table"].startswith("fairlead-trace-")}) == 2  # one in each node
        assert len([x for x in only(rules, table="svc", chain="d") if x["type"] == 3]) == len(own)
    for s in (c, asked, server):
        s.close()


def test_only_namespaces_asked_for(netns, trace):
    w, a, seq = World(netns), NET[4], signature()
    server = listen(w.s, a["s"], 8080)
    t = trace(TCP, seq, [w.n2], rules=(w.n2,))
    assert tcp_probe(w.c, a["svc"], 80, seq) == "connected"
    events = t.end()
    assert way(events, flags=SYN) == [(0, "in", "eth0"), (0, "out", "pod")]
    assert {x["space"] for x in events} == {0}
    server.close()


@pytest.mark.parametrize("echoes", (True, False), ids=("echo", "other"))
def test_udp(netns, trace, echoes):
    """An answer without the signature: known by its ports, which packet sockets' filter cannot learn."""
    w, a, nonce = World(netns), NET[4], random.getrandbits(64)
    server = listen(w.s, a["s"], 8053, socket.SOCK_DGRAM)
    t = trace(UDP, nonce, w.spaces, rules=(w.n1, w.n2))
    c = udp_socket(w.c)
    c.connect((a["svc"], 53))
    c.send(nonce.to_bytes(8, "big") + b"question")
    data, peer = server.recvfrom(100)
    server.sendto(data if echoes else b"an answer of its own", peer)
    c.recv(100)
    events = t.end()
    there_too = [x for x in events if x["kind"] in ("in", "out") and x["flow"].split()[1] == a["c"]]
    assert way(there_too) == there(False)
    answers = [x for x in events if x["kind"] in ("in", "out") and x["flow"].split()[3] == a["c"]]
    assert way(answers) == ([] if t.sockets and not echoes else back(False))
    answered = [x for x in only(events, kind="rule", chain="postrouting", space=1) if x.get("flow", "").endswith(a["c"] + " " + str(
        c.getsockname()[1]))]
    assert answered and answered[0]["flow"].split()[1:3] == [a["svc"], "53"]
    c.close()
    server.close()


@pytest.mark.parametrize("family", (4, 6))
def test_ping(netns, trace, family):
    w, a, nonce = World(netns), NET[family], random.getrandbits(64)
    w.c.run("ping", "-c1", "-W2", a["s"])
    t = trace(ICMP if family == 4 else ICMPV6, nonce, w.spaces)
    w.c.run("ping", "-c1", "-W2", "-s8", "-p", f"{nonce:016x}", a["s"])
    events = t.end()
    request, reply = (8, 0) if family == 4 else (128, 129)
    assert way(only(events, type=request)) == there(False)
    assert way(only(events, type=reply)) == back(False)


# ---- where it ends

def drops(events):
    """Not of errors that quote the packet, which end in the host that they are for."""
    return [(x["space"], x["reason"], x["place"].split("+")[0]) for x in only(events, kind="drop") if "quoted" not in x]


def ends(w, dst, port, expected, rules=()):
    """One TCP probe to its end, told by the programs in the kernel: packet sockets see no drops."""
    seq = signature()
    t = follow(TCP, seq, w.spaces, rules)
    assert tcp_probe(w.c, dst, port, seq) == expected
    return t.end()


@pytest.mark.parametrize("hook", ("forward", "prerouting", "postrouting"))
def test_dropped_by_a_rule(netns, hook):
    w = World(netns)
    w.n2.nft(f"table ip other {{\nchain c {{\ntype filter hook {hook} priority 10;\ntcp dport 8080 counter drop\n}}\n}}\n")
    events = ends(w, NET[4]["s"], 8080, "TimeoutError", rules=(w.n2,))
    assert set(drops(events)) == {(2, "NETFILTER_DROP", "nft_do_chain")}
    told = only(events, kind="rule", table="other", chain="c", type=3)
    assert told and {x["verdict"] for x in told} == {0}
    first = [x for x in events if x["kind"] in ("rule", "drop") and x.get("table") != told[0]["table"]]
    assert events.index(told[0]) < events.index(next(x for x in first if x["kind"] == "drop"))


def test_closed_port(netns):
    w = World(netns)
    events = ends(w, NET[4]["s"], 8080, "ConnectionRefusedError")
    assert (3, "NO_SOCKET", "tcp_v4_rcv") in drops(events)
    assert way(events, flags=RST_ACK) == back(False)


def test_reverse_path(netns):
    w = World(netns)
    w.n2.ip("route", "del", "10.1.0.0/24")
    w.n2.sysctl("net.ipv4.conf.all.rp_filter", 1)
    events = ends(w, NET[4]["s"], 8080, "TimeoutError")
    assert {(space, reason) for space, reason, _ in drops(events)} == {(2, "IP_RPFILTER")}


def test_no_route(netns):
    """The node answers with an ICMP error, which quotes the packet and so is followed back."""
    w = World(netns)
    w.n1.ip("route", "add", "unreachable", "10.2.0.2/32")
    events = ends(w, NET[4]["s"], 8080, "OSError")
    lookups = only(events, kind="route", space=1, error=-113)
    assert lookups and lookups[0]["flow"].split()[3] == NET[4]["s"]
    errors = [x for x in events if x.get("quoted") and x["kind"] == "in"]
    assert errors and (errors[0]["space"], errors[0]["type"], errors[0]["code"]) == (0, 3, 1)
    assert errors[0]["quoted"].split()[3:] == [NET[4]["s"], "8080"]
    assert {space for space, *_ in drops(events)} == {1}


def test_dropped_where_it_is_sent(netns):
    """Before any device: by the sender's own rules."""
    w = World(netns)
    w.c.nft("table ip other {\nchain c {\ntype filter hook output priority 0;\ntcp dport 8080 drop\n}\n}\n")
    events = ends(w, NET[4]["s"], 8080, "TimeoutError", rules=(w.c,))
    assert set(drops(events)) == {(0, "NETFILTER_DROP", "nft_do_chain")}
    assert way(events) == []


def test_ends_elsewhere(netns):
    """What becomes of a packet in a namespace that was not asked for is not told, though it is the same packet still."""
    w, seq = World(netns), signature()
    w.n2.nft("table ip other {\nchain c {\ntype filter hook forward priority 10;\ntcp dport 8080 drop\n}\n}\n")
    here, there_too = follow(TCP, seq, [w.c, w.n1], rules=(w.n1,)), follow(TCP, seq, [w.n2])
    assert tcp_probe(w.c, NET[4]["s"], 8080, seq) == "TimeoutError"
    events = here.end()
    assert way(events, flags=SYN)[:3] == there(False)[:3]
    assert drops(events) == []
    assert {x["oif"] for x in only(events, kind="route", space=1)} == {3}  # its eth0: not n2's way to the server
    assert set(drops(there_too.end())) == {(0, "NETFILTER_DROP", "nft_do_chain")}


# ---- bounds, and what is left

def test_floods_are_cut(netns, trace):
    """Of 3 000 packets with the signature, of three and more events each."""
    w, nonce = World(netns), random.getrandbits(64)
    t = trace(UDP, nonce, w.spaces, rules=(w.n1, w.n2))
    c = udp_socket(w.c)
    for _ in range(3000):
        c.sendto(nonce.to_bytes(8, "big"), (NET[4]["s"], 9))
    out, _ = t.p.communicate(timeout=60)
    *events, last = map(json.loads, out.splitlines())
    assert way(events)[:6] == there(False)
    assert last["lost"] > 1000
    if not t.sockets:
        assert len(only(events, kind="rule")) + len(way(events)) <= 8192
    c.close()


def held_by(pid):
    """Ids of the programs, maps and links that the process has open."""
    held = {"prog": set(), "map": set(), "link": set()}
    for info in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        text = info.read_text()
        for what in held:
            found = re.search(rf"^{what}_id:\s*(\d+)", text, re.M)
            if found and (what != "prog" or "link_id:" not in text):
                held[what].add(int(found[1]))
    return held


def there_now(what):
    shown = subprocess.run(["bpftool", "-j", what], capture_output=True, text=True, check=True)
    return {x["id"] for x in json.loads(shown.stdout)}


def shared_programs(maps):
    """Ids of the programs that use one of these maps: a set's, whoever holds it."""
    shown = subprocess.run(["bpftool", "-j", "prog"], capture_output=True, text=True, check=True)
    return {x["id"] for x in json.loads(shown.stdout) if maps & set(x.get("map_ids", ()))}


def test_killed_while_it_opens(netns):
    """At each stage, counted by what it holds already: its programs, maps and links, and the node's table."""
    ns, cut_short = netns("n"), 0
    for stage in range(0, 16, 2):
        t = subprocess.Popen([built(HELPER), str(TCP), str(signature()), f"+{ns.path}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        RUNNING.append(t)
        held = {}

        def reached(pid=t.pid, held=held, stage=stage):
            held.update(held_by(pid))
            return sum(map(len, held.values())) >= stage
        wait_for(reached, 20, f"{stage} objects", every=0)
        t.kill()
        cut_short += not t.communicate()[0]
        wait_for(lambda held=held: not any(ids & there_now(what) for what, ids in held.items()), 10, "nothing")
        assert ns.ruleset() == ""
    assert cut_short >= 5


def follow_each(w, seq):
    """As a lab's agents do: each node with its pod, all begun at once."""
    groups = ([w.c, w.n1], [w.n2, w.s])
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return list(pool.map(lambda g: follow(TCP, seq, g, rules=[x for x in g if x in (w.n1, w.n2)]), groups))


def both_ways(there_too, offset):
    """What the first packet of World meets in two of its spaces."""
    return [(space - offset, what, device) for space, what, device in there_too if 0 <= space - offset < 2]


def test_shared(netns):
    """Two of one kernel follow one signature: by one set of programs, each told of its own namespaces, in order."""
    w, seq = World(netns), signature()
    server = listen(w.s, NET[4]["s"], 8080)
    near, far = follow_each(w, seq)
    other = follow(TCP, seq + 64, w.spaces)  # has a set of its own
    held, apart = [held_by(t.p.pid) for t in (near, far)], held_by(other.p.pid)
    assert held[0]["link"] == held[1]["link"] and len(held[0]["link"]) == 4
    assert len(shared_programs(held[0]["map"] | held[1]["map"])) == 5
    assert len(held[0]["map"] - held[1]["map"]) == 1  # its ring
    assert not held[0]["link"] & apart["link"] and len(shared_programs(apart["map"])) == 5
    assert tcp_probe(w.c, NET[4]["svc"], 80, seq) == "connected"
    seen = [t.end() for t in (near, far)]
    for events, offset in zip(seen, (0, 2), strict=True):
        assert way(events, flags=SYN) == both_ways(there(False), offset)
        assert way(events, flags=SYN_ACK) == both_ways(back(False), offset)
        assert {x["space"] for x in only(events, kind="rule")} == {1 - offset // 2}
    assert only(seen[0], kind="rule", table="svc", chain="d", type=3) and not only(seen[1], kind="rule", table="svc")
    assert len({x["packet"] for events in seen for x in only(events, flags=SYN)}) == 1
    assert other.end() == []
    wait_for(lambda: not shared_programs(set().union(*(x["map"] for x in (*held, apart)))))
    server.close()


@pytest.mark.parametrize("first", (True, False), ids=("loader", "joiner"))
def test_shared_until_the_last_ends(netns, first):
    """Killed: whoever loaded the programs, or whoever joined. The other goes on; a third joins it; then nothing stays."""
    w, seq = World(netns), signature()
    server = listen(w.s, NET[4]["s"], 8080)
    loader, joiner = follow(TCP, seq, [w.c, w.n1], rules=(w.n1,)), follow(TCP, seq, [w.n2], rules=(w.n2,))
    links, maps = held_by(loader.p.pid)["link"], held_by(loader.p.pid)["map"]
    assert held_by(joiner.p.pid)["link"] == links
    ended, stays = (loader, joiner) if first else (joiner, loader)
    ended.p.kill()
    ended.p.communicate()
    third = follow(TCP, seq, [w.s])
    assert held_by(third.p.pid)["link"] == links
    assert tcp_probe(w.c, NET[4]["s"], 8080, seq) == "connected"
    assert way(third.end(), flags=SYN) == [(0, "in", "eth0")]
    assert way(stays.end(), flags=SYN) == ([(0, "in", "eth0"), (0, "out", "pod")] if first else there(False)[:3])
    wait_for(lambda: not links & there_now("link") and not shared_programs(maps))
    server.close()


def test_namespace_of_two(netns):
    """Who asks for what another is told already, as after a kill, has programs of its own, and both are told."""
    w, seq = World(netns), signature()
    server = listen(w.s, NET[4]["s"], 8080)
    running = [follow(TCP, seq, w.spaces), follow(TCP, seq, w.spaces)]
    assert not held_by(running[0].p.pid)["link"] & held_by(running[1].p.pid)["link"]
    assert tcp_probe(w.c, NET[4]["s"], 8080, seq) == "connected"
    for t in running:
        assert way(t.end(), flags=SYN) == there(False)
    server.close()


@pytest.mark.parametrize("end", ("close", "kill"))
def test_nothing_stays(netns, trace, end):
    w = World(netns)
    before = w.n1.ruleset()
    t = trace(TCP, signature(), w.spaces, rules=(w.n1, w.n2))
    held = held_by(t.p.pid)
    if not t.sockets:
        assert len(held["link"]) == 4 and len(shared_programs(held["map"])) == 5
        assert all(ids <= there_now(what) for what, ids in held.items())
    assert "fairlead-trace" in w.n1.ruleset() and "fairlead-trace" in w.n2.ruleset()
    if end == "kill":
        t.p.kill()
    t.p.communicate()
    wait_for(lambda: w.n1.ruleset() == before and "fairlead-trace" not in w.n2.ruleset())
    wait_for(lambda: not any(ids & there_now(what) for what, ids in held.items()))
