# SPDX-License-Identifier: Apache-2.0
"""Every endpoint of a Service is replaced while it is called, as a Deployment's rollout does it: pods are
attached by CNI, the test is their kubelet and says when they are ready and when they are to go, the
controller keeps the EndpointSlices, and callers in pods, on a node and outside of the cluster count
what fails. An endpoint is terminating and serving (KEP-1669) until its pod is gone; what is still
connected to it then is told so by the pod itself."""
import ipaddress
import json
from types import SimpleNamespace

import pytest

from agent_world import pod_object, world  # noqa: F401 (a fixture)
from callers import Calls, Server
from harness import wait_for
from test_survival import ROLES

RANGES = ["10.96.0.0/16", "fd00:10:96::/112"]
PORT, NODE_PORT = 8000, 30080
TERMINATING = {"ready": False, "serving": True, "terminating": True}


def service(name, **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
            "spec": {"type": "NodePort", "selector": {"app": name}, "ipFamilyPolicy": "RequireDualStack",
                     "ports": [{"port": 80, "targetPort": PORT, "nodePort": NODE_PORT}], **spec}}


def at(ip, port):
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


class Replica:
    """A pod of the Service: attached, listening, then ready. Of another app it is somebody else who
    listens."""

    def __init__(self, world, node, name, app="web"):
        self.world, self.node, self.name, self.app = world, node, name, app
        self.pod = world.pod(node, name)
        self.server = Server(world.start, self.pod.ns, name, PORT) if app == "web" else None
        self.say()

    def say(self, **meta):
        o = pod_object(self.name, self.node.name, labels={"app": self.app}, **meta)
        o["status"] = {"phase": "Running", "podIP": self.pod.ips[0], "podIPs": [{"ip": i} for i in self.pod.ips],
                       "conditions": [{"type": "Ready", "status": "True"}]}
        self.world.store.apply(o)

    def serves_on(self, node):
        """Do rules of this node lead to it? In both families, or in none."""
        leads = set()
        for name, ip in (("tcp4_endpoints", self.pod.ip(4)), ("tcp6_endpoints", self.pod.ip(6))):
            r = node.ns.run("nft", "-j", "list", "map", "inet", "fairlead", name)
            leads.add(json.dumps(ip) in r.stdout)
        assert len(leads) == 1
        return leads.pop()

    def wait_serves(self):
        wait_for(lambda: all(self.serves_on(n) for n in self.world.nodes), 20, f"{self.name} has its place")
        self.server.wait_asked()

    def is_to_go(self):
        self.say(deletionTimestamp="2026-01-01T00:00:00Z")
        wait_for(lambda: self.conditions() == [TERMINATING] * 2, 20, f"{self.name} is said to go")

    def conditions(self):
        return [e["conditions"] for s in self.world.store.get("endpointslices")
                for e in s["endpoints"] if e["targetRef"]["name"] == self.name]

    def wait_left(self):
        wait_for(lambda: not any(self.serves_on(n) for n in self.world.nodes), 20, f"{self.name} gets no more")

    def end(self):
        self.server.end()
        assert self.pod.delete()[0] == 0
        self.world.store.delete(pod_object(self.name, self.node.name))


@pytest.fixture
def shop(world):  # noqa: F811
    """Three nodes in two racks, a Service, and a client pod on two of them."""
    nodes = world.up(10, 10, 11, roles=" ".join(ROLES), service_cidr=RANGES)
    clients = [world.pod(n, f"client-{n.name}") for n in (nodes[0], nodes[2])]

    def serve(name="web", **spec):
        world.store.apply(service(name, **spec))

        def addresses():
            return next(s for s in world.store.get("services") if s["metadata"]["name"] == name)["spec"]["clusterIPs"]
        ips = wait_for(lambda: len(addresses()) == 2 and addresses(), what=f"{name} has its addresses")
        assert [ipaddress.ip_address(i).version for i in ips] == [4, 6]
        return ips
    return SimpleNamespace(world=world, nodes=nodes, clients=clients, serve=serve)


def node_ports(node):
    return [at(ip, NODE_PORT) for ip in (node.ip4, node.ip6)]


def judge(callers, names, farewells):
    """Nothing failed, each was called, and the held connections ended where their pods did."""
    seen = [c.stop() for c in callers]
    for s in seen:
        print({k: v for k, v in s.items() if k != "farewells"}, len(s["farewells"]), "farewells")
        assert not s["failed"] and not s["late"], s
        assert len(s["held"]) == 2 and set(s["farewells"]) <= set(names)
    assert {n for s in seen for n in s["servers"]} == set(names)
    assert sum(len(s["farewells"]) for s in seen) >= farewells


def test_every_endpoint(shop):
    """One more than wanted, six times."""
    w, (n1, n2, _) = shop.world, shop.nodes
    web = [at(ip, 80) for ip in shop.serve()]
    old = [Replica(w, shop.nodes[i % 3], f"old{i}") for i in range(6)]
    for r in old:
        wait_for(lambda: all(r.serves_on(n) for n in shop.nodes), 20)
    callers = [*(Calls(w.start, c.ns, web) for c in shop.clients), Calls(w.start, n2.ns, web),
               Calls(w.start, w.outside, node_ports(n1))]
    for i, r in enumerate(old):
        Replica(w, shop.nodes[i % 3], f"new{i}").wait_serves()
        r.is_to_go()
        r.wait_left()
        r.end()
    judge(callers, [f"{age}{i}" for age in ("old", "new") for i in range(6)], len(callers) * 2)


def test_only_endpoint(shop):
    """There is never more than one that is ready, and for a while none: what is to go serves until
    its successor does. Local in both ways, so that the other nodes' rules are asked too."""
    w, n1 = shop.world, shop.nodes[0]
    web = [at(ip, 80) for ip in shop.serve(externalTrafficPolicy="Local", internalTrafficPolicy="Local")]
    r = Replica(w, n1, "first")
    wait_for(lambda: r.serves_on(n1), 20)
    callers = [Calls(w.start, shop.clients[0].ns, web), Calls(w.start, n1.ns, web),
               Calls(w.start, w.outside, node_ports(n1))]
    names = ["first"]
    for i in range(3):
        r.is_to_go()
        names.append(f"next{i}")
        successor = Replica(w, n1, names[-1])
        wait_for(lambda: successor.serves_on(n1), 20)
        successor.server.wait_asked()
        r.wait_left()
        r.end()
        r = successor
    judge(callers, names, 3 * 2 * len(callers))
