# SPDX-License-Identifier: Apache-2.0
"""What policies did, told: the deny log. Judged by what the test sent and by nft's counters."""
import json
import re
import socket
import subprocess
import time

from agent_world import pod_object, world  # noqa: F401: a fixture
from conntrack import inside
from harness import built, wait_for

GROUP = 26220
LINE = re.compile(r"policy: (?P<way>egress|ingress) denied: (?P<proto>\S+(?: type \d+ code \d+)?) (?P<src>.+?) > (?P<dst>.+?): (?P<by>.*)$", re.M)


def policy(name, ns="default", **spec):
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name, "namespace": ns},
            "spec": {"podSelector": {}, **spec}}


def to_app(app):
    return {"podSelector": {"matchLabels": {"app": app}}}


def flood(ns, to, n, port=9):
    with inside(ns):
        u = socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, socket.SOCK_DGRAM)
    with u:
        for _ in range(n):
            u.sendto(b"x", (to, port))


def drops(ns):
    """{comment: packets} of the node's default denies, of both families, as nft has them."""
    out = {}
    for c in json.loads(ns.run("nft", "-j", "list", "table", "inet", "fairlead").stdout)["nftables"]:
        comment = c.get("rule", {}).get("comment", "")
        if comment.startswith("default deny by "):
            n = next(x["counter"]["packets"] for x in c["rule"]["expr"] if "counter" in x)
            out[comment] = out.get(comment, 0) + n
    return out


def lines(program):
    return [m.groupdict() for m in LINE.finditer(program.log())]


# ---- one node

class OneNode:
    """Pods `a` and `b` on one node; policies default/no-way and default/only-web isolate b."""

    def __init__(self, world, **conf):
        self.world = world
        world.store.apply(pod_object("a", "n1", labels={"app": "a"}), pod_object("b", "n1", labels={"app": "b"}),
                          policy("only-web", podSelector={"matchLabels": {"app": "b"}}, policyTypes=["Ingress"],
                                 ingress=[{"from": [to_app("nobody"), to_app("a")], "ports": [{"protocol": "TCP", "port": 80}]}]),
                          policy("no-way", podSelector={"matchLabels": {"app": "b"}}, policyTypes=["Ingress"]))
        self.node, = world.up(10, **conf)
        self.a, self.b = (world.pod(self.node, n, args={"K8S_POD_NAMESPACE": "default", "K8S_POD_NAME": n}) for n in "ab")
        self.log = self.node.keeper.program

    DENIAL = "default deny by default/no-way, default/only-web"


def test_line(world):
    """Both ends by name, of both families; ICMP without ports."""
    n = OneNode(world)
    for v in (4, 6):
        flood(n.a.ns, n.b.ip(v), 1)
    wait_for(lambda: len(lines(n.log)) == 2)
    v4, v6 = lines(n.log)
    assert (v4["way"], v4["proto"], v4["by"]) == ("ingress", "udp", n.DENIAL)
    assert re.fullmatch(rf"default/a {n.a.ip(4)}:\d+", v4["src"]) and v4["dst"] == f"default/b {n.b.ip(4)}:9"
    assert re.fullmatch(rf"default/a \[{n.a.ip(6)}\]:\d+", v6["src"]) and v6["dst"] == f"default/b [{n.b.ip(6)}]:9"
    n.a.ns.run("ping", "-c", "1", "-W", "1", n.b.ip(4), check=False)
    wait_for(lambda: len(lines(n.log)) == 3)
    assert (lines(n.log)[2]["proto"], lines(n.log)[2]["dst"]) == ("icmp type 8 code 0", f"default/b {n.b.ip(4)}")


def test_a_node(world):
    """Another node is told by its name, with the address by which it reaches pods."""
    n = OneNode(world)
    other = world.add_node("n2", 10)
    world.store.apply(other.object())
    other.wait_serving()

    tunnel = wait_for(lambda: other.ns.ip("-4", "addr", "show", "dev", "vxlan0")[0]["addr_info"][0]["local"])

    def told():
        flood(other.ns, n.b.ip(4), 1)
        return [x for x in lines(n.log) if tunnel in x["src"]]
    line = wait_for(told)[0]
    assert re.fullmatch(rf"node n2 {tunnel}:\d+", line["src"]) and line["dst"] == f"default/b {n.b.ip(4)}:9"


def test_burst(world):
    """Lines are bounded, what is left out is told and counted, and the counters know every packet."""
    n, sent, begun = OneNode(world), 5000, time.monotonic()
    flood(n.a.ns, n.b.ip(4), sent)
    took = time.monotonic() - begun
    wait_for(lambda: drops(n.node.ns) == {n.DENIAL: sent})
    wait_for(lambda: "more packets were denied" in n.log.log(), timeout=15)
    written = len(lines(n.log))
    more = sum(int(x) for x in re.findall(r"policy: (\d+) more packets were denied", n.log.log()))
    assert 10 <= written <= 11 + 10 * took
    assert 0 < more and written + more <= 21 + 10 * took  # the kernel tells of twenty at once, and ten a second


def test_off(world):
    """Nothing is told, all is counted, and the group is anybody's."""
    n = OneNode(world, policy_log="off")
    flood(n.a.ns, n.b.ip(4), 5)
    wait_for(lambda: drops(n.node.ns) == {n.DENIAL: 5})
    reader = world.start([built("../tests/integration/helpers/nflog"), str(GROUP)], ns=n.node.ns, stdin=subprocess.PIPE)
    reader.wait_log("ready")
    flood(n.a.ns, n.b.ip(4), 1)
    wait_for(lambda: '"prefix": "ingress4-' in reader.log(), what="a packet that somebody else reads")
    assert lines(n.log) == []


def test_somebody_else_has_the_group(world):
    """The agent says so once, enforces all the same, and takes the group when it is free."""
    def taken(node):
        world.reader = world.start([built("../tests/integration/helpers/nflog"), str(GROUP)], ns=node.ns, stdin=subprocess.PIPE)
        world.reader.wait_log("ready")
    add = world.add_node
    world.add_node = lambda name, rack=10, **conf: add(name, rack, before=taken, **conf)
    n = OneNode(world)
    n.log.wait_log("denied packets are not logged")
    flood(n.a.ns, n.b.ip(4), 1)
    wait_for(lambda: drops(n.node.ns) == {n.DENIAL: 1})
    world.reader.stop()
    n.log.wait_log("denied packets are logged again", timeout=20)
    flood(n.a.ns, n.b.ip(4), 1)
    wait_for(lambda: len(lines(n.log)) == 1)
    assert n.log.log().count("denied packets are not logged") == 1
