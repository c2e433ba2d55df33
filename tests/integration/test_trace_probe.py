# SPDX-License-Identifier: Apache-2.0
"""The probe of traces (sys/trace_probe): what it puts on the wire is read from tcpdump's file, what it says from
how the other end was built."""
import secrets
import socket
import struct
import subprocess
from contextlib import suppress

import pytest
from agent_world import capture  # noqa: F401
from conntrack import inside
from harness import built, needs, veth, wait_for
from sctp import sctp_init

pytestmark = needs("tcpdump", "nft")

NEAR, FAR = ("10.0.0.1", "fd00::1"), ("10.0.0.2", "fd00::2")
SKIP = {0x0800: lambda p: (p[9], p[(p[0] & 15) * 4:], p[12:16]), 0x86DD: lambda p: (p[6], p[40:], p[8:24])}
FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])


def rules(hook, *lines):
    return "\n".join(["table inet t {", "chain c {", f"type filter hook {hook} priority 0", *lines, "}", "}", ""])


class Ends:
    def __init__(self, netns, start, capture):  # noqa: F811
        self.client, self.server, self.start = netns("c"), netns("s"), start
        veth(self.client, "eth0", self.server, "eth0", [f"{NEAR[0]}/24", f"{NEAR[1]}/64"], [f"{FAR[0]}/24", f"{FAR[1]}/64"])
        self.capture = lambda: capture(self.server, "eth0")

    def serve(self, *ports):
        start = self.start([built("libexec/fairlead/lab-responder"), "server", *ports], ns=self.server, stdin=subprocess.PIPE)
        start.wait_log("ready")

    def begin(self, proto, port=0, v6=False, ms=1500, source=None, size=0):
        self.signature = secrets.randbits(64) | 1
        return subprocess.Popen(self.client.argv(built("../tests/integration/helpers/probe"), proto, source or NEAR[v6], FAR[v6], port,
                                                 f"{self.signature:x}", ms, size), stdout=subprocess.PIPE, text=True)

    def end(self, p):
        out, _ = p.communicate(timeout=20)
        assert p.returncode == 0
        return dict(zip(("result", "by", "address", "port", "us", "error", "mtu"), out.rstrip("\n").split("\t"), strict=True))

    def probe(self, *args, **kw):
        return self.end(self.begin(*args, **kw))

    def seen(self, cap, number, v6, mine=True):
        """Packets of this protocol from the client (else from the server), behind their IP header."""
        who = socket.inet_pton(socket.AF_INET6 if v6 else socket.AF_INET, (NEAR if mine else FAR)[v6])
        found = (SKIP[kind](p) for kind, p in cap.frames() if kind in SKIP)
        return [l4 for proto, l4, src in found if proto == number and src == who]


@pytest.fixture
def ends(netns, start, capture):  # noqa: F811
    return Ends(netns, start, capture)


@FAMILIES
def test_tcp(ends, v6):
    ends.serve("tcp:8080")
    cap = ends.capture()
    got = ends.probe("TCP", 8080, v6)
    assert got["result"] == "connected" and got["address"] == NEAR[v6]
    sent = wait_for(lambda: [p for p in ends.seen(cap, 6, v6) if len(ends.seen(cap, 6, v6)) >= 3], 5, "the connection")
    sport, dport, seq, _, _, flags = struct.unpack(">HHIIBB", sent[0][:14])
    assert (sport, dport, seq, flags) == (int(got["port"]), 8080, ends.signature & 0xffffffff, 0x02)
    assert sum(p[13] == 0x02 for p in sent) == 1
    # it is over: nothing is open, and no SYN's sequence number but the chosen one was used
    assert not ends.client.run("ss", "-Htn", "state", "established").stdout


@FAMILIES
def test_tcp_refused_and_unanswered(ends, v6):
    got = ends.probe("TCP", 8081, v6)
    assert (got["result"], got["by"]) == ("refused", "rst")
    ends.server.nft(rules("input", "tcp dport 8082 drop", "tcp dport 8083 reject with icmpx admin-prohibited"))
    assert ends.probe("TCP", 8082, v6, ms=300)["result"] == "timeout"
    got = ends.probe("TCP", 8083, v6)
    assert (got["result"], got["by"], got["error"]) == ("refused", f"icmp{'v6' * v6} admin-prohibited", f"told by {FAR[v6]}")


@FAMILIES
def test_udp(ends, v6):
    ends.serve("udp:8053")
    cap = ends.capture()
    got = ends.probe("UDP", 8053, v6)
    assert got["result"] == "connected"
    sent = wait_for(lambda: ends.seen(cap, 17, v6), 5, "the datagram")
    assert len(sent) == 1 and struct.unpack(">HH", sent[0][:4]) == (int(got["port"]), 8053)
    assert sent[0][8:] == ends.signature.to_bytes(8, "big")
    got = ends.probe("UDP", 8054, v6)
    assert (got["result"], got["by"]) == ("refused", f"icmp{'v6' * v6} port-unreachable")
    ends.server.nft(rules("input", "udp dport 8055 drop"))
    assert ends.probe("UDP", 8055, v6, ms=200)["result"] == "timeout"


@FAMILIES
def test_echo(ends, v6):
    cap = ends.capture()
    got = ends.probe("ICMP", v6=v6)
    assert got["result"] == "connected"
    sent = wait_for(lambda: [p for p in ends.seen(cap, 58 if v6 else 1, v6) if p[0] == (128 if v6 else 8)], 5, "the echo")
    assert len(sent) == 1 and struct.unpack(">H", sent[0][4:6]) == (int(got["port"]),)
    assert sent[0][8:] == ends.signature.to_bytes(8, "big")
    ends.server.nft(rules("input", "icmp type echo-request drop", "icmpv6 type echo-request drop"))
    assert ends.probe("ICMP", v6=v6, ms=200)["result"] == "timeout"


@FAMILIES
def test_sctp(ends, v6):
    ends.serve("sctp:8132")
    cap = ends.capture()
    got = ends.probe("SCTP", 8132, v6)
    assert got["result"] == "connected"
    sent = wait_for(lambda: ends.seen(cap, 132, v6), 5, "the INIT")
    sport, dport, vtag = struct.unpack(">HHI", sent[0][:8])
    assert (sport, dport, vtag, sent[0][12]) == (int(got["port"]), 8132, 0, 1)
    assert struct.unpack(">I", sent[0][16:20])[0] == ends.signature & 0xffffffff
    assert [struct.unpack(">I", p[4:8])[0] for p in ends.seen(cap, 132, v6, mine=False)] == [ends.signature & 0xffffffff]
    got = ends.probe("SCTP", 8133, v6)
    assert (got["result"], got["by"]) == ("refused", "abort")


@FAMILIES
@pytest.mark.parametrize("proto", ["SCTP", "ICMP"])
def test_errors_of_others(ends, proto, v6):
    """A raw socket hears of what its namespace sends to the same address otherwise: that is no answer to the probe."""
    ends.server.nft(rules("input", "sctp dport 9 reject with icmpx admin-prohibited", "sctp dport 8133 drop",
                          "icmp type echo-request icmp id 7 reject with icmpx admin-prohibited", "icmp type echo-request drop",
                          "icmpv6 type echo-request icmpv6 id 7 reject with icmpx admin-prohibited", "icmpv6 type echo-request drop"))
    ends.server.sysctl("net.ipv6.icmp.ratelimit" if v6 else "net.ipv4.icmp_ratelimit", 0)
    number = {"SCTP": socket.IPPROTO_SCTP, "ICMP": socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP}[proto]
    # of ICMPv6 the kernel makes the sum
    other = sctp_init(7, 9) if proto == "SCTP" else struct.pack(">BBHHH", 128 if v6 else 8, 0, 0xf7f7, 7, 1)
    with inside(ends.client):
        s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_RAW, number)
    with s:
        s.setsockopt(*((socket.IPPROTO_IPV6, 25) if v6 else (socket.IPPROTO_IP, 11)), 1)  # RECVERR
        heard, p = 0, ends.begin(proto, 8133, v6, ms=500)
        while p.poll() is None:
            with suppress(OSError):  # says what it heard, and sends nothing
                s.sendto(other, (FAR[v6], 0))
            with suppress(BlockingIOError):
                heard += bool(s.recv(64, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT))
            with suppress(subprocess.TimeoutExpired):
                p.wait(0.005)
    assert ends.end(p)["result"] == "timeout" and heard > 10


@FAMILIES
def test_what_cannot_be_sent(ends, v6):
    """An address of nobody, no route, and an own rule that drops."""
    got = ends.probe("UDP", 9, v6, source="fd00::9" if v6 else "10.0.0.9")
    assert (got["result"], got["error"]) == ("error", "Cannot assign requested address")
    ends.client.nft(rules("output", "udp dport 9 drop"))
    got = ends.probe("UDP", 9, v6)
    assert (got["result"], got["error"]) == ("error", "Operation not permitted")
    ends.client.ip("-6" if v6 else "-4", "route", "flush", "dev", "eth0")
    got = ends.probe("TCP", 80, v6)
    assert (got["result"], got["error"]) == ("error", "Network is unreachable")


@FAMILIES
@pytest.mark.parametrize("proto", ["UDP", "ICMP"])
def test_size(ends, proto, v6):
    """As long as was asked, and not to be split: so its own device may be too narrow, or a router's."""
    ends.serve("udp:8053")
    cap = ends.capture()
    assert ends.probe(proto, 8053, v6, size=1400)["result"] == "connected"
    number = {"UDP": 17, "ICMP": 58 if v6 else 1}[proto]
    sent = wait_for(lambda: [p for p in ends.seen(cap, number, v6) if len(p) > 1000], 5, "the probe")
    head = 40 if v6 else 20
    assert [len(p) + head for p in sent] == [1400] and sent[0][8:16] == ends.signature.to_bytes(8, "big")
    if not v6:
        mine = [p for kind, p in cap.frames() if kind == 0x0800 and len(p) >= 1400 and p[12:16] == socket.inet_aton(NEAR[0])]
        assert mine and all(p[6] & 0x40 for p in mine)  # DF
    got = ends.probe(proto, 8053, v6, size=1501)
    assert (got["result"], got["error"], got["mtu"]) == ("error", "Message too long", "1500")
    route = f"{FAR[v6]}/{128 if v6 else 32}"
    ends.client.ip("-6" if v6 else "-4", "route", "add", route, "dev", "eth0", "mtu", "1300")  # as learned: it does not matter
    assert ends.probe(proto, 8053, v6, size=1400)["result"] == "connected"


@pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
def test_too_big_for_a_router(netns, v6):
    client, router, server = netns("c"), netns("r"), netns("s")
    veth(client, "eth0", router, "near", [f"{NEAR[0]}/24", f"{NEAR[1]}/64"], ["10.0.0.254/24", "fd00::fe/64"])
    veth(router, "far", server, "eth0", ["10.1.0.254/24", "fd01::fe/64"], ["10.1.0.1/24", "fd01::1/64"])
    router.sysctl("net.ipv4.ip_forward", 1)
    router.sysctl("net.ipv6.conf.all.forwarding", 1)
    for ns, via4, via6 in ((client, "10.0.0.254", "fd00::fe"), (server, "10.1.0.254", "fd01::fe")):
        ns.ip("route", "add", "default", "via", via4)
        ns.ip("-6", "route", "add", "default", "via", via6)
    router.ip("link", "set", "far", "mtu", "1350")

    def probe(size):
        out = client.run(built("../tests/integration/helpers/probe"), "ICMP", NEAR[v6], "fd01::1" if v6 else "10.1.0.1", 0,
                         f"{secrets.randbits(64) | 1:x}", 1500, size).stdout.rstrip("\n").split("\t")
        return out[0], out[1], out[5], out[6]
    assert probe(1350)[0] == "connected"
    for _ in range(2):  # what the client learned of the path does not keep it from sending
        assert probe(1351) == ("refused", "icmpv6 packet-too-big" if v6 else "icmp frag-needed",
                               f"told by {'fd00::fe' if v6 else '10.0.0.254'}", "1350")


@FAMILIES
def test_the_kernel_may_choose_the_address(ends, v6):
    got = ends.probe("ICMP", v6=v6, source="::" if v6 else "0.0.0.0")
    assert (got["result"], got["address"]) == ("connected", NEAR[v6])
