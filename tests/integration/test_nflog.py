# SPDX-License-Identifier: Apache-2.0
"""The reader of `log group` rules (sys/nflog) beside what was sent and nft's counters."""
import json
import signal
import socket
import struct
import subprocess
import threading

import pytest
from conntrack import inside
from harness import built, needs, veth, wait_for

pytestmark = needs("nft")

GROUP = 4077
FROM, TO = ("10.0.1.2", "fd01::2"), ("10.0.1.1", "fd01::1")
RULES = f"""
table inet t {{
	chain in {{
		type filter hook input priority filter; policy accept;
		udp dport 9 counter log prefix "to discard" group {GROUP} drop
		meta l4proto {{ tcp, sctp, icmp, icmpv6 }} log prefix "others" group {GROUP} accept
		ip frag-off & 0x1fff != 0 log prefix "later" group {GROUP} drop
		meta l4proto udp log group {GROUP} accept
	}}
	chain early {{
		type filter hook prerouting priority -450; policy accept;
		ip frag-off & 0x1fff != 0 log prefix "later" group {GROUP} drop
		exthdr frag exists log prefix "fragment6" group {GROUP} drop
	}}
}}
"""


@pytest.fixture
def ends(netns):
    """Sender, and receiver with RULES."""
    a, b = netns("a"), netns("b")
    veth(a, "eth0", b, "eth0", [f"{FROM[0]}/24", f"{FROM[1]}/64"], [f"{TO[0]}/24", f"{TO[1]}/64"])
    b.nft(RULES)
    return a, b


class Reader:
    """helpers/nflog: its packets as they come, until end() gives all and how many were lost."""

    def __init__(self, ns, *args):
        self.p = subprocess.Popen(ns.argv(built("../tests/integration/helpers/nflog"), *map(str, args)), text=True,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.packets = []
        self.ready = self.p.stdout.readline() == "ready\n"
        self.thread = threading.Thread(target=lambda: self.packets.extend(map(json.loads, self.p.stdout)), daemon=True)
        self.thread.start()

    def end(self, n=0):
        """After n packets: the kernel keeps them back for a moment."""
        wait_for(lambda: len(self.packets) >= n, what=f"{n} packets")
        self.p.stdin.close()
        self.thread.join(20)
        assert self.p.wait(20) == 0
        return self.packets[:-1], self.packets[-1]["lost"]


def send(ns, to, proto, payload, options=b"", **opt):
    """A packet whose IP header the kernel writes."""
    v6 = ":" in to
    with inside(ns):
        s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_RAW, proto)
    with s:
        if options:
            s.setsockopt(*((socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS) if v6 else (socket.IPPROTO_IP, socket.IP_OPTIONS)), options)
        s.sendto(payload, (to, 0))


def ports(sport, dport, n=12):
    return struct.pack(">HH", sport, dport) + bytes(n)


def counted(ns):
    text = ns.run("nft", "-j", "list", "chain", "inet", "t", "in").stdout
    return next(s["counter"]["packets"] for r in json.loads(text)["nftables"] if "rule" in r
                for s in r["rule"]["expr"] if "counter" in s)


@pytest.mark.parametrize("v6", [False, True], ids=["v4", "v6"])
def test_packets(ends, v6):
    """Every protocol with its ports, behind IPv4 options and IPv6 extension headers too."""
    a, b = ends
    reader = Reader(b, GROUP)
    icmp = (58, bytes([128, 0]) + bytes(6)) if v6 else (1, bytes([8, 0]) + struct.pack(">H", 0xf7ff) + bytes(4))
    options = bytes([17, 0, 1, 4, 0, 0, 0, 0]) if v6 else bytes([1, 1, 1, 0])
    send(a, TO[v6], 17, struct.pack(">HHHH", 4001, 9, 8, 0))
    send(a, TO[v6], 6, ports(4002, 80, 16))
    send(a, TO[v6], 132, ports(4003, 81))
    send(a, TO[v6], *icmp)
    send(a, TO[v6], 17, struct.pack(">HHHH", 4004, 9, 8, 0), options)
    send(a, TO[v6], 17, struct.pack(">HHHH", 4005, 10, 8, 0))
    wait_for(lambda: reader.packets[-1]["sport"] == 4005)
    packets, lost = reader.end()
    assert lost == 0
    link = next(d["ifindex"] for d in b.ip("link") if d["ifname"] == "eth0")
    assert {(p["src"], p["dst"], p["iif"], p["oif"], p["hook"], p["group"]) for p in packets if p["proto"] != 58 or p["icmp"][0] == 128} == \
        {(FROM[v6], TO[v6], link, 0, 1, GROUP)}
    assert [p["seq"] for p in packets] == list(range(len(packets)))
    said = [(p["prefix"], p["proto"], p["sport"], p["dport"], p.get("icmp")) for p in packets]
    assert [x for x in said if x[1] != 58 or x[4] == [128, 0]] == [  # beside neighbour discovery
        ("to discard", 17, 4001, 9, None), ("others", 6, 4002, 80, None), ("others", 132, 4003, 81, None),
        ("others", icmp[0], 0, 0, list(icmp[1][:2])), ("to discard", 17, 4004, 9, None), ("", 17, 4005, 10, None)]


@pytest.mark.parametrize("v6", [False, True], ids=["v4", "v6"])
def test_fragments(ends, v6):
    """Only the first has ports; no bytes of a later one are taken for some."""
    a, b = ends
    a.run("ip", "link", "set", "eth0", "mtu", "1280")
    reader = Reader(b, GROUP)
    with inside(a):
        u = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
    with u:
        u.bind(("", 4009))
        u.sendto(b"\x11" * 3000, (TO[v6], 12))
    packets, _ = reader.end(3 if v6 else 2)
    if v6:
        parts = [(p["fragment"], p["proto"], p["sport"], p["dport"]) for p in packets if p["prefix"] == "fragment6"]
        assert parts == [(0, 17, 4009, 12), (1, 17, 0, 0), (1, 17, 0, 0)]
    else:
        parts = [(p["fragment"], p["proto"], p["sport"], p["dport"]) for p in packets if p["prefix"] == "later"]
        assert parts == [(1, 17, 0, 0)] * 2


def flood(ns, n):
    with inside(ns):
        u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with u:
        for _ in range(n):
            u.sendto(b"x", (TO[0], 9))


def test_more_than_it_can_hold(ends):
    """A reader that does not read: the queue is bounded, and the next packet tells how many were lost."""
    a, b = ends
    reader, n = Reader(b, "deaf", GROUP), 20000
    flood(a, n)
    wait_for(lambda: counted(b) == n)
    packets, lost = reader.end()
    assert 1000 < len(packets) < n and lost == 0  # no packet followed
    reader = Reader(b, GROUP)
    flood(a, 1000)
    packets, lost = reader.end(1000)
    assert (len(packets), lost) == (1000, 0)


def test_loss_is_counted(ends):
    """Stopped while the queue overflows, it reads on afterwards."""
    a, b = ends
    reader, n = Reader(b, GROUP), 20000
    reader.p.send_signal(signal.SIGSTOP)
    flood(a, n)
    wait_for(lambda: counted(b) == n)
    reader.p.send_signal(signal.SIGCONT)

    def follows():
        flood(a, 1)
        return reader.packets[-1]["seq"] >= n
    wait_for(follows, timeout=20)
    wait_for(lambda: reader.packets[-1]["seq"] == counted(b) - 1)
    packets, lost = reader.end()
    assert lost > 1000
    assert len(packets) + lost == counted(b)


def test_one_reader(ends):
    """A second one is refused, and takes the group as soon as the first is gone, however it went."""
    a, b = ends
    first, second = Reader(b, GROUP), Reader(b, GROUP)
    assert first.ready and not second.ready
    assert second.p.stderr.read().startswith(f"nflog: NFLOG group {GROUP}: ")
    assert Reader(b, GROUP + 1).ready
    first.p.kill()
    first.p.wait()
    third = Reader(b, GROUP)
    assert third.ready
    flood(a, 3)
    packets, lost = third.end(3)
    assert (len(packets), lost) == (3, 0)
