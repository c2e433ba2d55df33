# SPDX-License-Identifier: Apache-2.0
"""Nodes whose pools have `routes: bgp`, in a full mesh: pods reach each other by routes that nobody but their nodes' speakers
told, while speakers start anew, and a node that is cut off has none a second later."""
import json
import os
import signal
import subprocess
import time

import pytest

from agent_world import POOL4, POOL6, ping, pool, pools, wait_ping, world  # noqa: F401
from bgp_fake import get_routes
from harness import built, wait_for

AGENT_AND_BGP = "agent watch bgp"


def configuration(**spec):
    return {"apiVersion": "fairlead.io/v1", "kind": "BGPConfiguration", "metadata": {"name": "default"},
            "spec": {"asNumber": 64512, **spec}}


def own_blocks(node):
    return {d for f in (4, 6) for d, r in node.routes(f).items() if r.get("type") == "blackhole"}


def by_bgp(node):
    """Blocks of others that it has a way to."""
    return {d for f in (4, 6) for d, r in node.routes(f).items() if r.get("gateway")}


@pytest.fixture
def mesh(world):
    def up(mode, *racks, **spec):
        six = "VXLAN" if mode == "IPIP" else mode  # which carries no IPv6
        objects = [pool("pool4", POOL4, mode, routes="bgp"), pool("pool6", POOL6, six, routes="bgp"), configuration(**spec)]
        nodes = world.up(*racks, objects=objects, roles=AGENT_AND_BGP)
        pods = [world.pod(n, f"p{n.name}") for n in nodes]
        blocks = [own_blocks(n) for n in nodes]
        for i, n in enumerate(nodes):
            others = set().union(*(b for k, b in enumerate(blocks) if k != i))
            wait_for(lambda: by_bgp(n) == others, 20, f"{n.name} hears of {others}")
        return nodes, pods
    return up


@pytest.mark.parametrize("mode, racks", [("Direct", (10, 10)), ("VXLAN", (10, 20))])
def test_pods_reach_each_other_over_restarts(mesh, mode, racks):
    nodes, (p, q) = mesh(mode, *racks)
    for f in (4, 6):
        wait_ping(p.ns, q.ip(f))
    flows = [subprocess.Popen(p.ns.argv("ping", "-n", "-q", "-i", "0.02", "-W", "1", "-c", "300", q.ip(f)),
                              stdout=subprocess.PIPE, text=True) for f in (4, 6)]
    for n in nodes:
        old = n.keeper.wait_role("bgp")
        os.kill(old, signal.SIGKILL)
        wait_for(lambda: n.keeper.pid("bgp") not in (None, old), 10, "a new role bgp")
    nodes[0].restart_agent()
    for flow in flows:
        assert "300 received" in flow.communicate(timeout=30)[0]


def test_routes_change_hands(world, store):
    """From the store to BGP and back, and a flow loses nothing."""
    nodes = world.up(10, 10, objects=[*pools("Direct", routes="store"), configuration()], roles=AGENT_AND_BGP)
    p, q = (world.pod(n, f"p{n.name}") for n in nodes)
    wait_ping(p.ns, q.ip(4))

    def owners():
        rows = json.loads(get_routes(nodes[0], "-o", "json"))["items"]
        return {r["owner"].split("/")[0] for r in rows if r["dst"] in own_blocks(nodes[1]) and "owner" in r}
    wait_for(lambda: owners() == {"block"}, 10)
    flow = subprocess.Popen(p.ns.argv("ping", "-n", "-q", "-i", "0.02", "-W", "1", "-c", "400", q.ip(4)),
                            stdout=subprocess.PIPE, text=True)
    store.apply(*pools("Direct", routes="bgp"))
    wait_for(lambda: owners() == {"bgp"}, 10)
    store.apply(*pools("Direct", routes="store"))
    wait_for(lambda: owners() == {"block"}, 10)
    assert "400 received" in flow.communicate(timeout=30)[0]


def bfd_states(node):
    r = subprocess.run([built("bin/fairlead"), "bgp", "status", "-o", "json", "--run-dir", node.keeper.run_dir],
                       capture_output=True, text=True, timeout=30, check=True)
    return {p["bfd"] for p in json.loads(r.stdout)["peers"]}


@pytest.mark.parametrize("mode, racks", [("Direct", (10, 10, 10)), ("VXLAN", (10, 20, 30)), ("IPIP", (10, 10, 20))])
def test_a_node_is_cut_off(mesh, world, mode, racks):
    """Neighbours, and nodes behind a router, know within a second."""
    (n1, n2, n3), (p, _, r) = mesh(mode, *racks, bfd={"enabled": True}, gracefulRestart={"enabled": False})
    gone, stays = own_blocks(n3), own_blocks(n2)
    wait_ping(p.ns, r.ip(4))
    for n in (n1, n2, n3):
        wait_for(lambda: bfd_states(n) == {"Up"}, 20, f"BFD of {n.name}")
    world.router.run("ip", "link", "set", n3.uplink_port, "down")
    cut = time.monotonic()
    for n in (n1, n2):
        wait_for(lambda: not by_bgp(n) & gone, 5)
    assert time.monotonic() - cut < 1
    assert by_bgp(n1) == stays
    world.router.run("ip", "link", "set", n3.uplink_port, "up")
    wait_for(lambda: by_bgp(n1) == stays | gone, 20, "the node is back")
    wait_ping(p.ns, r.ip(4))


def test_a_node_is_cut_off_without_bfd(mesh, world):
    """Nothing else would have told it in that time."""
    (n1, n2), _ = mesh("VXLAN", 10, 20, bfd={"enabled": False}, gracefulRestart={"enabled": False})
    world.router.run("ip", "link", "set", n2.uplink_port, "down")
    cut = time.monotonic()
    while time.monotonic() - cut < 3:
        assert by_bgp(n1) == own_blocks(n2)
