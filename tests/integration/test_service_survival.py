# SPDX-License-Identifier: Apache-2.0
"""Rules of Services, while a thousand connections and two streams of datagrams go through them, outlive the
agent, every other role and the keeper, element by element; and what somebody else does to them is
undone in no time, and told."""
import json
import re
import subprocess
import threading
import time
from statistics import median

import pytest

from agent_world import world  # noqa: F401 (a fixture)
from callers import Calls
from flows import Flows
from harness import wait_for
from roles import metric
from test_service_rolling import Replica, at, node_ports, shop  # noqa: F401 (a fixture)
from test_survival import ROLES, Deletions, kill_role, ready
from test_takeover import takeover  # noqa: F401 (a fixture)

STREAM = [{"name": f"{proto}-{port}".lower(), "port": port, "protocol": proto}
          for port in (9100, 9101) for proto in ("TCP", "UDP")]


def rules(node, handles=True):
    """All of it, without counters. Handles tell whether something was only put back."""
    listed = json.loads(node.ns.run("nft", "-s", "-a", "-j", "list", "ruleset").stdout)["nftables"]
    things = [(kind, thing) for o in listed for kind, thing in o.items()]
    for _, thing in things:
        if "elem" in thing:
            thing["elem"] = sorted(map(json.dumps, thing["elem"]))
        if not handles:
            thing.pop("handle", None)
    return sorted(things, key=lambda t: (t[0], t[1].get("chain") or t[1].get("name") or ""))  # rules stay in order


def test_a_thousand_connections_do_not_notice(shop, takeover):  # noqa: F811
    w, nodes = shop.world, shop.nodes
    n1 = nodes[0]
    web, stream = [at(ip, 80) for ip in shop.serve()], shop.serve("stream", type="ClusterIP", ports=STREAM)
    pods = [Replica(w, n, f"w-{n.name}-{i}") for n in nodes for i in range(2)]
    sink = Replica(w, nodes[1], "sink", "stream")
    for p in (*pods, sink):
        wait_for(lambda: all(p.serves_on(n) for n in nodes), 20)
    callers = [Calls(w.start, shop.clients[1].ns, web, held=250, every=1., pause=0.05),
               Calls(w.start, w.outside, node_ports(n1), held=250, every=1., pause=0.05)]
    flows = Flows(w.start, shop.clients[0].ns, sink.pod.ns, stream[0]), Flows(w.start, n1.ns, sink.pod.ns, stream[1], 9101)
    for n in nodes:
        wait_for(lambda: ready(n), 20)
    before, deletions = [rules(n) for n in nodes], [Deletions(w, n) for n in nodes]

    for n in nodes:
        for role in ROLES:
            kill_role(n, role)
    for n in nodes:
        takeover(n.keeper)
        wait_for(lambda: ready(n), 20)

    assert [rules(n) for n in nodes] == before
    assert [d.all() for d in deletions] == [[]] * len(nodes)
    for c in callers:
        seen = c.stop()
        print({**seen, "held": [min(seen["held"]), max(seen["held"])]})
        assert not seen["failed"] and not seen["late"] and not seen["farewells"]
        assert len(seen["held"]) == 500 and min(seen["held"]) >= 5
    for f in flows:
        seen = f.stop()
        print(seen)
        assert not seen["udp"]["lost"] and not seen["udp"]["twice"], seen
        assert seen["tcp"]["most"] <= 1, seen


class Generations:
    """Who changed a node's rules when, as the kernel tells it."""

    def __init__(self, node):
        self.seen, self.node = [], node
        self.proc = subprocess.Popen(node.ns.argv("nft", "monitor"), stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self.read, daemon=True).start()
        wait_for(self.hears, 10, "nft monitor hears")

    def read(self):
        for line in self.proc.stdout:
            m = re.match(r"# new generation \d+ by process \d+ \((.*)\)", line)
            if m:
                self.seen.append((m[1], time.monotonic()))

    def hears(self):
        self.node.ns.nft("table inet probe\ndelete table inet probe\n")
        return self.seen

    def delay(self, harm):
        """Seconds from this change, made by nft(8), to the agent's next."""
        since = len(self.seen)
        self.node.ns.nft(harm)

        def found(who, seen):
            return next((i for i, (by, _) in enumerate(seen) if by == who), None)

        def both():
            first = found("nft", self.seen[since:])
            second = None if first is None else found("agent", self.seen[since + first:])
            return second and (since + first, since + first + second)
        first, second = wait_for(both, 5, "the agent mends it")
        return self.seen[second][1] - self.seen[first][1]


def element(node, ip):
    """As nft(8) writes it, comment and all: key, value."""
    text = node.ns.run("nft", "-s", "list", "map", "inet", "fairlead", "vip4").stdout
    return re.search(rf"(tcp \. {re.escape(ip)} \. 80)[^:]*(?:comment \"[^\"]*\" )?: (\S+?),?\s", text).groups()


def first_rule(node):
    return next(t["handle"] for k, t in rules(node) if k == "rule" and t["chain"] == "services")


HARMS = {  # name: (what nft(8) is told, what the log says, the finding's kind)
    "flush": (lambda n, key, value: "flush ruleset", "missing table inet fairlead", "missing"),
    "element deleted": (lambda n, key, value: f"delete element inet fairlead vip4 {{ {key} }}",
                        "missing element inet fairlead vip4", "missing"),
    "element added": (lambda n, key, value: f"add element inet fairlead vip4 {{ tcp . 10.96.9.9 . 81 : {value} }}",
                      "extra element inet fairlead vip4", "unwanted"),
    "element changed": (lambda n, key, value: f"delete element inet fairlead vip4 {{ {key} }}\n"
                        f"add element inet fairlead vip4 {{ {key} : ffff:fff0 }}",
                        "changed element inet fairlead vip4", "changed"),
    "rule deleted": (lambda n, key, value: f"delete rule inet fairlead services handle {first_rule(n)}",
                     "missing rule inet fairlead services", "missing"),
}


@pytest.mark.alone
@pytest.mark.parametrize("harm", HARMS)
def test_harm_is_undone_within_200_ms(shop, harm):  # noqa: F811
    """From the kernel's notice to the repair; a busy machine may be late once."""
    w, n1 = shop.world, shop.nodes[0]
    ips = shop.serve()
    pod = Replica(w, n1, "w1")
    wait_for(lambda: all(pod.serves_on(n) for n in shop.nodes), 20)
    wait_for(lambda: ready(n1), 20)
    make, said, kind = HARMS[harm]
    agent, generations, delays = n1.keeper.pid("agent"), Generations(n1), []
    findings = 'fairlead_nft_findings_total', f'kind="{kind}"'
    before, log, found = rules(n1, False), n1.keeper.program.log().count(said), metric(n1.ns, *findings)
    for i in range(3):
        time.sleep(0.3)  # one harm is not the last one's aftermath
        delays.append(generations.delay(make(n1, *element(n1, ips[0])) + "\n"))
        wait_for(lambda: rules(n1, False) == before, 5, "the rules are as before")
    generations.proc.kill()
    print(harm, delays)
    assert median(delays) < 0.2
    assert n1.keeper.program.log().count(said) == log + 3
    wait_for(lambda: metric(n1.ns, *findings) >= found + 3, 10, "it is counted")
    assert n1.keeper.pid("agent") == agent
    calls = Calls(w.start, shop.clients[0].ns, [at(ip, 80) for ip in ips] + node_ports(n1))
    pod.server.wait_asked()
    assert not calls.stop()["failed"]
