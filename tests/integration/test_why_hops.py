# SPDX-License-Identifier: Apache-2.0
"""What why predicts of a packet's path, against the independent oracles: random pods, policies and Services, from
manifests. The oracles judge one decision each; how they follow upon each other is told here once more, in Python."""
import collections
import ipaddress
import itertools
import json
import random
import subprocess

import pytest

import policy_random
import service_world
from harness import built

CIDRS = {4: "10.244.0.0/16", 6: "fd00:244::/32"}
FRONTS = {4: "10.96.0.%d", 6: "fd00:96::%x"}
SERVICE_RANGES = {4: "10.96.0.0/16", 6: "fd00:96::/64"}


def services(r, c):
    """(Services, their EndpointSlices) that lead to pods of the cluster, or nowhere"""
    out = []
    for i in range(1, 5):
        ns = r.choice(c["namespaces"])["name"]
        proto, port = r.choice(policy_random.PORTS)
        spec = {"type": r.choice(("ClusterIP", "NodePort")), "clusterIP": FRONTS[4] % i, "clusterIPs": [FRONTS[4] % i, FRONTS[6] % i],
                "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack",
                "ports": [{"name": "p", "port": 1000 + i, "protocol": proto, "targetPort": port}],
                "internalTrafficPolicy": r.choice(("Cluster", "Cluster", "Local"))}
        if spec["type"] == "NodePort":
            spec["ports"][0]["nodePort"] = 30000 + i
            spec["externalTrafficPolicy"] = r.choice(("Cluster", "Local"))
        out.append({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": ns, "name": f"s{i}"}, "spec": spec})
        pods = r.sample(c["pods"], r.randint(0, min(3, len(c["pods"]))))
        for v in (4, 6):
            eps = [{"addresses": [a], "nodeName": p["node"], "conditions": {"ready": r.random() < 0.9},
                    "targetRef": {"kind": "Pod", "namespace": p["namespace"], "name": p["name"]}}
                   for a, p in {a: p for p in pods for a in p["ips"] if ipaddress.ip_address(a).version == v}.items()]
            out.append({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": f"IPv{v}",
                        "metadata": {"namespace": ns, "name": f"s{i}-{v}", "labels": {"kubernetes.io/service-name": f"s{i}"}},
                        "ports": [{"name": "p", "port": port, "protocol": proto}], "endpoints": eps})
    return out


def pools():
    return [{"apiVersion": "fairlead.io/v1", "kind": "IPPool", "metadata": {"name": f"p{v}"},
             "spec": {"cidr": cidr, "mode": "Direct", "natOutgoing": True}} for v, cidr in CIDRS.items()]


def address(member, version):
    """Its first of the family, or None."""
    return next((str(i) for i in member.ips if i.version == version), None)


class Model:
    """A packet through the cluster, by the oracles."""
    cidrs = CIDRS  # where pods live

    def __init__(self, policy_oracle, service_oracle, c, policies, objects):
        self.policies = policy_oracle.Oracle(c, policies)
        self.service_oracle, self.objects = service_oracle, objects
        self.nodes = {n["name"]: n["ips"] for n in c["nodes"]}

    def node_ip(self, node, version):
        return next(a for a in self.nodes[node] if ipaddress.ip_address(a).version == version)

    def arrives_from(self, node, to, v):
        """The source of what one node sends another's pod in its own name."""
        return self.node_ip(node, v)

    def member(self, ip):
        """Whom the others take the address for: pods of the host's network have none."""
        return next((e for e in self.policies.c.endpoints if (e.is_plain_pod or e.kind != "pod") and ipaddress.ip_address(ip) in e.ips), None)

    def service(self, node, src, proto, dst, port):
        v = ipaddress.ip_address(dst).version
        cfg = {"ipFamily": f"IPv{v}", "nodeName": node, "nodeIPs": self.nodes[node], "podCIDR": self.cidrs[v], "serviceCIDR": SERVICE_RANGES[v],
               "detectLocal": True, "masqueradeAll": False, "nodePortAddresses": ["all-local"]}
        return self.service_oracle.Proxy(self.objects, cfg).judge(src, proto, dst, port)

    def half(self, ingress, src, dst, proto, port, v):
        """Does the policy of one end let it through?"""
        a, b = self.member(src), self.member(dst)
        stranger = next(e for e in self.policies.c.endpoints if e.kind == "external")
        a, b = a or stranger, b or stranger
        if a is b:
            return True
        return self.policies.detail(a, b, proto, port, v)["ingress" if ingress else "egress"]["allowed"]

    def on_node(self, node, src, proto, dst, port, own):
        """[result] for each endpoint: from there on. `own`: the node itself sends it."""
        v = ipaddress.ip_address(dst).version
        got = self.service(node, src, proto, dst, port)
        if got["action"] in ("REJECT", "DROP"):
            return ["refused" if got["action"] == "REJECT" else "dropped"]
        if got["action"] == "DNAT":
            ends = [(e.rpartition(":")[0].strip("[]"), int(e.rpartition(":")[2])) for e in got["endpoints"]]
            return [self.forward(node, src, proto, ip, p, got["masquerade"] or ip == src, own, v) for ip, p in ends]
        there = self.member(dst)
        elsewhere = there and there.kind == "node" and there.node != node
        if elsewhere and not own and not self.half(False, src, dst, proto, port, v):
            return ["dropped"]
        if elsewhere:
            pod = ipaddress.ip_address(src) in ipaddress.ip_network(self.cidrs[v])
            return self.on_node(there.node, self.node_ip(node, v) if pod else src, proto, dst, port, False)
        return [self.forward(node, src, proto, dst, port, False, own, v)]

    def forward(self, node, src, proto, dst, port, masquerade, own, v):
        to, sender = self.member(dst), self.member(src)
        if to is None or to.kind != "pod":
            here = to is not None and to.node == node
            return "answered" if own or here or self.half(False, src, dst, proto, port, v) else "dropped"
        if own and to.node == node:
            return "answered"
        if sender and sender.is_plain_pod and sender.node == node and not self.half(False, src, dst, proto, port, v):
            return "dropped"
        if to.node != node and (masquerade or own):
            src = self.arrives_from(node, to.node, v)
        return "answered" if self.half(True, src, dst, proto, port, v) else "dropped"


def flows(r, c, objects, n):
    """(from, its node or None, address, protocol, port) of so many"""
    ends = [(f"{p['namespace']}/{p['name']}", p["node"], p["ips"], p["hostNetwork"]) for p in c["pods"]]
    ends += [(n["name"], n["name"], n["ips"], True) for n in c["nodes"]]
    ends += [(e["ip"], None, [e["ip"]], False) for e in c["external"]]
    svcs = [o for o in objects if o["kind"] == "Service"]
    while n:
        name, node, ips, own = r.choice(ends)
        kind = r.random()
        if kind < 0.6:
            s = r.choice(svcs)
            p = s["spec"]["ports"][0]
            front = kind < 0.3 and "nodePort" in p
            tos, port, proto = ([a for x in c["nodes"] for a in x["ips"]], p["nodePort"], p["protocol"]) if front else \
                (s["spec"]["clusterIPs"], p["port"] if r.random() < 0.95 else 9, p["protocol"])
        else:
            proto, port = r.choice(policy_random.PORTS)
            tos = r.choice(ends)[2]
        pairs = [(a, b) for a, b in itertools.product(ips, tos) if ipaddress.ip_address(a).version == ipaddress.ip_address(b).version]
        if not pairs or (node is None and ipaddress.ip_address(pairs[0][1]) in ipaddress.ip_network("10.96.0.0/16")):
            continue
        src, dst = r.choice(pairs)
        n -= 1
        yield name, node, src, dst, proto, port, own


def predicted(path, name, dst, proto, port, node):
    to = f"[{dst}]:{port}" if ":" in dst else f"{dst}:{port}"
    ranges = [x for cidr in SERVICE_RANGES.values() for x in ("--service-cidr", cidr)]
    r = subprocess.run([built("bin/fairlead"), "why", name, to, "--proto", proto.lower(), "-f", path, "-o", "json", *ranges,
                        *(["--node", node] if node else [])], capture_output=True, text=True, timeout=60)
    assert r.stdout, (name, to, r.stderr)
    got = json.loads(r.stdout)
    count = collections.Counter()
    for way in got["ways"]:
        count[way["verdict"]] += way["weight"]
    return dict(count), got


def some(suites, oracle, scratch, seeds, n):
    service_oracle, path, seen = service_world.oracle(suites), scratch / "o.json", collections.Counter()
    for seed in seeds:
        r = random.Random(seed)
        c, policies = policy_random.cluster(seed)
        objects = services(r, c)
        everything = policy_random.manifests(c, policies, seed)
        everything["items"] += pools() + objects
        path.write_text(json.dumps(everything))
        model = Model(oracle, service_oracle, c, policies, objects)
        for name, node, src, dst, proto, port, own in flows(r, c, objects, n):
            there = model.member(dst)
            enters = node or (there.node if there and there.node else r.choice(c["nodes"])["name"])
            want = dict(collections.Counter(model.on_node(enters, src, proto, dst, port, own)))
            got, answer = predicted(path, name, dst, proto, port, None if node else enters)
            assert got == want, (seed, name, src, dst, proto, port, enters, json.dumps(answer, indent=1))
            seen.update(want.keys())
    assert seen["answered"] and seen["dropped"] and seen["refused"], seen


def test_some_random_paths(suites, oracle, scratch):
    some(suites, oracle, scratch, range(8), 12)


@pytest.mark.all_only("3000 flows, a process each")
def test_many_random_paths(suites, oracle, scratch):
    some(suites, oracle, scratch, range(100, 200), 30)
