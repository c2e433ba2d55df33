# SPDX-License-Identifier: Apache-2.0
"""Nodes in two racks: pods reach each other in every mode and family, and the wire carries VXLAN
where it must and nowhere else."""
import ipaddress
import subprocess
import time

import pytest

from agent_world import POOL4, POOL6, capture, ping, pool, pools, wait_ping, world
from harness import needs, wait_for

pytestmark = needs("tcpdump")


def in_pools(ip):
    ip = ipaddress.ip_address(ip)
    return ip in ipaddress.ip_network(POOL4 if ip.version == 4 else POOL6)


def route_fabric(world):
    """What an administrator does for Direct: the router learns the nodes' blocks."""
    for b in world.store.get("ipblocks"):
        node = next(n for n in world.nodes if n.name == b["spec"]["node"])
        v6 = ":" in b["spec"]["cidr"]
        world.router.run("ip", *(["-6"] if v6 else []), "route", "replace", b["spec"]["cidr"], "via",
                         node.ip6 if v6 else node.ip4)


def strict_fabric(world, tunnel_within_rack):
    """Drops frames with pod addresses outside of a tunnel: on the router between racks, and with
    tunnel_within_rack on the switches too."""
    for family in ["inet", "bridge"] if tunnel_within_rack else ["inet"]:
        world.router.nft(f"""table {family} strict {{
            chain f {{
                type filter hook forward priority 0
                ip saddr {POOL4} counter drop
                ip daddr {POOL4} counter drop
                ip6 saddr {POOL6} counter drop
                ip6 daddr {POOL6} counter drop
            }}
        }}""")


@pytest.mark.parametrize("mode, cross", [("Direct", False), ("VXLAN", False), ("VXLAN", True)])
def test_everybody_reaches_everybody(world, capture, mode, cross):
    a, b, c = world.up(10, 10, 20, objects=pools(mode, crossSubnet=cross))
    pods = [world.pod(n, f"pod-{n.name}") for n in (a, b, c)]
    if mode == "Direct":
        route_fabric(world)
    else:
        strict_fabric(world, not cross)
    caps = {(n.name): capture(world.router, n.uplink_port) for n in (a, b, c)}
    for p in pods:
        for q in pods:
            for f in (4, 6):
                wait_ping(p.ns, q.ip(f))
    for n in (a, b, c):
        for q in pods:
            for f in (4, 6):
                wait_ping(n.ns, q.ip(f))
    if mode != "Direct":
        counters = [l for l in world.router.ruleset().splitlines() if "counter" in l]
        assert counters and all("packets 0 " in l for l in counters), counters

    ips = {n.name: (n.ip4, n.ip6) for n in (a, b, c)}
    pods_of = {n.name: p.ips for n, p in zip((a, b, c), pods)}
    wait_for(lambda: len(caps["n3"].packets()) > 20, 3)
    for name, cap in caps.items():
        tunnelled = {(s, d) for s, d, vxlan in cap.packets() if vxlan}
        plain = {(s, d) for s, d, vxlan in cap.packets() if not vxlan}
        plain_pods = {(s, d) for s, d in plain if in_pools(s) or in_pools(d)}
        if mode == "Direct":
            assert not tunnelled and plain_pods
        elif not cross:
            assert tunnelled and not plain_pods
        else:
            # between racks only in the tunnel, within a rack only outside of it
            far = {"n1": ("n3",), "n2": ("n3",), "n3": ("n1", "n2")}[name]
            far_nodes = {i for n in far for i in ips[n]}
            far_pods = {i for n in far for i in pods_of[n]}
            assert tunnelled and all(s in far_nodes or d in far_nodes for s, d in tunnelled)
            assert not any(s in far_pods or d in far_pods for s, d in plain_pods)
            assert bool(plain_pods) == (name != "n3")


def test_no_default_route(world):
    a, b = world.up(10, 20, objects=pools("VXLAN"))
    p, q = world.pod(a, "p"), world.pod(b, "q")
    for n, far in ((a, 20), (b, 10)):
        n.ns.run("ip", "route", "replace", f"192.168.{far}.0/24", "via", f"192.168.{n.rack}.1")
        n.ns.run("ip", "route", "del", "default")
        n.ns.run("ip", "-6", "route", "del", "default")
    for f in (4, 6):
        wait_ping(p.ns, q.ip(f))
        wait_ping(a.ns, q.ip(f))
    assert ping(p.ns, a.ip4) and ping(p.ns, "169.254.1.1")


def test_direct_uses_the_gateway_that_leads_to_a_peer(world):
    """No default route; the peer's subnet is reached by a static one: blocks share its gateway."""
    a, b = world.up(10, 20, objects=[pool("pool4", POOL4, "Direct", natOutgoing=False)])
    p, q = world.pod(a, "p"), world.pod(b, "q")
    block = next(x["spec"]["cidr"] for x in world.store.get("ipblocks") if x["spec"]["node"] == "n2")
    assert block not in a.routes()
    for n, far in ((a, 20), (b, 10)):
        n.ns.run("ip", "route", "replace", f"192.168.{far}.0/24", "via", f"192.168.{n.rack}.1")
        n.ns.run("ip", "route", "del", "default")
    wait_for(lambda: a.routes()[block]["gateway"] == "192.168.10.1", 5)
    route_fabric(world)
    wait_ping(p.ns, q.ip(4))


def test_mode_change_while_running(world, capture):
    a, b = world.up(10, 10, objects=pools("VXLAN"))
    p, q = world.pod(a, "p"), world.pod(b, "q")
    wait_ping(p.ns, q.ip(4))
    flow = p.ns.argv("ping", "-n", "-q", "-i", "0.05", "-W", "1", "-c", "60", q.ip(4))
    running = subprocess.Popen(flow, stdout=subprocess.PIPE, text=True)
    world.store.apply(*pools("Direct"))

    def direct():
        r = [r for r in a.routes().values() if r.get("gateway") == b.ip4]
        return r and all(x["dev"] == "eth0" for x in r)
    wait_for(direct, 5, "routes go by the uplink")
    out = running.communicate(timeout=20)[0]
    lost = 60 - int(out.split(" received")[0].split()[-1])
    assert lost <= 6, out
    for f in (4, 6):
        wait_ping(p.ns, q.ip(f))
    world.store.apply(*pools("VXLAN"))
    cap = capture(world.router, a.uplink_port)
    for f in (4, 6):
        wait_ping(p.ns, q.ip(f))
    wait_for(lambda: ping(p.ns, q.ip(4)) and any(v for _, _, v in cap.packets()), 3, "back in the tunnel")


@pytest.mark.parametrize("before", [pytest.param("VXLAN", marks=pytest.mark.slow("the same from a tunnel")), "Direct"])
def test_to_ipip_and_back_while_running(world, capture, before):
    """Routes and tunl0 come, then go (tunl0 15 s later, as others may still send by it); what pods that talk send is in the tunnel or
    bare, and few packets are lost on the way."""
    a, b = world.up(10, 10, objects=[pool("pool4", POOL4, before)])
    p, q = world.pod(a, "p"), world.pod(b, "q")
    wait_ping(p.ns, q.ip(4))
    dev = {"VXLAN": "vxlan0", "Direct": "eth0", "IPIP": "tunl0"}
    links = lambda n: {link["ifname"] for link in n.ns.ip("link", "show", "up")}  # noqa: E731
    far = {n.name: {x["spec"]["cidr"] for x in world.store.get("ipblocks") if x["spec"]["node"] != n.name} for n in (a, b)}
    ways = lambda n: {r["dev"] for d, r in n.routes().items() if d in far[n.name]}  # noqa: E731
    programs = lambda n: n.ns.sh("tc filter show dev eth0 ingress").stdout.count("fairlead-ipip")  # noqa: E731
    protocols = lambda cap: {frame[9] for kind, frame in cap.frames() if kind == 0x0800}  # noqa: E731
    assert all(ways(n) == {dev[before]} and "tunl0" not in links(n) and not programs(n) for n in (a, b))
    for mode in ("IPIP", before):
        flow = subprocess.Popen(p.ns.argv("ping", "-n", "-q", "-i", "0.05", "-W", "1", "-c", "60", q.ip(4)),
                                stdout=subprocess.PIPE, text=True)
        world.store.apply(pool("pool4", POOL4, mode))
        for n in (a, b):
            wait_for(lambda n=n: ways(n) == {dev[mode]}, 10, f"{n.name}'s routes by {dev[mode]}")
        out = flow.communicate(timeout=20)[0]
        assert 60 - int(out.split(" received")[0].split()[-1]) <= 12, out
        cap = capture(world.router, a.uplink_port)
        wait_ping(p.ns, q.ip(4))
        wait_ping(q.ns, p.ip(4))
        number = {"IPIP": 4, "VXLAN": 17, "Direct": 1}[mode]
        wait_for(lambda: number in protocols(cap), 5)
        assert (4 in protocols(cap)) == (mode == "IPIP") and (1 in protocols(cap)) == (mode == "Direct")
        cap.stop()
        for n in (a, b):
            wait_for(lambda n=n: ("tunl0" in links(n)) == (mode == "IPIP") == bool(programs(n)), 25, f"tunl0 of {n.name}")
    wait_ping(p.ns, q.ip(4))


def test_a_node_that_leaves_takes_its_routes_along(world):
    a, b = world.up(10, 10, objects=pools("VXLAN"))
    world.pod(b, "q")
    fdb = lambda: a.ns.sh("bridge fdb show dev vxlan0").stdout
    wait_for(lambda: b.ip4 in fdb(), 5)
    assert [r for r in a.routes().values() if r.get("dev") == "vxlan0"]
    b.keeper.stop()
    world.store.delete(b.object())
    wait_for(lambda: b.ip4 not in fdb(), 5)
    wait_for(lambda: not [r for r in a.routes().values() if r.get("dev") == "vxlan0"], 5)


def test_borrowed_addresses_are_host_routes(world):
    a, b = world.up(10, 10, objects=[pool("pool4", POOL4, "VXLAN")])
    world.pod(b, "q")
    block = ipaddress.ip_network(next(x["spec"]["cidr"] for x in world.store.get("ipblocks")
                                      if x["spec"]["node"] == "n2"))
    wanted = str(block[33])
    p = world.pod(a, "p", runtimeConfig={"ips": [wanted]})
    assert p.ips == [wanted]
    wait_for(lambda: b.routes()[wanted]["dev"] == "vxlan0", 5, "the owner routes it to the borrower")
    q = world.pod(b, "q2")
    wait_ping(q.ns, wanted)
    wait_ping(p.ns, q.ip(4))
    assert p.delete() == (0, None)
    wait_for(lambda: wanted not in b.routes(), 10, "the loan ends with the pod")


def test_one_changed_block_touches_one_route(world):
    """In a cluster of 300 nodes with 4 blocks each; `ip monitor` sees what is written."""
    objects = [pool("pool4", "10.0.0.0/8")]
    for i in range(300):
        ip = f"172.20.{i // 250}.{i % 250 + 1}"
        objects.append({"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"peer{i}"},
                        "status": {"addresses": [{"type": "InternalIP", "address": ip}]}})
        for b in range(4):
            objects.append(block(f"10.{100 + i // 256}.{i % 256}.{b * 64}", f"peer{i}", tunnel=b == 0))
    world.store.apply(*objects)
    n1 = world.add_node("n1")
    world.store.apply(n1.object())
    n1.wait_serving()
    # with the node's own tunnel address, which it claims first
    wait_for(lambda: sum("prefsrc" in r for r in n1.routes().values()) == 1200, 20)
    assert n1.ns.sh("bridge fdb show dev vxlan0 | grep -c dst").stdout.strip() == "300"

    monitor = subprocess.Popen(n1.ns.argv("ip", "monitor", "route", "neigh", "link", "address"),
                               stdout=subprocess.PIPE, text=True)
    wait_for(lambda: "ip" in open(f"/proc/{monitor.pid}/comm").read(), 5)
    time.sleep(0.3)
    world.store.apply(block("10.200.0.0", "peer7"))
    wait_for(lambda: "10.200.0.0/26" in n1.routes(), 5)
    world.store.delete(block("10.200.0.0", "peer7"))
    wait_for(lambda: "10.200.0.0/26" not in n1.routes(), 5)
    time.sleep(0.3)
    monitor.terminate()
    lines = monitor.communicate()[0].splitlines()
    assert [l.split(" via")[0] for l in lines] == ["10.200.0.0/26", "Deleted 10.200.0.0/26"], lines


def block(first, node, tunnel=False):
    spec = {"cidr": f"{first}/26", "pool": "pool4", "node": node}
    if tunnel:
        spec["tunnelAddress"] = first
    return {"apiVersion": "fairlead.io/v1", "kind": "IPBlock",
            "metadata": {"name": first.replace(".", "-") + "-26"}, "spec": spec}
