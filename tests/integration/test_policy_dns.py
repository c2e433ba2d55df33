# SPDX-License-Identifier: Apache-2.0
"""Policies about the cluster's DNS, which each node answers itself: judged by queries of pods with dig, by `why`, by the deny log
and by the connection table."""
import json
import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

import conntrack
from harness import needs, wait_for

pytestmark = needs("dig")

SERVERS = ("169.254.20.10", "10.96.0.10", "fd00:10:96::a")
UDP, TCP = "udp", "tcp"
BOTH = {UDP, TCP}
NAME, ADDRESS = "late.shop.svc.cluster.local", "10.96.7.7"


def thing(kind, name, ns=None, version="v1", labels=None, **rest):
    return {"apiVersion": version, "kind": kind,
            "metadata": {"name": name, **({"namespace": ns} if ns else {}), "labels": labels or {}}, **rest}


def pod(ns, name, node, host=False, **labels):
    return thing("Pod", name, ns, labels=labels, spec={"nodeName": node, "hostNetwork": host, "containers": [
        {"name": "c", "ports": [] if host else [{"name": "domain", "containerPort": 53, "protocol": "UDP"}]}]})


def policy(ns, name, **spec):
    return thing("NetworkPolicy", name, ns, "networking.k8s.io/v1", spec={"podSelector": {}, **spec})


def allow(*to, ports=(UDP, TCP), port=53):
    """Nothing else leaves namespace shop."""
    return policy("shop", "allow", policyTypes=["Egress"], egress=[
        {"to": list(to), "ports": [{"protocol": p.upper(), "port": port} for p in ports]}])


def labelled(**labels):
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}, "podSelector": {"matchLabels": labels}}


KUBE_DNS = {"k8s-app": "kube-dns"}
STANDARD = labelled(**KUBE_DNS)
DENY = policy("shop", "deny", policyTypes=["Egress"])
CLOSED = policy("kube-system", "closed", policyTypes=["Ingress"])
SERVICE = thing("Service", "kube-dns", "kube-system", spec={"clusterIP": "10.96.0.10", "selector": KUBE_DNS, "ports": [
    {"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53}]})
# On the other node: the answerer counts as them wherever they run.
PODS = (SERVICE, pod("kube-system", "core", "n2", tier="infra", **KUBE_DNS), pod("kube-system", "dns", "n2", **KUBE_DNS))
BASE = (thing("Namespace", "shop"), thing("Namespace", "kube-system"), pod("shop", "web", "n1", app="web"), pod("shop", "host", "n1", host=True),
        thing("Service", "late", "shop", spec={"clusterIP": ADDRESS, "ports": [{"port": 80}]}))


class World:
    def __init__(self, module_lab, attachment, path):
        self.path = path / "objects.json"
        self.have = {}
        self.lab = module_lab("--nodes", 2, "--racks", 1, "--attachment", attachment, manifests=[self.write(BASE)])

    def write(self, objects):
        self.path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))
        return self.path

    def to(self, *objects):
        """These, beside BASE, and no others, on all nodes."""
        want = {(o["kind"], o["metadata"]["name"]): o for o in objects}
        gone = [o for key, o in self.have.items() if key not in want]
        new = [o for key, o in want.items() if self.have.get(key) != o]
        for verb, some in (("delete", gone), ("apply", new)):
            if some:
                self.lab.store(verb, "--wait", "-f", self.write(some))
        self.have = want

    def answered(self, server, proto, client="shop/web"):
        out = self.lab.exec(client, "dig", "+time=1", "+tries=1", "+short", f"+{'' if proto == TCP else 'no'}tcp",
                            f"@{server}", NAME, check=False)
        assert out.stdout.strip() == ADDRESS if out.returncode == 0 else "no servers could be reached" in out.stdout, out.stdout
        return out.returncode == 0

    def why(self, server, proto):
        to = f"[{server}]:53" if ":" in server else f"{server}:53"
        return json.loads(self.lab.store("why", "shop/web", to, "--proto", proto, "-o", "json", check=False).stdout)

    def must_answer(self, protos, servers=SERVERS):
        """By these protocols at these addresses, and not otherwise; `why` says the same."""
        ways = [(s, p) for s in SERVERS for p in sorted(BOTH)]
        want = {(s, p) for s, p in ways if s in servers and p in protos}
        with ThreadPoolExecutor(len(ways)) as pool:
            got = dict(zip(ways, pool.map(lambda w: self.answered(*w), ways)))
        assert {w for w in ways if got[w]} == want
        for w in ways:
            said = self.why(*w)
            assert said["allowed"] == (w in want), (w, said["reason"])
            assert said["policy"][0]["dns"] == "kube-system/dns@n1"
            end = [h for h in said["hops"] if h["direction"] == "request"][-1]
            assert end["step"] == ("deliver" if w in want else "drop") and end["where"]["node"] == "n1"


@pytest.fixture(scope="module", params=["routed", pytest.param("bridge", marks=pytest.mark.slow("the same rules, from a bridge"))])
def world(module_lab, request, tmp_path_factory):
    w = World(module_lab, request.param, tmp_path_factory.mktemp("policy-dns"))
    wait_for(lambda: w.answered("10.96.0.10", UDP), 20, "the node answers")
    return w


ALONE = {
    "open": ((), BOTH),
    "denied": ((DENY,), set()),
    "standard": ((DENY, allow(STANDARD)), BOTH),
    "udp": ((DENY, allow(STANDARD, ports=[UDP])), {UDP}),
    "named port": ((allow(STANDARD, ports=[UDP], port="dns"),), {UDP}),
    "port of nobody": ((allow(STANDARD, ports=[UDP], port="domain"),), set()),
    "all namespaces": ((allow({"namespaceSelector": {}}),), BOTH),
    "its own namespace": ((allow({"podSelector": {}}),), set()),
    "other pods": ((allow(labelled(tier="infra")),), set()),
    "other ports": ((allow(STANDARD, port=5353),), set()),
    "closed itself": ((CLOSED,), set()),
    "closed but for shop": ((policy("kube-system", "closed", ingress=[{"from": [{"namespaceSelector": {}}], "ports": [
        {"port": 53, "protocol": "UDP"}]}]),), {UDP}),
}


@pytest.mark.parametrize("case", ALONE)
def test_without_pods_of_dns(world, case):
    objects, protos = ALONE[case]
    world.to(*objects)
    world.must_answer(protos)


WITH_PODS = {
    "open": ((), BOTH),
    "denied": ((DENY,), set()),
    "standard": ((DENY, allow(STANDARD)), BOTH),
    "udp": ((allow(STANDARD, ports=[UDP]),), {UDP}),
    "label of one": ((allow(labelled(tier="infra")),), BOTH),
    "label of none": ((allow(labelled(tier="other")),), set()),
    "named port": ((allow(STANDARD, ports=[UDP], port="domain"),), {UDP}),
    "port of the stand-in": ((allow(STANDARD, ports=[UDP], port="dns"),), set()),
    "closed itself": ((CLOSED,), set()),
    "one of them closed": ((policy("kube-system", "closed", podSelector={"matchLabels": {"tier": "infra"}}),), set()),
}


@pytest.mark.parametrize("case", WITH_PODS)
def test_with_pods_of_dns(world, case):
    objects, protos = WITH_PODS[case]
    world.to(*PODS, *objects)
    world.must_answer(protos)


def test_pods_come_and_go(world):
    """What the answerer counts as changes under a policy that stays."""
    by_label = allow(labelled(tier="infra"))
    core = PODS[1]
    world.to(by_label, SERVICE)
    world.must_answer(set())
    world.to(by_label, SERVICE, core)
    world.must_answer(BOTH)
    world.to(by_label, SERVICE, pod("kube-system", "core", "n2", tier="other", **KUBE_DNS))
    world.must_answer(set())
    world.to(by_label, core, SERVICE)
    world.must_answer(BOTH)
    world.to(by_label, core)
    world.must_answer(set())


def test_blocks(world):
    world.to(allow({"ipBlock": {"cidr": "10.96.0.0/12"}}))
    world.must_answer(BOTH, ["10.96.0.10"])
    world.to(allow({"ipBlock": {"cidr": "169.254.0.0/16"}}, {"ipBlock": {"cidr": "fd00:10:96::/112"}}))
    world.must_answer(BOTH, ["169.254.20.10", "fd00:10:96::a"])


def test_pods_on_the_hosts_network_are_nobody(world):
    world.to(allow(labelled(tier="infra")), SERVICE, pod("kube-system", "core", "n2", host=True, tier="infra", **KUBE_DNS))
    world.must_answer(set())
    world.to(allow(STANDARD), SERVICE, pod("kube-system", "core", "n2", host=True, tier="infra", **KUBE_DNS))
    world.must_answer(BOTH)


def test_the_node_may_always_ask(world):
    """And its pods that are on its network, whatever isolates them."""
    world.to(CLOSED, DENY)
    world.must_answer(set())
    for server in SERVERS:
        out = world.lab.node("n1", "dig", "+time=2", "+tries=1", "+short", f"@{server}", NAME)
        assert out.stdout.strip() == ADDRESS
        assert all(world.answered(server, p, "shop/host") for p in BOTH)
        said = json.loads(world.lab.store("why", "n1", f"[{server}]:53" if ":" in server else f"{server}:53", "-o", "json").stdout)
        assert said["policy"][0]["ingress"]["reason"] == "a node and its own pods may always reach each other"


def log_of(world):
    return open(f"/run/fairlead-lab/{world.lab.name}/nodes/n1/log/fairleadd.log").read()


def agent_of(world):
    return next(n["roles"].get("agent") for n in world.lab.status()["nodes"] if n["name"] == "n1")


def test_an_agent_that_starts_anew(world):
    """It finds its rules, and changes nothing; where they are gone, they come back."""
    world.to(*PODS, allow(labelled(tier="infra"), ports=[UDP]), policy("kube-system", "closed", ingress=[{}]))
    world.must_answer({UDP})
    old, said = agent_of(world), log_of(world)
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: agent_of(world) not in (None, old), 10, "another agent")
    world.to(*PODS, allow(labelled(tier="infra"), ports=[TCP]), policy("kube-system", "closed", ingress=[{}]))
    world.must_answer({TCP})
    assert "audit" not in log_of(world)[len(said):]
    world.lab.node("n1", "nft", "flush", "ruleset")
    wait_for(lambda: "policy-dns-egress" in world.lab.node("n1", "nft", "list", "table", "inet", "fairlead", check=False).stdout, 10)
    world.must_answer({TCP})


def entries(world):
    return conntrack.table(SimpleNamespace(path=f"/proc/{agent_of(world)}/ns/net"))


def test_no_connection(world):
    """Neither what is allowed, nor what is denied, and nothing is judged in the middle of one."""
    world.to(DENY, allow(STANDARD, ports=[UDP]))
    world.must_answer({UDP})
    assert [row for row in entries(world) if 53 in (row[2], row[4], row[6])] == []
    world.to()
    core = next(p for p in world.lab.status()["pods"] if p["name"] == "web")
    world.lab.probe("n1", f"{core['ips'][0]}:53", "--proto", "udp")
    wait_for(lambda: any(53 in row for row in entries(world)), 5, "the table shows port 53 of others")


def test_denied_queries_are_logged_and_counted(world):
    def show():
        return json.loads(world.lab.store("policy", "show", "-A", "-o", "json").stdout)

    def count(direction):
        return sum(d["packets"] for d in show()["denials"] if d["direction"] == direction)

    for objects, way, by in (((DENY,), "egress", "shop/deny"), ((CLOSED,), "ingress", "kube-system/closed")):
        world.to(*objects)
        before = count(way)
        for server, proto in (("10.96.0.10", UDP), ("fd00:10:96::a", TCP)):
            assert not world.answered(server, proto)
            where = re.escape(f"[{server}]:53" if ":" in server else f"{server}:53")
            line = rf"policy: {way} denied: {proto} shop/web \S+ > kube-system/dns@n1 {where}: default deny by {by}$"
            wait_for(lambda line=line: re.search(line, log_of(world), re.M), 10, line)
        wait_for(lambda way=way, before=before: count(way) > before, 10, "it is counted")
    shown, = (p for p in show()["policies"] if p["name"] == "closed")
    assert shown["pods"] == ["kube-system/dns@n1", "kube-system/dns@n2"]


def test_why_in_words(world):
    world.to(*PODS, DENY, allow(labelled(tier="other")))
    text = world.lab.store("why", "shop/web", "kube-system/kube-dns:53", "--proto", "udp", check=False).stdout
    assert "DENIED    to kube-system/dns@n1 (10.96.0.10:53)" in text
    assert "  DNS       the node's own, to policies each of 2 pods, as kube-system/core" in text
    assert "podSelector wants tier=other, the node's DNS, as kube-system/core, has tier=infra" in text
    world.to(allow(STANDARD))
    text = world.lab.store("why", "shop/web", "10.96.0.10:53").stdout
    assert "  DNS       the node's own, to policies a pod of kube-system with k8s-app=kube-dns" in text
    assert "  egress    shop/allow egress[0].to[0]" in text
