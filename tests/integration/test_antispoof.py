# SPDX-License-Identifier: Apache-2.0
"""What a pod may send: its own addresses and nothing else, on routed links and bridge ports; and
natOutgoing. Frames are made by scapy and sent raw; the same forged frames pass where our tables
are not loaded."""
import json
import sys

import pytest

from harness import SEND_FRAMES, built, needs, wait_for

scapy = pytest.importorskip("scapy.all", reason="not installed: python3-scapy")
from scapy.all import (ARP, BOOTP, DHCP, IP, UDP, Dot1Q, Ether, ICMPv6MLReport2,  # noqa: E402
                       ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_RA, ICMPv6ND_Redirect,
                       ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr, IPv6, Raw)

pytestmark = needs("nft")

SNIFF = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind((sys.argv[1], 0))
print("ready", flush=True)
while True:
    data, addr = s.recvfrom(65535)
    if addr[2] != socket.PACKET_OUTGOING:
        print(data.hex(), flush=True)
"""
A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
A4, A6, B4, B6 = "10.244.1.2", "fd00:10::2", "10.244.1.3", "fd00:10::3"
LL_A, LL_B = "fe80::ff:fe00:a", "fe80::ff:fe00:b"
HOST = "ee:ee:ee:ee:ee:ee"


def helper(ns, *args):
    return ns.run(built("../tests/integration/helpers/nft_load"), *args)


def raw(frame):
    return bytes(frame).hex()


class Wire:
    """Sends from one pod, sniffs at another. Frames are known by a tag at their end."""

    def __init__(self, start, src, src_if, dst, dst_if):
        self.src, self.src_if, self.n = src, src_if, 0
        self.sniffer = start([sys.executable, "-u", "-c", SNIFF, dst_if], ns=dst)
        self.sniffer.wait_log("ready")

    def passes(self, frame, control):
        """Does the frame arrive? `control` is one that surely does, sent behind it."""
        self.n += 1
        tag, end = f"tag{self.n:05}".encode(), f"end{self.n:05}".encode()
        self.src.run(sys.executable, "-c", SEND_FRAMES, self.src_if, raw(frame / Raw(tag)),
                     raw(control / Raw(end)))
        wait_for(lambda: end.hex() in self.sniffer.log(), what="the control frame has arrived")
        return tag.hex() in self.sniffer.log()


def drops(ns, family):
    """Packets by comment of the counting rules."""
    out = {}
    for o in json.loads(ns.run("nft", "-j", "list", "table", family, "fairlead").stdout)["nftables"]:
        for e in o.get("rule", {}).get("expr", []):
            if "counter" in e and "comment" in o["rule"]:
                name = o["rule"]["comment"]
                out[name] = out.get(name, 0) + e["counter"]["packets"]
    return out


def counted(ns, family, comment, n):
    """The counter reaches n: a busy machine works frames off a little later."""
    wait_for(lambda: drops(ns, family)[comment] >= n, what=f"{comment}: {n} dropped")
    assert drops(ns, family)[comment] == n


def udp4(src, dst, eth_src=A, eth_dst=HOST):
    return Ether(src=eth_src, dst=eth_dst) / IP(src=src, dst=dst) / UDP(sport=7, dport=7)


def udp6(src, dst, eth_src=A, eth_dst=HOST):
    return Ether(src=eth_src, dst=eth_dst) / IPv6(src=src, dst=dst) / UDP(sport=7, dport=7)


# ---- routed

@pytest.fixture
def routed(netns):
    """A node with two routed pods; nothing but nftables would stop a spoofed source."""
    node, a, b = netns("node"), netns("a"), netns("b")
    node.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 "
            "net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 "
            "net.ipv4.conf.all.arp_accept=0; ip addr add 169.254.1.1/32 dev lo")
    for pod, link, mac, v4, v6 in ((a, "fla", A, A4, A6), (b, "flb", B, B4, B6)):
        node.sh(f"""
            ip link add {link} address {HOST} type veth peer name eth0 address {mac} netns {pod.name}
            echo 0 > /proc/sys/net/ipv6/conf/{link}/accept_dad
            ip link set {link} up; ip -6 addr add fe80::1/64 dev {link} nodad""")
        pod.sh(f"""
            echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad
            ip link set eth0 up; ip addr add {v4}/32 dev eth0; ip addr add {v6}/128 dev eth0 nodad
            ip route add 169.254.1.1 dev eth0; ip route add default via 169.254.1.1
            ip -6 route add default via fe80::1 dev eth0
            ip neigh add 169.254.1.1 lladdr {HOST} dev eth0""")
        node.sh(f"""
            ip route add {v4}/32 dev {link}; ip -6 route add {v6}/128 dev {link}
            ip neigh replace {v4} lladdr {mac} dev {link}
            ip -6 neigh replace {v6} lladdr {mac} dev {link}""")
    return node, a, b


def load_routed(node):
    helper(node, "node", "10.244.0.0/16", "fd00:10::/64")
    helper(node, "pod", "add", "fla", "routed", A, A4, A6)
    helper(node, "pod", "add", "flb", "routed", B, B4, B6)


FORGED_ROUTED = {
    "spoofed IPv4 source": [udp4("10.244.1.99", B4), udp4("8.8.8.8", B4)],
    "spoofed IPv6 source": [udp6("fd00:10::99", B6), udp6("2001:db8::1", B6)],
}


def test_routed_sources(routed, start):
    node, a, b = routed
    wire = Wire(start, a, "eth0", b, "eth0")
    control4, control6 = udp4(A4, B4), udp6(A6, B6)
    for frames in FORGED_ROUTED.values():
        for f in frames:
            assert wire.passes(f, control4), f"without our tables it passes: {f.summary()}"
    load_routed(node)
    for comment, frames in FORGED_ROUTED.items():
        for f in frames:
            before = drops(node, "inet")[comment]
            assert not wire.passes(f, control6 if IPv6 in f else control4), f.summary()
            counted(node, "inet", comment, before + 1)
    assert wire.passes(control4, control6) and wire.passes(control6, control4)
    before = drops(node, "inet")["VXLAN from a pod"]
    for dst, make in ((B4, udp4), (B6, udp6)):
        f = make(A4 if dst == B4 else A6, dst)
        f[UDP].dport = 4789
        assert not wire.passes(f, control4), "a tunnel packet would hide a forged source"
    counted(node, "inet", "VXLAN from a pod", before + 2)
    before = drops(node, "inet")["IP-in-IP from a pod"]
    inside = from_a(IP(src=A4, dst=B4), IP(src=B4, dst=A4), UDP(), dst=HOST)
    assert not wire.passes(inside, control4), "so would this one"
    counted(node, "inet", "IP-in-IP from a pod", before + 1)
    # The addresses go with the pod: afterwards its link may send nothing.
    helper(node, "pod", "del", "fla", "routed", A, A4, A6)
    a.run(sys.executable, "-c", SEND_FRAMES, "eth0", raw(control4 / Raw(b"late4")),
          raw(control6 / Raw(b"late6")))
    helper(node, "pod", "add", "fla", "routed", A, A4, A6)
    assert wire.passes(control4, control6)
    assert b"late4".hex() not in wire.sniffer.log() and b"late6".hex() not in wire.sniffer.log()


def neighbours(node, link):
    return {n["dst"]: n.get("lladdr") for n in node.ip("neigh", "show", "dev", link)}


def test_routed_arp(routed):
    """A request teaches the node its sender, unless the sender is forged."""
    node, a, _ = routed

    def ask(psrc, hwsrc=A, pdst="169.254.1.1"):
        a.run(sys.executable, "-c", SEND_FRAMES, "eth0",
              raw(Ether(src=A, dst="ff:ff:ff:ff:ff:ff") /
                  ARP(op=1, psrc=psrc, hwsrc=hwsrc, pdst=pdst)))
    node.sh(f"ip neigh del {A4} dev fla; ip route add 10.244.1.77 dev fla")
    ask("10.244.1.77")
    wait_for(lambda: neighbours(node, "fla").get("10.244.1.77") == A,
             what="without our tables the node believes it")
    node.sh("ip neigh del 10.244.1.77 dev fla")
    load_routed(node)
    ask("10.244.1.77")
    ask(A4, hwsrc="02:00:00:00:00:99")
    counted(node, "arp", "spoofed ARP sender", 2)
    ask("0.0.0.0")  # a probe (RFC 5227)
    ask(A4)
    wait_for(lambda: neighbours(node, "fla").get(A4) == A, what="the pod's own is believed")
    assert "10.244.1.77" not in neighbours(node, "fla")
    counted(node, "arp", "spoofed ARP sender", 2)


def na(src, target, lladdr, dst="fe80::1"):
    return (Ether(src=A, dst=HOST) / IPv6(src=src, dst=dst, hlim=255) /
            ICMPv6ND_NA(R=0, S=1, O=1, tgt=target) / ICMPv6NDOptDstLLAddr(lladdr=lladdr))


def test_routed_neighbour_discovery(routed):
    node, a, _ = routed

    def send(*frames):
        a.run(sys.executable, "-c", SEND_FRAMES, "eth0", *map(raw, frames))
    evil = "02:00:00:00:00:66"
    node.sh(f"ip -6 neigh replace {A6} lladdr {A} dev fla nud stale;"
            f"ip -6 neigh replace fd00:10::77 lladdr {A} dev fla nud stale")
    send(na(LL_A, "fd00:10::77", evil))
    wait_for(lambda: neighbours(node, "fla").get("fd00:10::77") == evil,
             what="without our tables the node believes it")
    load_routed(node)
    # What the pods' kernels sent before their addresses were in the sets is counted too.
    before = drops(node, "inet")
    node.sh(f"ip -6 neigh replace fd00:10::77 lladdr {A} dev fla nud stale")
    send(na(LL_A, "fd00:10::77", evil), na(A6, B6, evil))
    counted(node, "inet", "spoofed neighbour advertisement", 2)
    assert neighbours(node, "fla")["fd00:10::77"] == A
    send(na(LL_A, A6, evil))  # its own: the link-layer address is its own affair
    wait_for(lambda: neighbours(node, "fla").get(A6) == evil, what="the pod's own is believed")
    base = Ether(src=A, dst="33:33:00:00:00:01")
    send(base / IPv6(src=LL_A, dst="ff02::1", hlim=255) / ICMPv6ND_RA(),
         base / IPv6(src=LL_A, dst="ff02::1", hlim=255) / ICMPv6ND_Redirect(tgt="fe80::9",
                                                                             dst="fd00::9"),
         base / IPv6(src="fe80::1", dst="ff02::1", hlim=255) / ICMPv6ND_NS(tgt=B6))
    counted(node, "inet", "router advertisement from a pod", 1)
    counted(node, "inet", "redirect from a pod", 1)
    # fe80::1 is the node's.
    counted(node, "inet", "spoofed IPv6 source", before["spoofed IPv6 source"] + 1)
    # Duplicate address detection and multicast reports come from ::.
    send(base / IPv6(src="::", dst="ff02::1:ff00:2", hlim=255) / ICMPv6ND_NS(tgt=A6),
         base / IPv6(src="::", dst="ff02::1:ff00:a", hlim=255) / ICMPv6ND_NS(tgt=LL_A),
         base / IPv6(src="::", dst="ff02::16", hlim=1) / ICMPv6MLReport2())
    send(base / IPv6(src="::", dst="ff02::1:ff00:3", hlim=255) / ICMPv6ND_NS(tgt=B6),
         base / IPv6(src="::", dst="ff02::1", hlim=255) / UDP(sport=1, dport=1))
    comment = "spoofed unspecified IPv6 source"
    counted(node, "inet", comment, before[comment] + 2)


# ---- bridge ports

@pytest.fixture
def bridged(netns):
    """Two pods on a bridge whose ports are not isolated: what is not dropped arrives."""
    node, a, b = netns("node"), netns("a"), netns("b")
    node.sh("ip link add br0 type bridge; ip link set br0 up; ip addr add 10.244.1.1/24 dev br0")
    for pod, link, mac, v4, v6 in ((a, "flpa", A, A4, A6), (b, "flpb", B, B4, B6)):
        node.sh(f"ip link add {link} type veth peer name eth0 address {mac} netns {pod.name};"
                f"ip link set {link} master br0; ip link set {link} up;"
                f"bridge link set dev {link} learning off;"  # forged sources must not move a port
                f"bridge fdb replace {mac} dev {link} master static")
        pod.sh(f"ip link set eth0 up; ip addr add {v4}/24 dev eth0; ip addr add {v6}/64 dev eth0 nodad")
    return node, a, b


def load_bridged(node):
    helper(node, "node", "10.244.0.0/16", "fd00:10::/64")
    helper(node, "pod", "add", "flpa", "bridged", A, A4, A6)
    helper(node, "pod", "add", "flpb", "bridged", B, B4, B6)


EVERYBODY, NODES = "ff:ff:ff:ff:ff:ff", "33:33:00:00:00:01"


def from_a(*layers, dst=B, src=A):
    f = Ether(src=src, dst=dst)
    for layer in layers:
        f /= layer
    return f


FORGED_BRIDGED = {
    "spoofed MAC": [from_a(IP(src=A4, dst=B4), UDP(), src="02:00:00:00:00:99"),
                    from_a(ARP(op=2, psrc=A4, hwsrc=A), src=B, dst=EVERYBODY)],
    "spoofed IPv4 source": [from_a(IP(src=B4, dst=B4), UDP()),
                            from_a(IP(src="10.244.1.1", dst=B4), UDP())],
    "spoofed IPv6 source": [from_a(IPv6(src="fd00:10::99", dst=B6), UDP()),
                            from_a(IPv6(src=LL_B, dst="ff02::1"), UDP(), dst=NODES)],
    "spoofed ARP sender": [from_a(ARP(op=2, psrc="10.244.1.1", hwsrc=A, pdst=B4)),
                           from_a(ARP(op=1, psrc=B4, hwsrc=A, pdst=B4), dst=EVERYBODY),
                           from_a(ARP(op=2, psrc=A4, hwsrc=HOST, pdst=B4))],
    "spoofed neighbour advertisement": [
        from_a(IPv6(src=LL_A, dst="ff02::1", hlim=255), ICMPv6ND_NA(tgt="fd00:10::1"),
               ICMPv6NDOptDstLLAddr(lladdr=A), dst=NODES)],
    "router advertisement from a pod": [
        from_a(IPv6(src=LL_A, dst="ff02::1", hlim=255), ICMPv6ND_RA(),
               ICMPv6NDOptSrcLLAddr(lladdr=A), dst=NODES)],
    "redirect from a pod": [
        from_a(IPv6(src=LL_A, dst=B6, hlim=255), ICMPv6ND_Redirect(tgt=LL_A, dst="fd00::9"))],
    "DHCP answer from a pod": [
        from_a(IP(src=A4, dst="255.255.255.255"), UDP(sport=67, dport=68), BOOTP(op=2),
               DHCP(options=[("message-type", "offer"), "end"]), dst=EVERYBODY),
        from_a(IPv6(src=LL_A, dst=LL_B), UDP(sport=547, dport=546))],
    "VXLAN from a pod": [from_a(IP(src=A4, dst=B4), UDP(dport=4789))],
    "IP-in-IP from a pod": [from_a(IP(src=A4, dst=B4), IP(src=B4, dst=A4), UDP())],
    "spoofed unspecified IPv6 source": [
        from_a(IPv6(src="::", dst="ff02::1:ff00:3", hlim=255), ICMPv6ND_NS(tgt=B6), dst=NODES)],
    "neither IP nor ARP": [from_a(Raw(b"x" * 50)).__class__(src=A, dst=B, type=0x88cc)],
}
OWN_BRIDGED = [
    from_a(IP(src=A4, dst=B4), UDP()), from_a(IPv6(src=A6, dst=B6), UDP()),
    from_a(ARP(op=1, psrc=A4, hwsrc=A, pdst=B4), dst=EVERYBODY),
    from_a(ARP(op=1, psrc="0.0.0.0", hwsrc=A, pdst=A4), dst=EVERYBODY),
    from_a(ARP(op=2, psrc=A4, hwsrc=A, pdst=B4)),
    from_a(IPv6(src=A6, dst="ff02::1", hlim=255), ICMPv6ND_NA(tgt=A6),
           ICMPv6NDOptDstLLAddr(lladdr=A), dst=NODES),
    from_a(IPv6(src=LL_A, dst="ff02::1:ff00:3", hlim=255), ICMPv6ND_NS(tgt=B6), dst=NODES),
    from_a(IPv6(src="::", dst="ff02::1:ff00:2", hlim=255), ICMPv6ND_NS(tgt=A6), dst=NODES),
]


def test_bridge_ports(bridged, start):
    node, a, b = bridged
    wire = Wire(start, a, "eth0", b, "eth0")
    control = from_a(IP(src=A4, dst=B4), UDP(sport=9, dport=9))
    for frames in FORGED_BRIDGED.values():
        for f in frames:
            assert wire.passes(f, control), f"without our tables it passes: {f.summary()}"
    load_bridged(node)
    for comment, frames in FORGED_BRIDGED.items():
        for f in frames:
            before = drops(node, "bridge")[comment]
            assert not wire.passes(f, control), f"{comment}: {f.summary()}"
            wait_for(lambda: drops(node, "bridge")[comment] > before, what=f"{comment} counts")
    for f in OWN_BRIDGED:
        assert wire.passes(f, control), f.summary()
    # A VLAN tag hides nothing.
    tagged = Ether(src=A, dst=B) / Dot1Q(vlan=0) / IP(src="10.244.1.99", dst=B4) / UDP()
    assert not wire.passes(tagged, control)


# ---- natOutgoing

SERVE = """
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
s.bind(("::", 53000))
print("ready", flush=True)
while True:
    data, peer = s.recvfrom(100)
    print(data.decode(), peer[0], flush=True)
    s.sendto(b"yes", peer)
"""
ASK = """
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.sendto(sys.argv[2].encode(), (sys.argv[1], 53000))
assert s.recv(10) == b"yes"
"""


def test_nat_outgoing(routed, netns, start):
    node, a, b = routed
    out = netns("outside")
    node.sh(f"""ip link add up0 type veth peer name eth0 netns {out.name}; ip link set up0 up
                ip addr add 192.0.2.1/24 dev up0; ip -6 addr add 2001:db8::1/64 dev up0 nodad""")
    out.sh("""ip link set eth0 up; ip addr add 192.0.2.9/24 dev eth0
              ip -6 addr add 2001:db8::9/64 dev eth0 nodad
              ip addr add 10.244.9.9/32 dev lo; ip -6 addr add fd00:10::9:9/128 dev lo
              ip route add 10.244.0.0/16 via 192.0.2.1; ip -6 route add fd00:10::/64 via 2001:db8::1""")
    node.sh("ip route add 10.244.9.9 via 192.0.2.9; ip -6 route add fd00:10::9:9 via 2001:db8::9")
    wait_for(lambda: not any(x.get("tentative") for ns in (node, out, a)
                             for i in ns.ip("-6", "addr") for x in i["addr_info"]),
             what="addresses are usable")
    servers = {ns: start([sys.executable, "-u", "-c", SERVE], ns=ns) for ns in (out, b)}
    for s in servers.values():
        s.wait_log("ready")

    def seen_as(server, dst, tag):
        a.run(sys.executable, "-c", ASK, dst, tag)
        return next(line.split()[1] for line in servers[server].log().splitlines()
                    if line.startswith(tag + " ")).removeprefix("::ffff:")
    assert seen_as(out, "192.0.2.9", "before4") == A4
    load_routed(node)
    assert seen_as(out, "192.0.2.9", "outside4") == "192.0.2.1"
    assert seen_as(out, "2001:db8::9", "outside6") == "2001:db8::1"
    assert seen_as(out, "10.244.9.9", "pool4") == A4, "inside the pools nothing is translated"
    assert seen_as(out, "fd00:10::9:9", "pool6") == A6
    assert seen_as(b, B4, "pod4") == A4
    assert seen_as(b, B6, "pod6") == A6
    counted(node, "inet", "natOutgoing", 2)
