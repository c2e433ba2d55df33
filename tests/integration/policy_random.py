# SPDX-License-Identifier: Apache-2.0
"""Random clusters and NetworkPolicies: as the independent oracle takes them, and as manifests. Small
alphabets, so that selectors, ports and blocks meet."""
import random

APPS, TIERS, TEAMS = ("web", "api", "db"), ("front", "back"), ("a", "b")
PORTS = [("TCP", 80), ("TCP", 81), ("TCP", 8080), ("UDP", 80), ("UDP", 53), ("SCTP", 80)]
ICMP = ("ICMP", None)
NAMES = ("http", "dns", "metrics")
METADATA_NAME = "kubernetes.io/metadata.name"


def some(r, *choices):
    return r.choice(choices)


def labels(r, **alphabets):
    return {k: r.choice(v) for k, v in alphabets.items() if r.random() < 0.7}


def selector(r, **alphabets):
    if r.random() < 0.15:
        return {}
    s, keys = {}, list(alphabets)
    if r.random() < 0.6:
        s["matchLabels"] = {k: r.choice(alphabets[k]) for k in r.sample(keys, r.randint(1, len(keys)))}
    for _ in range(r.choice((0, 1, 1, 2)) if s else 1):
        k, op = r.choice(keys), some(r, "In", "NotIn", "Exists", "DoesNotExist")
        e = {"key": k, "operator": op}
        if op in ("In", "NotIn"):
            e["values"] = r.sample(alphabets[k], r.randint(1, len(alphabets[k])))
        s.setdefault("matchExpressions", []).append(e)
    return s


def pods_selector(r):
    return selector(r, app=APPS, tier=TIERS)


def namespaces_selector(r, names):
    if r.random() < 0.4:
        return selector(r, **{METADATA_NAME: names})
    return selector(r, team=TEAMS)


def block(r):
    cidr, excepts = some(r, ("0.0.0.0/0", ("10.244.0.0/24", "10.244.1.0/28", "203.0.113.0/25", "192.0.2.1/32")),
                         ("10.244.0.0/16", ("10.244.0.0/24", "10.244.1.4/30")), ("192.0.2.0/24", ("192.0.2.2/32",)),
                         ("203.0.113.0/24", ("203.0.113.8/29",)), ("10.244.1.3/32", ()),
                         ("::/0", ("fd00:244::/64", "2001:db8:9::/48")), ("fd00:244::/32", ("fd00:244:0:1::/64",)))
    b = {"cidr": cidr}
    if excepts and r.random() < 0.5:
        b["except"] = r.sample(excepts, r.randint(1, len(excepts)))
    return b


def peer(r, names):
    kind = r.random()
    if kind < 0.3:
        return {"ipBlock": block(r)}
    p = {}
    if kind < 0.75:
        p["podSelector"] = pods_selector(r)
    if kind > 0.5:
        p["namespaceSelector"] = namespaces_selector(r, names)
    return p


def port(r):
    p = {}
    if r.random() < 0.8:
        p["protocol"] = some(r, "TCP", "TCP", "UDP", "SCTP")
    kind = r.random()
    if kind < 0.35:
        p["port"] = r.choice(NAMES)
    elif kind < 0.85:
        p["port"] = r.choice(PORTS)[1]
        if r.random() < 0.3:
            p["endPort"] = p["port"] + r.choice((0, 1, 8000))
    return p


def rule(r, key, names):
    out = {}
    if r.random() < 0.8:
        out[key] = [peer(r, names) for _ in range(r.choice((0, 1, 1, 2, 3)))]
    if r.random() < 0.6:
        out["ports"] = [port(r) for _ in range(r.choice((0, 1, 1, 2)))]
    return out


def policy(r, i, names):
    spec = {"podSelector": pods_selector(r)}
    types = some(r, None, None, [], ["Ingress"], ["Egress"], ["Ingress", "Egress"])
    if types is not None:
        spec["policyTypes"] = types
    for field, key in (("ingress", "from"), ("egress", "to")):
        if r.random() < 0.65:
            spec[field] = [rule(r, key, names) for _ in range(r.choice((0, 1, 1, 2)))]
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"namespace": r.choice(names), "name": f"p{i}"}, "spec": spec}


def cluster(seed):
    """(the oracle's cluster, policies)."""
    r = random.Random(seed)
    names = ["x", "y", "z"][:r.randint(1, 3)]
    nodes = [{"name": f"n{i}", "ip": f"192.0.2.{i}", "ips": [f"192.0.2.{i}", f"2001:db8::{i}"]} for i in (1, 2)]
    pods = []
    for i in range(r.randint(3, 9)):
        host = r.random() < 0.1
        ips = some(r, *[[f"10.244.{i % 2}.{i + 1}", f"fd00:244:0:{i % 2}::{i + 1}"]] * 2, [f"10.244.{i % 2}.{i + 1}"],
                   [f"fd00:244:0:{i % 2}::{i + 1}"])
        node = r.choice(nodes)
        ports = [{"port": n, "protocol": proto, **({"name": r.choice(NAMES)} if r.random() < 0.7 else {})}
                 for proto, n in r.sample(PORTS, r.randint(0, 3))]
        pods.append({"namespace": r.choice(names), "name": f"pod{i}", "labels": labels(r, app=APPS, tier=TIERS),
                     "ips": node["ips"] if host else ips, "node": node["name"], "hostNetwork": host,
                     "ports": [] if host else ports})
    c = {"namespaces": [{"name": n, "labels": labels(r, team=TEAMS)} for n in names], "pods": pods, "nodes": nodes,
         "external": [{"name": "world", "ip": "203.0.113.9"}, {"name": "partner", "ip": "203.0.113.130"},
                      {"name": "world6", "ip": "2001:db8:9::9"}]}
    return c, [policy(r, i, names) for i in range(r.randint(1, 7))]


def manifests(c, policies, seed=0):
    """Some namespaces lie about their name, some without labels have no object, and pods that have ended
    lie about: none of that may change a verdict."""
    r, out = random.Random(seed), []
    for n in c["nodes"]:
        out.append({"apiVersion": "v1", "kind": "Node", "metadata": {"name": n["name"]},
                    "status": {"addresses": [{"type": "InternalIP", "address": a} for a in n["ips"]]}})
    for n in c["namespaces"]:
        lies = {METADATA_NAME: some(r, "x", "y", n["name"])} if r.random() < 0.5 else {}
        if n["labels"] or lies:
            out.append({"apiVersion": "v1", "kind": "Namespace",
                        "metadata": {"name": n["name"], "labels": {**n["labels"], **lies}}})
    gone = [{**p, "name": f"gone-{p['name']}", "phase": some(r, "Succeeded", "Failed")} for p in c["pods"][:2]]
    for p in c["pods"] + gone:
        ports = [{**({"name": q["name"]} if "name" in q else {}), "containerPort": q["port"], "protocol": q["protocol"]}
                 for q in p["ports"]]
        out.append({"apiVersion": "v1", "kind": "Pod",
                    "metadata": {"namespace": p["namespace"], "name": p["name"], "labels": p["labels"]},
                    "spec": {"nodeName": p["node"], "hostNetwork": p["hostNetwork"],
                             "containers": [{"name": "c", "ports": ports}]},
                    "status": {"phase": p.get("phase", "Running"), "podIPs": [{"ip": a} for a in p["ips"]]}})
    return {"apiVersion": "v1", "kind": "List", "items": out + policies}


# ---- as the oracle judges them

def same_node(a, b):
    """The oracle judges pods of the host's network as strangers; the own node they are part of may always."""
    return a.node and a.node == b.node and (a.is_plain_pod != b.is_plain_pod)


def expected(oracle, c, policies, ports=tuple(PORTS)):
    """{(from, to, port, protocol, family): "connected" or "timeout"} of every pair"""
    o = oracle.Oracle(c, policies)
    want = {}
    for a in o.c.endpoints:
        for b in o.c.endpoints:
            for proto, port in ports:
                for family in {i.version for i in a.ips} & {i.version for i in b.ips}:
                    v = "." if a is b or same_node(a, b) else o.verdict(a, b, proto, port, family)
                    want[a.key, b.key, port, proto.lower(), family] = {".": "connected", "X": "timeout"}[v]
    return want
