# SPDX-License-Identifier: Apache-2.0
"""Machines that had a life before fairlead: what others made there is neither used nor touched."""
import pytest

from agent_world import POOL4, pool, pools, wait_ping, world
from harness import built, veth, wait_for


def vxlan(node):
    """What an administrator would miss: the device, its addresses, routes and entries."""
    return (node.ns.run("ip", "-d", "-o", "link", "show", "vxlan0").stdout.split("vxlan id ")[1].split()[0],
            node.ns.run("ip", "-o", "addr", "show", "dev", "vxlan0", "scope", "global").stdout,
            node.ns.run("ip", "route", "show", "dev", "vxlan0").stdout,
            node.ns.run("bridge", "fdb", "show", "dev", "vxlan0").stdout)


def make_vxlan(node):
    node.ns.run("ip", "link", "add", "vxlan0", "type", "vxlan", "id", "42", "dstport", "8472", "dev", "eth0", "nolearning")
    node.ns.run("ip", "addr", "add", "198.51.100.1/24", "dev", "vxlan0")
    node.ns.run("ip", "link", "set", "vxlan0", "up")
    node.ns.run("bridge", "fdb", "append", "00:00:00:00:00:00", "dev", "vxlan0", "dst", "192.0.2.9")
    return vxlan(node)


def test_vxlan0_of_somebody_else(world):
    """Neither removed where no tunnel is wanted, nor taken over where one is."""
    world.store.apply(*pools("Direct"))
    a, b = world.add_node("n1"), world.add_node("n2")
    before = make_vxlan(a)
    world.store.apply(a.object(), b.object())
    for n in (a, b):
        n.wait_serving()
    p, q = world.pod(a, "p"), world.pod(b, "q")
    wait_ping(p.ns, q.ip(4))
    assert vxlan(a) == before
    world.store.apply(*pools("VXLAN"))
    a.keeper.program.wait_log("link vxlan0 is somebody else's")
    wait_for(lambda: "vxlan0" in b.ns.run("ip", "link").stdout, 5)
    assert vxlan(a) == before
    world.store.apply(*pools("Direct"))
    wait_for(lambda: "vxlan0" not in b.ns.run("ip", "link").stdout, 25, "it lingers for 15 s")
    wait_ping(p.ns, q.ip(4))
    world.store.apply(*pools("VXLAN"))
    a.restart_agent()
    assert vxlan(a) == before
    # Once it is out of the way, the tunnel is made.
    a.ns.run("ip", "link", "del", "vxlan0")
    wait_for(lambda: "id 4096" in a.ns.run("ip", "-d", "link", "show", "vxlan0", check=False).stdout, 10)
    for f in (4, 6):
        wait_ping(p.ns, q.ip(f), timeout=10)


def test_node_address_on_lo(world):
    """A node that announces its address by a routing protocol has it on lo; packets leave elsewhere."""
    world.store.apply(*pools("Direct"))
    a = world.add_node("n1")
    a.ns.run("ip", "addr", "add", "192.0.2.7/32", "dev", "lo")
    o = a.object()
    o["status"]["addresses"] = [{"type": "InternalIP", "address": "192.0.2.7"}]
    world.store.apply(o)
    a.wait_serving()
    p = world.pod(a, "p")
    assert p.ns.ip("link", "show", "dev", "eth0")[0]["mtu"] == 1500


def test_kernel_without_ipv6(world):
    """As booted with ipv6.disable=1, as far as a namespace can show it: the knobs are not there."""
    world.store.apply(pool("pool4", POOL4, "VXLAN"))
    a = world.add_node("n1")
    world.store.apply(a.object())
    a.wait_serving()
    a.keeper.stop()
    a.keeper.program = world.start(
        ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc/sys/net/ipv6 && exec "$0" "$@"',
         built("bin/fairleadd"), "--config", a.keeper.conf], ns=a.ns)
    a.wait_serving()
    p = world.pod(a, "p")
    wait_ping(p.ns, a.ip4)
    assert "without IPv6" in a.keeper.program.log() and " warn " not in a.keeper.program.log()
    assert "fe80::1/" not in a.ns.run("ip", "-6", "addr", "show", "dev", p.host_if).stdout
    assert p.check() == (0, None) and p.delete() == (0, None)


ADVERTISE = """
from scapy.all import Ether, ICMPv6ND_RA, ICMPv6NDOptPrefixInfo, ICMPv6NDOptSrcLLAddr, IPv6, get_if_hwaddr, sendp
import sys
dev, prefix = sys.argv[1:]
mac = get_if_hwaddr(dev)
sendp(Ether(src=mac, dst="33:33:00:00:00:01") / IPv6(src="fe80::77", dst="ff02::1", hlim=255) / ICMPv6ND_RA(routerlifetime=1800)
      / ICMPv6NDOptSrcLLAddr(lladdr=mac) / ICMPv6NDOptPrefixInfo(prefix=prefix, prefixlen=64), iface=dev, verbose=False)
"""


def ra_routes(node):
    return sorted((r["dev"], r["gateway"]) for r in node.ns.ip("-6", "route", "show", "default") if r["protocol"] == "ra")


@pytest.mark.parametrize("devs", [["eth0"], ["eth1"], ["eth0", "eth1"]], ids=" ".join)
def test_routes_by_router_advertisement_stay(world, devs):
    """A host that forwards takes no router advertisement and drops what it has, unless told so first."""
    def before(node):
        node.ns.run("ip", "-6", "route", "del", "default")
        far = world.netns("mgmt")
        veth(far, "eth1", node.ns, "eth1", [], [])
        for dev in devs:
            node.ns.sysctl(f"net.ipv6.conf.{dev}.accept_ra", 1)
            ns, at = (world.router, node.uplink_port) if dev == "eth0" else (far, "eth1")
            wait_for(lambda: (ns.run("/usr/bin/python3", "-c", ADVERTISE, at, f"fd00:{dev[3]}a::"),
                              dev in dict(ra_routes(node)))[1], 10, f"a default route by RA on {dev}")
        had.extend(ra_routes(node))
    had = []
    world.store.apply(*pools("Direct"))
    a = world.add_node("n1", before=before)
    assert [dev for dev, _ in had] == devs
    world.store.apply(a.object())
    a.wait_serving()
    assert a.ns.run("sysctl", "-n", "net.ipv6.conf.all.forwarding").stdout.strip() == "1"
    assert ra_routes(a) == had
    saved = (a.keeper.state_dir / "sysctl.saved").read_text().splitlines()
    assert sorted(x for x in saved if "accept_ra" in x) == [f"net/ipv6/conf/{dev}/accept_ra 1" for dev in devs]


def test_advertisements_that_somebody_else_takes(world):
    """systemd-networkd and NetworkManager turn the kernel's accept_ra off and set the routes themselves."""
    def before(node):
        node.ns.run("ip", "-6", "route", "del", "default")
        node.ns.sysctl("net.ipv6.conf.eth0.accept_ra", 0)
        node.ns.run("ip", "-6", "route", "add", "default", "via", "fe80::77", "dev", "eth0", "proto", "ra", "metric", "100")
    a = world.add_node("n1", before=before)
    world.store.apply(*pools("Direct"), a.object())
    a.wait_serving()
    assert ra_routes(a) == [("eth0", "fe80::77")]
    assert a.ns.run("sysctl", "-n", "net.ipv6.conf.eth0.accept_ra").stdout.strip() == "0"
