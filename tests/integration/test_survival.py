# SPDX-License-Identifier: Apache-2.0
"""What running flows see of fairlead's own end: nothing. Each role and the keeper are killed one after
another, then all of them on both nodes while the store is away; the kernel goes on with what it has."""
import os
import signal

import pytest

from agent_world import pools, wait_ping, world  # noqa: F401 (a fixture)
from flows import Flows
from harness import wait_for
from roles import get
from test_snapshot import kill_everything, lose, snapshot

ROLES = ("agent", "watch", "health", "controller")


def kernel(node):
    """What may not change, indices included; the order says nothing."""
    see = [("-d", "link"), ("addr",), ("-4", "route", "show", "table", "all"),
           ("-6", "route", "show", "table", "all"), ("neigh", "show", "nud", "permanent")]
    return [sorted(str({k: v for k, v in o.items() if k not in ("probes", "expires")}) for o in node.ns.ip(*what))
            for what in see] + [sorted(node.ns.run("bridge", "fdb", "show").stdout.splitlines())]


class Deletions:
    """Those of links, addresses, routes, permanent neighbours and rules on a node."""

    def __init__(self, world, node):
        self.node = node
        self.ip = world.start(["ip", "monitor", "link", "address", "route", "neigh"], ns=node.ns)
        self.nft = world.start(["nft", "monitor", "destroy"], ns=node.ns)
        self.probe("probe0")

    def probe(self, name):
        """Both hear: a device and a table of the test's come and go."""
        run = self.node.ns.run
        run("ip", "link", "add", name, "type", "bridge")
        run("nft", "add", "table", "inet", name)

        def heard():
            return f"{name}:" in self.ip.log() and f"delete table inet {name}" in self.nft.log()
        run("nft", "delete", "table", "inet", name)
        run("ip", "link", "del", name)
        wait_for(heard, 5, f"the monitors hear {name}")

    def all(self):
        self.probe("probe1")
        ip = [l for l in self.ip.log().splitlines() if l.startswith("Deleted")
              and ("lladdr" not in l or "PERMANENT" in l)]
        nft = [l for l in self.nft.log().splitlines() if l.startswith("delete")]
        return [l for l in ip + nft if "probe" not in l]


def ready(node):
    try:
        return get(node.ns, "/readyz") == (200, "ok\n")
    except OSError:
        return False


def kill_role(node, role):
    pid = node.keeper.wait_role(role)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: node.keeper.pid(role) not in (None, pid), 10, f"a new {role}")
    wait_for(lambda: ready(node), 20, f"{node.name}: {role} serves again")
    node.wait_serving()


@pytest.mark.parametrize("mode", ["VXLAN", pytest.param("Direct", marks=pytest.mark.slow("the same without a tunnel"))])
def test_nobody_notices(world, mode):
    nodes = a, b = world.up(10, 10, objects=pools(mode), roles=" ".join(ROLES))
    p, q = world.pod(a, "p"), world.pod(b, "q")
    for x, y in ((p, q), (q, p)):
        for f in (4, 6):
            wait_ping(x.ns, y.ip(f))
    blocks = [o["metadata"]["name"].encode() for o in world.store.get("ipblocks")]
    for n in nodes:
        wait_for(lambda: ready(n), 20)
        wait_for(lambda: all(x in snapshot(n.keeper).read_bytes() for x in blocks), 10, "a snapshot")
    before = [(kernel(n), n.ns.ruleset()) for n in nodes]
    deletions = [Deletions(world, n) for n in nodes]
    flows = Flows(world.start, p.ns, q.ns, q.ip(4)), Flows(world.start, q.ns, p.ns, p.ip(6))

    for n in nodes:
        for role in ROLES:
            kill_role(n, role)
        kill_everything(world, n)
        wait_for(lambda: ready(n), 20, f"{n.name} serves again")
    give_back = lose(world.store)
    kill_everything(world, *nodes)
    for n in nodes:
        n.wait_serving()
        n.keeper.program.wait_log("going on with the snapshot")
    give_back()
    for n in nodes:
        wait_for(lambda: ready(n), 20, f"{n.name} follows the store again")

    for f in flows:
        seen = f.stop()
        print(seen)
        assert not seen["udp"]["lost"] and not seen["udp"]["twice"], seen
        assert seen["tcp"]["most"] <= 1, seen
    assert [d.all() for d in deletions] == [[], []]
    assert [(kernel(n), n.ns.ruleset()) for n in nodes] == before
