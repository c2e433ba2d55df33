# SPDX-License-Identifier: Apache-2.0
"""Nodes whose pools have `routes: bgp`, in a full mesh: pods reach each other by routes that nobody but their nodes' speakers
told, while speakers start anew, and a node that is cut off has none a second later."""
import json
import os
import signal
import subprocess
import time

import pytest

from agent_world import ping, pools, wait_ping, world  # noqa: F401
from bgp_fake import get_routes
from harness import wait_for

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
        nodes = world.up(*racks, objects=[*pools(mode, routes="bgp"), configuration(**spec)], roles=AGENT_AND_BGP)
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


def test_a_node_is_cut_off(mesh, world):
    (n1, n2, n3), (p, _, r) = mesh("Direct", 10, 10, 10, bfd={"enabled": True}, gracefulRestart={"enabled": False})
    gone, stays = own_blocks(n3), own_blocks(n2)
    wait_ping(p.ns, r.ip(4))
    time.sleep(1)  # BFD's session comes up after BGP's
    world.router.run("ip", "link", "set", n3.uplink_port, "down")
    cut = time.monotonic()
    for n in (n1, n2):
        wait_for(lambda: not by_bgp(n) & gone, 5)
    assert time.monotonic() - cut < 1
    assert by_bgp(n1) == stays
    world.router.run("ip", "link", "set", n3.uplink_port, "up")
    wait_for(lambda: by_bgp(n1) == stays | gone, 20, "the node is back")
    wait_ping(p.ns, r.ip(4))
