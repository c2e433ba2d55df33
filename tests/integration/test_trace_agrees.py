# SPDX-License-Identifier: Apache-2.0
"""why, trace and the independent oracles agree on random flows in a lab of random pods, policies and Services: the oracles
say what may become of a flow, why predicts the same, a real packet does it, and each of its hops is as predicted."""
import collections
import ipaddress
import json
import random

import pytest
import yaml
from harness import needs, wait_for

import policy_random
import service_world
from test_why_hops import Model

pytestmark = needs("nft")

NODES = ("n1", "n2", "n3")
PORTS = [{"name": "http", "containerPort": 80, "protocol": "TCP"}, {"name": "metrics", "containerPort": 8080, "protocol": "TCP"},
         {"name": "dns", "containerPort": 53, "protocol": "UDP"}]
ASKED = [("TCP", 80), ("TCP", 8080), ("UDP", 53)]
NAMESPACES = ("x", "y")
MODES = {"direct": ["--mode", "direct"], "vxlan": ["--mode", "vxlan"], "cross-subnet": ["--mode", "vxlan", "--cross-subnet"],
         "ipip": ["--mode", "ipip"]}


def objects(r):
    out = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n, "labels": policy_random.labels(r, team=policy_random.TEAMS)}}
           for n in NAMESPACES]
    for i in range(9):
        out.append({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": r.choice(NAMESPACES), "name": f"pod{i}", "labels": {
            "n": str(i), **policy_random.labels(r, app=policy_random.APPS, tier=policy_random.TIERS)}},
            "spec": {"nodeName": NODES[i % 3], "containers": [{"name": "c", "ports": PORTS}]}})
    pods = [o for o in out if o["kind"] == "Pod"]
    for i in range(1, 6):
        p = r.choice(pods)
        proto, port = r.choice(ASKED)
        spec = {"ipFamilyPolicy": "PreferDualStack", "selector": r.choice(({"n": p["metadata"]["labels"]["n"]}, {"app": r.choice(policy_random.APPS)})),
                "ports": [{"name": "p", "port": 1000 + i, "protocol": proto, "targetPort": port}],
                "internalTrafficPolicy": r.choice(("Cluster", "Cluster", "Local"))}
        if i % 2:
            spec |= {"type": "NodePort", "externalTrafficPolicy": r.choice(("Cluster", "Local"))}
            spec["ports"][0]["nodePort"] = 30000 + i
        out.append({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": p["metadata"]["namespace"], "name": f"s{i}"}, "spec": spec})
    return out + [policy_random.policy(r, i, NAMESPACES) for i in range(4)]


class LabModel(Model):
    """With the addresses that pods and nodes have in the lab."""
    tunnels = {}  # (node, family): address; empty without tunnels
    tunnelled = staticmethod(lambda node, to: True)

    def arrives_from(self, node, to, v):
        return self.tunnels[node, v] if self.tunnels and self.tunnelled(node, to) else self.node_ip(node, v)

    def apart(self, node, to):
        """In different racks?"""
        a, b = (ipaddress.ip_interface(self.node_ip(n, 4) + "/24").network for n in (node, to))
        return a != b


def listed(lab, kind):
    return json.loads(lab.store("get", kind, "-A", "-o", "json").stdout)["items"]


def model_of(lab, mode, policy_oracle, service_oracle, policies):
    nodes = [{"name": n["metadata"]["name"], "ips": [a["address"] for a in n["status"]["addresses"] if a["type"] == "InternalIP"]}
             for n in listed(lab, "nodes")]
    pods = [{"namespace": p["metadata"]["namespace"], "name": p["metadata"]["name"], "labels": p["metadata"].get("labels", {}),
             "ips": [i["ip"] for i in p["status"]["podIPs"]], "node": p["spec"]["nodeName"], "hostNetwork": False,
             "ports": [{"name": q["name"], "port": q["containerPort"], "protocol": q["protocol"]} for q in PORTS]}
            for p in listed(lab, "pods")]
    spaces = [{"name": n["metadata"]["name"], "labels": n["metadata"].get("labels", {})} for n in listed(lab, "namespaces")]
    c = {"namespaces": spaces, "pods": pods, "nodes": nodes, "external": [{"name": "beyond", "ip": "203.0.113.250"}]}
    tunnels = {(b["spec"]["node"], ipaddress.ip_address(a).version): a for b in listed(lab, "ipblocks")
               for a in [b["spec"].get("tunnelAddress")] if a}
    for n in NODES:  # a node's tunnel address is nobody's but the node's
        its = [a for (node, _), a in tunnels.items() if node == n]
        c["external"] += [{"name": f"tunnel-{n}", "ips": its}] if its else []
    m = LabModel(policy_oracle, service_oracle, c, policies, listed(lab, "services") + listed(lab, "endpointslices"))
    m.cidrs = {ipaddress.ip_network(x["spec"]["cidr"]).version: x["spec"]["cidr"] for x in listed(lab, "ippools")}
    m.tunnels = tunnels
    assert bool(tunnels) == (mode != "direct")
    if mode == "cross-subnet":
        m.tunnelled = m.apart
    return m, pods, nodes


def flows(r, m, pods, nodes, n):
    svcs = [o for o in m.objects if o["kind"] == "Service" and o["spec"].get("clusterIP", "None") != "None"]
    for _ in range(n):
        p, v = r.choice(pods), r.choice((4, 6))
        pick = lambda ips: next(a for a in ips if ipaddress.ip_address(a).version == v)
        kind = r.random()
        s = r.choice([x for x in svcs if kind >= 0.3 or "nodePort" in x["spec"]["ports"][0]])
        front = s["spec"]["ports"][0]
        if kind < 0.3:
            dst, port, proto = pick(r.choice(nodes)["ips"]), front["nodePort"], front["protocol"]
        elif kind < 0.65:
            dst, port, proto = pick(s["spec"]["clusterIPs"]), front["port"], front["protocol"]
        else:
            proto, port = r.choice(ASKED)
            dst = pick(r.choice(pods)["ips"])
        yield p, pick(p["ips"]), dst, proto, port


CAME = {"answered", "delivered"}


def agree(lab, mode, suites, oracle, r, policies, n):
    m, pods, nodes = model_of(lab, mode, oracle, service_world.oracle(suites), policies)
    seen, wrong = collections.Counter(), []
    for p, src, dst, proto, port in flows(r, m, pods, nodes, n):
        name, to = f"{p['namespace']}/{p['name']}", f"[{dst}]:{port}" if ":" in dst else f"{dst}:{port}"
        want = dict(collections.Counter(m.on_node(p["node"], src, proto, dst, port, False)))
        ask = [name, to, "--proto", proto.lower(), "-o", "json"]
        why = json.loads(lab.store("why", *ask, check=False).stdout)
        says = collections.Counter()
        for way in why["ways"]:
            says[way["verdict"]] += way["weight"]
        told = lab.store("trace", *ask, "--diff", "--timeout", "1", check=False)
        flow = {"flow": ask, "oracles": want, "why": dict(says)}
        if dict(says) != want:
            wrong.append(flow)
        if not told.stdout:
            wrong.append(flow | {"trace": told.stderr})
            continue
        trace = json.loads(told.stdout)
        got = "answered" if trace["verdict"] in CAME else trace["verdict"]
        seen[got] += 1
        if got not in want or trace["diff"]["differences"]:
            wrong.append(flow | {"trace": trace["sentence"], "unseen": trace["unseen"], "differences": trace["diff"]["differences"]})
    assert not wrong, json.dumps(wrong, indent=1)
    assert seen["answered"] and seen["dropped"], seen


def lab_of(module_lab, tmp_path_factory, mode, attachment, seed):
    r = random.Random(seed)
    objs = objects(r)
    path = tmp_path_factory.mktemp("m") / "m.yaml"
    path.write_text(yaml.safe_dump_all(objs))
    a = module_lab("--nodes", 3, "--racks", 2, *MODES[mode], "--attachment", attachment, manifests=[path])
    wait_for(lambda: all(p.get("status", {}).get("podIPs") for p in listed(a, "pods")), 10)
    return a, r, [o for o in objs if o["kind"] == "NetworkPolicy"]


@pytest.mark.parametrize("mode, attachment, seed", [("vxlan", "routed", 1), ("direct", "bridge", 3), ("ipip", "routed", 7)])
def test_some_flows_agree(module_lab, tmp_path_factory, suites, oracle, mode, attachment, seed):
    a, r, policies = lab_of(module_lab, tmp_path_factory, mode, attachment, seed)
    agree(a, mode, suites, oracle, r, policies, 20)


@pytest.mark.all_only("300 probes each")
@pytest.mark.parametrize("mode, attachment, seed", [
    ("vxlan", "routed", 2), ("direct", "bridge", 3), ("cross-subnet", "routed", 4), ("vxlan", "bridge", 5), ("direct", "routed", 6)])
def test_many_flows_agree(module_lab, tmp_path_factory, suites, oracle, mode, attachment, seed):
    a, r, policies = lab_of(module_lab, tmp_path_factory, mode, attachment, seed)
    agree(a, mode, suites, oracle, r, policies, 300)
