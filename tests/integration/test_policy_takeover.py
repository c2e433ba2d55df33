# SPDX-License-Identifier: Apache-2.0
"""Isolated pods while agents are killed, and while other builds take the place of those that run: not one
forbidden packet passes, from whichever node and in either direction; what is allowed goes on, and begins."""
import re

from agent_world import world  # noqa: F401 (a fixture)
from flows import Flows
from hammer import Hammer
from harness import OUT, wait_for
from test_policy_agent import ALL, connects, hold, namespace, peers, policy, run, serve  # noqa: F401
from test_takeover import build, takeover  # noqa: F401


class Eye:
    """Counts in the kernel what arrives in a namespace from each of these addresses."""

    def __init__(self, ns, *sources):
        self.ns = ns
        rules = "\n".join(f"{'ip6' if ':' in s else 'ip'} saddr {s} counter" for s in sources)
        ns.nft(f"table inet eye {{\nchain seen {{\ntype filter hook prerouting priority -300\n{rules}\n}}\n}}\n")

    def seen(self):
        return [int(n) for n in re.findall(r"counter packets (\d+)", self.ns.run("nft", "list", "table", "inet", "eye").stdout)]


class Guarded:
    """A server on the second node; near and far, which it must not hear, and elsewhere, which must not hear it."""

    def __init__(self, world, start, hold):  # noqa: F811
        self.a, self.b = world.up(10, 10)
        world.store.apply(namespace("x"))
        self.server, self.near = (run(world, self.b, name, app=name) for name in ("server", "near"))
        self.far, self.friend, self.elsewhere = (run(world, self.a, name, app=name) for name in ("far", "friend", "elsewhere"))
        serve(start, self.server)
        self.eyes = Eye(self.server.ns, *self.near.ips, *self.far.ips), Eye(self.elsewhere.ns, *self.server.ips)
        self.hammers = [Hammer(start, p.ns, 0.005) for p in (self.near, self.far, self.server)]
        for h, p in zip(self.hammers, (self.server, self.server, self.elsewhere)):
            h.at(*p.ips)
        wait_for(lambda: all(n > 100 for n in self.seen()), 20, "it would be seen")
        world.store.apply(policy("deny", {"app": "server"}, policyTypes=["Ingress", "Egress"],
                                 ingress=[{"from": peers(app="friend")}]), wait=20)
        before = None
        while before != (before := self.seen()):  # what lived is being cut
            wait_for(lambda: self.let_in(), 10, "the friend is let in")
        self.before = before
        self.held = [hold(self.friend.ns, ip) for ip in self.server.ips]
        self.flows = [Flows(start, self.friend.ns, self.server.ns, ip, 9100 + i) for i, ip in enumerate(self.server.ips)]

    def seen(self):
        return sum((e.seen() for e in self.eyes), [])

    def let_in(self):
        return all(connects(self.friend.ns, ip, wait=3) for ip in self.server.ips)

    def judge(self):
        told = [h.rest() for h in self.hammers]
        assert self.seen() == self.before and all(t["sent"] > 500 for t in told), told
        for h in self.held:
            assert h.live() == set(ALL)
        for seen in (f.stop() for f in self.flows):
            assert seen["udp"]["lost"] == 0 and seen["tcp"]["most"] <= 1, seen


def test_while_agents_are_killed(world, start, hold):  # noqa: F811
    g = Guarded(world, start, hold)
    for node in (g.b, g.a, g.b):
        old = node.keeper.wait_role("agent")
        node.kill_agent()
        assert g.let_in()
        wait_for(lambda: node.keeper.pid("agent") not in (None, old), 10, "a new agent")
        node.wait_serving()
        assert g.let_in()
    g.judge()


def test_while_builds_take_over(world, start, hold, build, takeover):  # noqa: F811
    g, other, tried = Guarded(world, start, hold), build(), 0
    for path in (other, OUT):
        for node in (g.a, g.b):
            p, _ = takeover(node.keeper, path, check=False)
            while p.poll() is None:
                assert g.let_in()
                tried += 1
            assert p.returncode == 0
    assert tried >= 4
    g.judge()
