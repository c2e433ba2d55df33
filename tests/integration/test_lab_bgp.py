# SPDX-License-Identifier: Apache-2.0
"""Labs whose nodes learn routes by BGP: each from every other one or from reflectors, in tunnels, and directly with BIRD as each rack's
router. Everybody reaches everybody, what the kernels have is what blocks say, and a lost node takes its routes along."""
import datetime
import ipaddress
import json
import re
import subprocess

import pytest
from harness import needs, wait_for

pytestmark = needs("bird")

BGP_PODS = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: each, namespace: plain}
spec:
  selector: {matchLabels: {app: each}}
  template:
    metadata: {labels: {app: each}}
    spec: {containers: [{name: c, image: none, ports: [{containerPort: 80}]}]}
"""
LABS = [(mode, routes) for mode in ("direct", "vxlan") for routes in ("bgp", "bgp-rr")] + [("ipip", "bgp")]


@pytest.fixture(scope="module", params=LABS, ids="-".join)
def world(request, module_lab, tmp_path_factory):
    """Two racks of two nodes, a pod on each."""
    mode, routes = request.param
    pods = tmp_path_factory.mktemp("bgp") / "pods.yaml"
    pods.write_text(BGP_PODS)
    lab = module_lab("--nodes", 4, "--racks", 2, "--mode", mode, "--routes", routes, manifests=[pods])
    lab.mode, lab.routes = mode, routes
    lab.store("bgp", "status")  # fails where a session is not up: it waits for them
    yield lab
    lab.down()


def blocks(lab):
    """Of each node, in both families."""
    found = {}
    for b in json.loads(lab.store("get", "ipblocks", "-o", "json").stdout)["items"]:
        found.setdefault(b["spec"]["node"], set()).add(ipaddress.ip_network(b["spec"]["cidr"]))
    return found


def routes(run, *args):
    """{prefix: route} of both families, as `ip` has them."""
    v = [r for family in ("-4", "-6") for r in json.loads(run("ip", "-j", family, "route", "show", *args).stdout or "[]")]
    return {ipaddress.ip_network(r["dst"]): r for r in v if r["dst"] != "default" and r.get("type", "unicast") == "unicast"}


def inside(lab, name):
    """What runs a command in the network of a node, the router, or a rack's switch."""
    with open(f"/run/fairlead-lab/{lab.name}/state", encoding="utf-8") as f:
        pid = next(line.split()[2] for line in f if line.split()[1] == name)
    return ["nsenter", f"--net=/proc/{pid}/ns/net"]


def member(lab, name, *argv):
    return subprocess.run([*inside(lab, name), *argv], capture_output=True, text=True, check=True)


class Deletions:
    """Of routes, with the time that `ip` puts to them: to look in turn at each node would take longer than what is measured."""

    def __init__(self, lab, nodes):
        self.monitors = [subprocess.Popen([*inside(lab, n), "ip", "-ts", "monitor", "route"], stdout=subprocess.PIPE, text=True)
                         for n in nodes]

    def end(self):
        """Of each node {prefix: when it was last deleted}."""
        for m in self.monitors:
            m.terminate()
        texts = [m.communicate(timeout=10)[0] for m in self.monitors]
        return [{ipaddress.ip_network(net): datetime.datetime.fromisoformat(at)
                 for at, net in re.findall(r"^\[(\S+)\] Deleted (?:unicast )?([0-9a-f.:]+/\d+) ", text, re.M)} for text in texts]


def knows(lab, node, others):
    """Has the node routes to all blocks of the others, and to no more?"""
    have = set(routes(lambda *argv: lab.node(node, *argv)))
    theirs = {name: nets <= have for name, nets in blocks(lab).items() if name != node}
    return theirs == {name: name in others for name in theirs}


def have_any(lab, node, nets):
    return bool(set(routes(lambda *argv: lab.node(node, *argv))) & nets)


def all_know(lab, nodes):
    return all(knows(lab, n, nodes - {n}) for n in nodes)


def wrong(lab, nodes, *args):
    """Probes between the pods of these nodes, the nodes and outside that did not connect; but from outside to pods in tunnels."""
    pods = {f"{p['namespace']}/{p['name']}": p["node"] for p in lab.status()["pods"]}
    rows = [r for r in lab.matrix("--all", *args) if all(pods.get(r[k], r[k]) in nodes | {"outside"} for k in ("from", "to"))]
    assert {r["family"] for r in rows} == {4, 6} and len({r["from"] for r in rows}) == 2 * len(nodes) + 1
    if lab.mode != "direct":
        rows = [r for r in rows if (r["from"], "/" in r["to"]) != ("outside", True)]
    return [r for r in rows if r["result"] != "connected"]


NODES = {"n1", "n2", "n3", "n4"}


def bfd_is_up(lab, node):
    """Both sides of all that the node has as a peer."""
    peers = json.loads(lab.store("bgp", "status", "-o", "json", check=False).stdout)["peers"]
    return {p["bfd"] for p in peers if node in (p["node"], p["name"])} == {"Up"}


def test_everybody_reaches_everybody(world):
    wait_for(lambda: all_know(world, NODES), 20, "routes on all nodes")
    if world.mode == "direct":
        wait_for(lambda: set().union(*blocks(world).values()) <= set(routes(lambda *a: member(world, "router", *a))), 20, "routes of the router")
    assert wrong(world, NODES) == []


def test_who_told(world):
    """By BGP alone: the pools say so; between racks it is BIRD in mode direct, the tunnel else."""
    pools = json.loads(world.store("get", "ippools", "-o", "json").stdout)["items"]
    assert [p["spec"]["routes"] for p in pools] == ["bgp", "bgp"]
    assert world.status()["routes"] == world.routes
    wait_for(lambda: all_know(world, NODES), 20, "routes on all nodes")
    n1, of = routes(lambda *argv: world.node("n1", *argv)), blocks(world)
    for net in of["n2"] | of["n3"]:
        near, v6 = net in of["n2"], net.version == 6
        if world.mode != "direct":
            assert n1[net]["dev"] == ("tunl0" if world.mode == "ipip" and not v6 else "vxlan0"), n1[net]
        else:
            assert n1[net]["gateway"] == (("fd00:18:1::12" if near else "fd00:18:1::1") if v6 else ("172.18.1.12" if near else "172.18.1.1"))
    if world.mode == "direct":
        have = routes(lambda *a: member(world, "router", *a), "proto", "bird")
        assert set(have) == set().union(*of.values())


def test_node_lost(world):
    """Its neighbour, BIRD, and nodes behind the plain router see by BFD that it is gone: no node has its routes a second later. Others
    go on."""
    wait_for(lambda: all_know(world, NODES), 20, "routes on all nodes")
    left = NODES - {"n3"}  # a reflector, where there are some
    wait_for(lambda: bfd_is_up(world, "n3"), 20, "BFD")
    deletions = Deletions(world, left)
    lost = blocks(world)["n3"]
    assert all(have_any(world, n, lost) for n in left)
    member(world, "rack2", "ip", "link", "set", "n3", "down")
    cut = datetime.datetime.now()
    wait_for(lambda: not any(have_any(world, n, lost) for n in left), 25, "no routes of the lost node")
    for gone in deletions.end():
        assert lost <= set(gone)
        assert max(gone[net] - cut for net in lost).total_seconds() < 1
    assert all_know(world, left)
    assert wrong(world, left, "--timeout", "3000") == []
    member(world, "rack2", "ip", "link", "set", "n3", "up")
    wait_for(lambda: all_know(world, NODES), 40, "routes of all again")
    assert wrong(world, NODES, "--timeout", "3000") == []
