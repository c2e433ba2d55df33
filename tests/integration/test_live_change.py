# SPDX-License-Identifier: Apache-2.0
"""What running flows see of changes: a pool's mode, the uplink's MTU and address, a node's rack,
rules that somebody flushes. Between pods of two nodes that hear of it one after another."""
import time

import pytest

from agent_world import Cni, pools, wait_ping, world
from flows import Flows
from harness import wait_for



def flows_of(world, p, q, family=4):
    """Both ways, once they run and both kernels have settled."""
    for x, y in ((p, q), (q, p)):
        wait_ping(x.ns, y.ip(family))
    there = Flows(world.start, p.ns, q.ns, q.ip(family))
    back = Flows(world.start, q.ns, p.ns, p.ip(family))
    return there, back


def judge(flows, lost=200):
    for f in flows:
        seen = f.stop()
        print(seen)
        assert seen["udp"]["lost"] <= lost and not seen["udp"]["twice"], seen
        assert seen["tcp"]["most"] <= 1, seen


def in_tunnel(node):
    """The routes to blocks of others, in both families, go by vxlan0."""
    return [r["dev"] for f in (4, 6) for r in node.routes(f).values() if "gateway" in r] == ["vxlan0"] * 2


def by_uplink(node, peer):
    return [(r["dev"], r["gateway"]) for f in (4, 6) for r in node.routes(f).values() if "gateway" in r] \
        == [("eth0", peer.ip4), ("eth0", peer.ip6)]


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("other", [{"mode": "Direct"}, {"mode": "VXLAN", "crossSubnet": True}], ids=["direct", "cross"])
def test_mode(world, other, family):
    a, b = world.up(10, 10, objects=pools("VXLAN"))
    p, q = world.pod(a, "p"), world.pod(b, "q")
    flows = flows_of(world, p, q, family)
    for _ in range(2):
        world.store.apply(*pools(**other))
        wait_for(lambda: by_uplink(a, b) and by_uplink(b, a), 5)
        time.sleep(0.3)
        world.store.apply(*pools("VXLAN"))
        wait_for(lambda: in_tunnel(a) and in_tunnel(b), 5)
        time.sleep(0.3)
    judge(flows)


def mtu(ns, dev):
    return ns.ip("link", "show", "dev", dev)[0]["mtu"]


@pytest.mark.parametrize("attachment", ["routed", "bridge"])
def test_mtu_of_the_uplink(world, attachment):
    """Pods follow, both ends; one whose network asks for an MTU of its own keeps it."""
    a, b = world.up(10, 10, objects=pools("VXLAN"))
    cni = [Cni(n.ns, n.keeper.cni_sock, network="net", attachment=attachment) for n in (a, b)]
    p, q = world.pod(a, "p", cni=cni[0]), world.pod(b, "q", cni=cni[1])
    own = world.pod(a, "own", cni=Cni(a.ns, a.keeper.cni_sock, network="own", mtu=1300))
    flows = flows_of(world, p, q)
    for uplink in (1400, 1500):
        for n in (a, b):
            n.ns.run("ip", "link", "set", "eth0", "mtu", uplink)
        pods = uplink - 50
        for x, n in ((p, a), (q, b)):
            wait_for(lambda: mtu(x.ns, "eth0") == mtu(n.ns, x.host_if) == pods, 5, f"pods have {pods}")
            wait_for(lambda: mtu(n.ns, "vxlan0") == pods, 5)
            bridges = [l["mtu"] for l in n.ns.ip("link", "show", "type", "bridge")]
            assert bridges == ([pods] if attachment == "bridge" else []), bridges
        assert mtu(own.ns, "eth0") == mtu(a.ns, own.host_if) == 1300
        for size, fits in ((pods - 28, True), (pods - 27, False)):
            r = p.ns.run("ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s", size, q.ip(4), check=False)
            assert (r.returncode == 0) == fits, r.stdout + r.stderr
    judge(flows)
    for x in (p, q, own):
        assert x.check() == (0, None)


def test_mode_moves_the_mtu_of_pods(world):
    a, b = world.up(10, 10, objects=pools("Direct"))
    p = world.pod(a, "p")
    assert mtu(p.ns, "eth0") == 1500
    world.store.apply(*pools("VXLAN"))
    wait_for(lambda: mtu(p.ns, "eth0") == mtu(a.ns, p.host_if) == 1450, 5)
    world.store.apply(*pools("Direct"))
    wait_for(lambda: mtu(p.ns, "eth0") == mtu(a.ns, p.host_if) == 1500, 5)


def readdress(node, ip4, ip6):
    """The node's object with other addresses."""
    node.ip4, node.ip6 = ip4, ip6
    return node.object()


@pytest.mark.parametrize("mode", ["VXLAN", "Direct"])
def test_address_of_the_uplink(world, mode):
    """The new address is there first, then the Node says so, then the old one goes."""
    a, b = world.up(10, 10, objects=pools(mode))
    p, q = world.pod(a, "p"), world.pod(b, "q")
    flows = flows_of(world, p, q)
    old4, old6 = b.ip4, b.ip6
    index = b.ns.ip("link", "show", "dev", "vxlan0")[0]["ifindex"] if mode == "VXLAN" else 0
    b.ns.run("ip", "addr", "add", "192.168.10.112/24", "dev", "eth0")
    b.ns.run("ip", "addr", "add", "fd00:10::112/64", "dev", "eth0", "nodad")
    b.ns.sysctl("net.ipv4.conf.eth0.promote_secondaries", 1)
    world.store.apply(readdress(b, "192.168.10.112", "fd00:10::112"))

    def moved():
        if mode == "Direct":
            return by_uplink(a, b)
        return "dst 192.168.10.112" in a.ns.run("bridge", "fdb", "show", "dev", "vxlan0").stdout \
            and "local 192.168.10.112" in b.ns.run("ip", "-d", "link", "show", "vxlan0").stdout
    wait_for(moved, 5, "everybody knows the new address")
    b.ns.run("ip", "addr", "del", f"{old4}/24", "dev", "eth0")
    b.ns.run("ip", "addr", "del", f"{old6}/64", "dev", "eth0")
    time.sleep(0.5)
    judge(flows)
    for f in (4, 6):
        wait_ping(p.ns, q.ip(f))
    if mode == "VXLAN":
        assert b.ns.ip("link", "show", "dev", "vxlan0")[0]["ifindex"] == index, "the device stays"


@pytest.mark.parametrize("cross", [False, True])
def test_rack_of_a_node(world, cross):
    """A node moves to a subnet behind the router: its second interface is there, then its Node
    says so, then the first one goes."""
    a, b = world.up(10, 10, objects=pools("VXLAN", crossSubnet=cross))
    p, q = world.pod(a, "p"), world.pod(b, "q")
    # With a foot in both racks it gets by the one what it answers by the other (RFC 3704, 2.2).
    b.ns.sysctl("net.ipv4.conf.all.rp_filter", 2)
    flows = flows_of(world, p, q)
    world.plug(b.ns, 20, "192.168.20.112/24", "fd00:20::112/64", default=False, dev="eth1")
    for f, via in ((4, "192.168.20.1"), (6, "fd00:20::1")):
        b.ns.run("ip", f"-{f}", "route", "replace", "default", "via", via)
    world.store.apply(readdress(b, "192.168.20.112", "fd00:20::112"))
    wait_for(lambda: in_tunnel(a) and in_tunnel(b), 5)
    wait_for(lambda: "dst 192.168.20.112" in a.ns.run("bridge", "fdb", "show", "dev", "vxlan0").stdout, 5)
    time.sleep(0.3)
    b.ns.run("ip", "link", "set", "eth0", "down")
    time.sleep(0.5)
    judge(flows)
    for f in (4, 6):
        wait_ping(p.ns, q.ip(f))


@pytest.mark.parametrize("mode", ["VXLAN", "Direct"])
def test_flush_of_all_rules(world, mode):
    """`nft flush ruleset` on both nodes, several times: pods keep talking to each other, and to the
    outside by the address that they were given."""
    a, b = world.up(10, 10, objects=pools(mode))
    p, q = world.pod(a, "p"), world.pod(b, "q")
    out = Flows(world.start, p.ns, world.outside, "203.0.113.9")
    flows = (*flows_of(world, p, q), out)
    took = []
    for _ in range(3):
        rules = [n.ns.run("nft", "-s", "list", "ruleset").stdout for n in (a, b)]
        for n in (a, b):
            n.ns.run("nft", "flush", "ruleset")
        began = time.monotonic()
        for n, r in zip((a, b), rules):
            wait_for(lambda: n.ns.run("nft", "-s", "list", "ruleset").stdout == r, 2, every=0.002)
        took.append(round(time.monotonic() - began, 3))
        time.sleep(0.3)
    print("rules were back after", took, "s")
    judge(flows, lost=3 * 200)
