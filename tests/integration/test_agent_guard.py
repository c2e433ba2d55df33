# SPDX-License-Identifier: Apache-2.0
"""natOutgoing as the outside sees it, and pods that lie about who they are. Every lie has its
positive control: the same frame with the truth arrives."""
import json
import socket
import subprocess
import time

import pytest

from agent_world import Cni, capture, ping, pool, pools, wait_ping, world
from harness import needs, wait_for

pytestmark = needs("tcpdump", "nft")

SEND = r"""
import ipaddress, socket, struct, sys, time
kind, dev, src, dst, gw_mac = sys.argv[1:6]
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((dev, 0))
me = s.getsockname()[4]
if len(sys.argv) > 6:
    me = bytes.fromhex(sys.argv[6].replace(":", ""))
gw = bytes.fromhex(gw_mac.replace(":", ""))
A = lambda x: ipaddress.ip_address(x).packed

def csum(b):
    b += b"\0" * (len(b) % 2)
    t = sum(struct.unpack(f">{len(b) // 2}H", b))
    while t >> 16:
        t = (t & 0xffff) + (t >> 16)
    return ~t & 0xffff

def v6(body, nxt, hop=64):
    return me + gw + b"", struct.pack(">IHBB", 6 << 28, len(body), nxt, hop) + A(src) + A(dst) + body

if kind == "udp" and "." in dst:
    p = struct.pack(">HHHH", 7777, 7777, 12, 0) + b"spuf"
    h = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(p), 1, 0, 64, 17, 0) + A(src) + A(dst)
    h = h[:10] + struct.pack(">H", csum(h)) + h[12:]
    f = gw + me + b"\x08\0" + h + p
elif kind == "udp":
    p = struct.pack(">HHHH", 7777, 7777, 12, 0) + b"spuf"
    c = csum(A(src) + A(dst) + struct.pack(">II", len(p), 17) + p)
    p = p[:6] + struct.pack(">H", c) + p[8:]
    f = gw + me + b"\x86\xdd" + v6(p, 17)[1]
elif kind == "arp":
    f = b"\xff" * 6 + me + b"\x08\x06" + struct.pack(">HHBBH", 1, 0x800, 6, 4, 1) + me + A(src) + b"\0" * 6 + A(dst)
elif kind == "ns":
    t = A(dst)
    dst = "ff02::1:ff" + t[-3:].hex()[:2] + ":" + t[-3:].hex()[2:]
    p = struct.pack(">BBHI", 135, 0, 0, 0) + t + b"\1\1" + me
    c = csum(A(src) + A(dst) + struct.pack(">II", len(p), 58) + p)
    p = p[:2] + struct.pack(">H", c) + p[4:]
    f = b"\x33\x33\xff" + t[-3:] + me + b"\x86\xdd" + v6(p, 58, 255)[1]
for _ in range(3):
    s.send(f)
    time.sleep(0.02)
"""


def send(pod, kind, src, dst, mac=None):
    gw = next(i["mac"] for i in pod.result["interfaces"] if not i.get("sandbox"))
    pod.ns.run("python3", "-c", SEND, kind, pod.ifname, src, dst, gw, *([mac] if mac else []))


def sources(cap):
    """Of our own datagrams, by their marker; not of errors that quote them."""
    v4 = [socket.inet_ntoa(p[12:16]) for k, p in cap.frames()
          if k == 0x0800 and p[9] == 17 and p[28:32] == b"spuf"]
    return v4 + [socket.inet_ntop(socket.AF_INET6, p[8:24]) for k, p in cap.frames()
                 if k == 0x86DD and p[6] == 17 and p[48:52] == b"spuf"]


@pytest.fixture(params=["routed", "bridge"])
def pods(request, world):
    a, b = world.up(10, 10)
    cni = [Cni(n.ns, n.keeper.cni_sock, network="net", attachment=request.param) for n in (a, b)]
    p, q = world.pod(a, "p", cni=cni[0]), world.pod(a, "q", cni=cni[0])
    r = world.pod(b, "r", cni=cni[1])
    for x in (q, r):
        for f in (4, 6):
            wait_ping(p.ns, x.ip(f))
    return a, b, p, q, r


@pytest.mark.parametrize("family", [4, 6])
def test_no_packet_from_an_address_that_is_not_ones_own(pods, capture, family):
    a, b, p, q, r = pods
    other = {4: "10.244.200.9", 6: "fd00:244::2:9"}[family]
    for target in (q, r):
        cap = capture(target.ns, "eth0")
        node = capture(a.ns, p.host_if)
        lies = [other, q.ip(family), a.ip4 if family == 4 else a.ip6]
        lies += ["127.0.0.1", "8.8.8.8"] if family == 4 else ["2001:db8::1", "fe80::99"]
        for lie in lies:
            send(p, "udp", lie, target.ip(family))
        send(p, "udp", p.ip(family), target.ip(family))
        wait_for(lambda: p.ip(family) in sources(cap), 3, "the truth arrives")
        wait_for(lambda: set(lies) <= set(sources(node)), 3, "the lies were sent")
        seen = set(sources(cap)) - {target.ip(family)}
        assert not seen & set(lies), seen
        cap.stop()


def test_no_arp_for_somebody_else(pods, capture):
    a, b, p, q, r = pods
    gw = next(x["gateway"] for x in p.result["ips"] if "." in x["address"])
    cap = capture(p.ns, "eth0")

    def answers():
        return [f for kind, f in cap.frames() if kind == 0x0806 and f[6:8] == b"\0\2"]
    before = a.ns.ip("neigh")
    for lie in ("10.244.200.9", q.ip(4), a.ip4):
        send(p, "arp", lie, gw)
    send(p, "arp", p.ip(4), gw, mac="02:00:00:00:00:99")
    time.sleep(0.3)
    assert not answers()
    send(p, "arp", p.ip(4), gw)
    wait_for(answers, 3, "the truth is answered")
    lied = {"10.244.200.9", a.ip4}
    assert not lied & {n["dst"] for n in a.ns.ip("neigh")}
    assert ping(q.ns, p.ip(4)) and ping(p.ns, q.ip(4))


def test_no_nd_for_somebody_else(pods, capture):
    a, b, p, q, r = pods
    cap = capture(p.ns, "eth0")
    link_local = next(x["local"] for x in p.ns.ip("-6", "addr", "show", "dev", "eth0")[0]["addr_info"]
                      if x["scope"] == "link")

    def answers():
        return [f for kind, f in cap.frames() if kind == 0x86DD and f[6] == 58 and f[40] == 136
                and f[8:24] == socket.inet_pton(socket.AF_INET6, "fe80::1")]
    for lie in ("fe80::99", q.ip(6), "fd00:244::2:9"):
        send(p, "ns", lie, "fe80::1")
    time.sleep(0.3)
    assert not answers()
    send(p, "ns", link_local, "fe80::1")
    wait_for(answers, 3, "the truth is answered")


def serve(start, ns, port=9000):
    """Echoes the client's address."""
    s = start(["python3", "-uc", f"""
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
s.bind(("::", {port})); print("up", flush=True)
while True:
    d, a = s.recvfrom(100)
    try: s.sendto(a[0].encode(), a)
    except OSError: pass # no way back
"""], ns=ns)
    s.wait_log("up")


def seen_as(ns, to, port=9000):
    r = ns.run("python3", "-c", """
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1)
for _ in range(3):
    s.sendto(b"x", (sys.argv[1], int(sys.argv[2])))
    try:
        print(s.recv(100).decode().removeprefix("::ffff:")); break
    except TimeoutError: pass
""", to, port)
    return r.stdout.strip()


def test_nat_outgoing(world, start):
    """Outside sees the node, pods see each other."""
    a, b = world.up(10, 20)
    p, q = world.pod(a, "p"), world.pod(b, "q")
    for ns in (world.outside, q.ns, b.ns):
        serve(start, ns)
    for f, out in ((4, "203.0.113.9"), (6, "fd00:ffff::9")):
        wait_ping(p.ns, q.ip(f))
        assert seen_as(p.ns, out) == (a.ip4 if f == 4 else a.ip6)
        assert seen_as(p.ns, q.ip(f)) == p.ip(f)
        # another node is no pod: pods come to it by their node's address
        assert seen_as(p.ns, b.ip4 if f == 4 else b.ip6) == (a.ip4 if f == 4 else a.ip6)
    world.store.apply(*[{**x, "spec": {**x["spec"], "natOutgoing": False}} for x in pools()])
    wait_for(lambda: "10.244.0.0/16" not in
             a.ns.run("nft", "list", "set", "inet", "fairlead", "nat4").stdout, 5)
    assert seen_as(p.ns, "203.0.113.9") == ""
    world.outside.run("ip", "route", "add", "10.244.0.0/16", "via", "203.0.113.1")
    world.router.run("ip", "route", "add", f"{p.ip(4)}/32", "via", a.ip4)
    wait_for(lambda: seen_as(p.ns, "203.0.113.9") == p.ip(4), 5, "untranslated")


@pytest.mark.alone
@pytest.mark.parametrize("harm", [
    "flush ruleset", "delete table inet fairlead", "flush chain inet fairlead nat-outgoing",
    "delete table bridge fairlead", "flush set inet fairlead pod_src4",
    "add rule inet fairlead nat-postrouting counter drop",
])
def test_rules_are_repaired_within_200_ms(world, harm):
    n1, = world.up(10)
    p = world.pod(n1, "p")
    n1.ns.nft("table inet other {\n set s {\n type ipv4_addr\n }\n}\n")
    read = lambda: [n1.ns.run("nft", "-s", "list", "table", family, "fairlead", check=False).stdout
                    for family in ("inet", "arp", "bridge")]
    before = read()
    time.sleep(0.3)
    n1.ns.nft(harm)
    t = time.monotonic()

    def same():
        return read() == before
    wait_for(same, 2, "the rulesets are as before", every=0.005)
    assert time.monotonic() - t < 0.35
    assert ping(n1.ns, p.ip(4)) and p.check() == (0, None)
    assert ("other" in n1.ns.ruleset()) == (harm != "flush ruleset"), "others' tables stay as they are"
    assert p.delete() == (0, None)


def test_who_undoes_every_repair_does_not_keep_the_agent_busy(world):
    """The table is deleted as soon as it is there: audits become rare, say why, and win in the end."""
    n1, = world.up(10)
    world.pod(n1, "p")
    storm = world.start(["sh", "-c", "while :; do nft delete table inet fairlead 2>/dev/null; sleep 0.01; done"], ns=n1.ns)
    n1.keeper.program.wait_log("nftables: somebody undoes what is repaired", 20)
    count = lambda: n1.keeper.program.log().count("audit: nftables: missing table inet fairlead")
    warned = count()  # ten in a row, and what came before them more slowly
    wait_for(lambda: count() >= warned + 4, 20)
    before = count()
    time.sleep(3)
    assert count() - before <= 2, "one in 2, then 4 seconds"
    storm.stop()
    wait_for(lambda: "inet fairlead" in n1.ns.ruleset(), 7)


def test_rules_stay_over_a_restart(world):
    n1, = world.up(10)
    p = world.pod(n1, "p")
    before = n1.ns.run("nft", "-a", "list", "ruleset").stdout
    n1.restart_agent()
    strip = lambda t: [l for l in t.splitlines() if "counter" not in l]
    assert strip(n1.ns.run("nft", "-a", "list", "ruleset").stdout) == strip(before), "the same handles"


def test_element_of_a_pod_come_and_go_with_it(world):
    n1, = world.up(10)
    p = world.pod(n1, "p")
    rules = n1.ns.ruleset()
    assert p.host_if in rules and p.ip(4) in rules and p.ip(6) in rules
    assert p.delete() == (0, None)
    rules = n1.ns.ruleset()
    assert p.host_if not in rules and p.ip(4) not in rules


def test_two_containers_of_one_pod_share_its_network(world):
    """The runtime joins the second to the first's namespace; nothing more is needed."""
    n1, = world.up(10)
    p = world.pod(n1, "p")
    one = subprocess.Popen(p.ns.argv("python3", "-uc", "import socket;s=socket.create_server(('127.0.0.1',81));print(1);s.accept()"),
                           stdout=subprocess.PIPE, text=True)
    assert one.stdout.readline()
    two = p.ns.run("python3", "-c", "import socket;socket.create_connection(('127.0.0.1',81),2)", check=False)
    one.kill()
    assert two.returncode == 0
