# SPDX-License-Identifier: Apache-2.0
"""Policies behind node ports and load balancers, as packets meet them: which source an ipBlock and a podSelector
see at an endpoint of the node that took the connection and at one of another, with externalTrafficPolicy Cluster,
where that node masquerades, and Local, where none does. `fairlead why` has to say the same of each endpoint."""
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import wait_for
from test_services import at, ips

COUNT = 24  # connections: of two endpoints that answer, one is missed once in 10^7 asks
LB = {"cluster": {4: "198.51.100.1", 6: "2001:db8:51::1"}, "local": {4: "198.51.100.2", 6: "2001:db8:51::2"}}
NODE_PORT = {"cluster": 30080, "local": 30081}
BOTH = {"x/near", "x/far"}


def pod(name, node, app):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "x", "name": name, "labels": {"app": app}},
            "spec": {"nodeName": node, "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}]}}


def front(name):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "x", "name": name},
            "spec": {"type": "LoadBalancer", "selector": {"app": "web"}, "ipFamilyPolicy": "PreferDualStack",
                     "externalTrafficPolicy": name.capitalize(),
                     "ports": [{"port": 80, "targetPort": "http", "nodePort": NODE_PORT[name]}]},
            "status": {"loadBalancer": {"ingress": [{"ip": ip} for ip in LB[name].values()]}}}


def policy(*peers):
    """Lets these in, and nobody else."""
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "web", "namespace": "x"},
            "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"],
                     "ingress": [{"from": list(peers)}] if peers else []}}


def block(ip):
    return {"ipBlock": {"cidr": f"{ip}/{128 if ':' in ip else 32}"}}


class World:
    """The router takes addresses of load balancers to n1."""

    def __init__(self, lab, path, mode, attachment):
        self.path, self.mode = path, mode
        self.lab = lab("--nodes", 2, "--racks", 1, "--mode", mode, "--attachment", attachment, manifests=[self.write(
            pod("near", "n1", "web"), pod("far", "n2", "web"), pod("client", "n1", "client"), front("cluster"), front("local"))])
        status = self.lab.status()
        self.nodes = {n["name"]: n["addresses"] for n in status["nodes"]}
        self.client = status["outside"]["addresses"]
        state = Path(f"/run/fairlead-lab/{self.lab.name}/state").read_text().splitlines()
        router = next(line.split()[2] for line in state if line.startswith("router "))
        for ip in (ip for name in LB for ip in LB[name].values()):
            subprocess.run(["nsenter", f"--net=/proc/{router}/ns/net", "ip", "route", "add", ip, "via", self.of(self.nodes["n1"], ip)],
                           check=True, timeout=20)

    @staticmethod
    def of(addresses, like):
        return next(a for a in addresses if (":" in a) == ("::" in like))

    def write(self, *objects):
        self.path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        return self.path

    def let_in(self, *peers):
        self.lab.store("apply", "-f", self.write(policy(*peers)), "--wait=20")

    def fronts(self, name, family):
        node = next(a for a in self.nodes["n1"] if (":" in a) == (family == 6))
        return at(node, NODE_PORT[name]), at(LB[name][family], 80)

    def ask(self, to, *who, source="outside", node="n1"):
        """These endpoints answer and no other, and `why` says so: {endpoint: the source that it names}"""
        got = self.lab.probe(source, to, "--count", COUNT, "--timeout", 700)
        answered = {s.partition("@")[0] for s in got["servers"]}
        assert answered == set(who) and got["results"]["refused"] == 0, (to, got)
        r = self.lab.store("why", self.of(self.client, to) if source == "outside" else source, to, "--node", node, "-o", "json",
                           check=False)
        assert r.returncode in (0, 1, 3), r.stderr
        said = json.loads(r.stdout)["policy"]
        assert {t["pod"] for t in said if t["allowed"]} == answered, said
        assert (got["results"]["timeout"] > 0) == (len(said) > len(answered)), (got, said)
        return {t["pod"]: t["source"] for t in said}


@pytest.fixture(scope="module", params=[("direct", "routed"), ("direct", "bridge"), ("vxlan", "routed")], ids=" ".join)
def world(request, module_lab, tmp_path_factory):
    w = World(module_lab, tmp_path_factory.mktemp("p") / "p.json", *request.param)
    for family in (4, 6):
        for name, who in (("cluster", BOTH), ("local", {"x/near"})):
            for to in w.fronts(name, family):
                wait_for(lambda: {s.partition("@")[0] for s in w.lab.probe("outside", to, "--count", COUNT)["servers"]} == who,
                         20, f"{to} is served")
    return w


@pytest.fixture
def open_again(world):
    yield
    world.lab.store("delete", "-f", world.write(policy()), "--wait=20", check=False)  # a test that failed at once made none


@pytest.mark.parametrize("family", [4, 6])
def test_who_is_let_in(world, open_again, family):
    """With Cluster the endpoint of the node that took the connection sees the client, the other one that node; that
    what `why` names is what they see is shown by blocks that have just that."""
    client = next(a for a in world.client if (":" in a) == (family == 6))
    sources = world.ask(world.fronts("cluster", family)[0], *BOTH)
    node = sources["x/far"]
    assert sources["x/near"] == client != node
    for peers, cluster, local in (([block(client)], ["x/near"], ["x/near"]), ([block(node)], ["x/far"], []),
                                  ([block(client), block(node)], BOTH, ["x/near"]), ([], [], [])):
        world.let_in(*peers)
        asks = [(to, cluster, sources) for to in world.fronts("cluster", family)] + \
            [(to, local, {"x/near": client}) for to in world.fronts("local", family)]
        with ThreadPoolExecutor() as pool:  # all of them wait for what is dropped
            assert all(pool.map(lambda a: world.ask(a[0], *a[1]) == a[2], asks))


@pytest.fixture
def natless(world):
    """natless(True) takes natOutgoing from all pools."""
    pools = json.loads(world.lab.store("get", "ippools", "-o", "json").stdout)["items"]

    def apply(without):
        items = [{k: o[k] for k in ("apiVersion", "kind")} | {"metadata": {"name": o["metadata"]["name"]},
                 "spec": {**o["spec"], "natOutgoing": not without and o["spec"]["natOutgoing"]}} for o in pools]
        world.lab.store("apply", "-f", world.write(*items), "--wait=20")
    yield apply
    apply(False)


@pytest.mark.parametrize("family", [4, 6])
def test_a_pod_behind_another_nodes_port(world, open_again, natless, family):
    """That node's endpoint sees the pod's node where the pool has natOutgoing, else the pod; behind the other
    node's masquerade the pod is none."""
    def of(name):
        return next(a for a in world.nodes[name] if (":" in a) == (family == 6))
    to, me = at(of("n2"), NODE_PORT["cluster"]), ips(world.lab, "client", family)
    rounds = [(False, of("n1"), []), (True, me, ["x/far"])]
    for without, far, others in rounds if world.mode == "direct" else rounds[:1]:  # pods' addresses need a tunnel elsewhere
        natless(without)
        world.let_in(block(far))
        sources = world.ask(to, "x/far", source="x/client", node="n2")
        assert sources["x/far"] == far != sources["x/near"]
        world.let_in({"podSelector": {"matchLabels": {"app": "client"}}})
        assert world.ask(to, *others, source="x/client", node="n2") == sources
        world.let_in(block(sources["x/near"]))
        assert world.ask(to, "x/near", source="x/client", node="n2") == sources
