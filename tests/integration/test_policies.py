# SPDX-License-Identifier: Apache-2.0
"""NetworkPolicies as real packets, from a table written by hand after the API's reference: in each state of
the cluster every pair on every port, one state after the other on one lab, so that each is a change too. And
random clusters, against the suites' oracle."""
import copy
import json

import pytest

import policy_random
from policy_world import PolicyWorld, cells, port_words

PORTS = ("TCP/80", "TCP/81", "TCP/8443", "UDP/80", "SCTP/80")
NET = {4: "10.61.{}.{}", 6: "fd00:61:{}::{}"}
CLIENTS = {4: ("198.51.100.7", "198.51.101.7"), 6: ("2001:db8:7::7", "2001:db8:8::7")}
BLOCKS = {4: {"near": "198.51.100.0/24", "both": "198.51.100.0/23", "shop": "10.61.1.0/24", "web": "10.61.1.10/32", "all": "0.0.0.0/0"},
          6: {"near": "2001:db8:7::/48", "both": "2001:db8::/32", "shop": "fd00:61:1::/64", "web": "fd00:61:1::10/128", "all": "::/0"}}


def cluster(family):
    """Two shops' namespaces and one that is bare; pods of one app in several, one name for two ports."""
    def pod(net, host, namespace, name, node, **labels):
        https = 81 if name == "api" else 8443
        ports = [{"name": "http", "port": 80}, {"name": "https", "port": https}, {"name": "http", "port": 80, "protocol": "UDP"},
                 {"port": 80, "protocol": "SCTP"}]
        return {"namespace": namespace, "name": name, "labels": labels, "node": node, "ip": NET[family].format(net, host), "ports": ports}
    return {"namespaces": [{"name": "shop", "labels": {"team": "shop"}}, {"name": "ops", "labels": {"team": "ops", "tier": "0"}}, {"name": "bare"}],
            "pods": [pod(1, 10, "shop", "web", "n1", app="web"), pod(1, 11, "shop", "api", "n2", app="api", tier="back"),
                     pod(1, 12, "shop", "db", "n1", app="db", tier="back"), pod(2, 20, "ops", "web", "n1", app="web"),
                     pod(2, 21, "ops", "probe", "n2", app="probe"), pod(3, 30, "bare", "one", "n2")],
            "external": [{"name": name, "ip": ip} for name, ip in zip(("near", "far"), CLIENTS[family])]}


def policy(name, pods=None, ns="shop", types=None, **rules):
    spec = {"podSelector": {"matchLabels": pods or {}}, **rules, **({"policyTypes": types} if types else {})}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name, "namespace": ns}, "spec": spec}


def sel(key, op, *values):
    return {"matchExpressions": [{"key": key, "operator": op, **({"values": list(values)} if values else {})}]}


def ns(name):
    return name.partition("/")[0]


def label(**labels):
    return {"matchLabels": labels}


DENY, DENY_OUT = policy("deny", types=["Ingress"]), policy("deny-out", types=["Egress"])
BACK = ("shop/api", "shop/db")


def with_pods(change):
    """The cluster with its pods changed by name."""
    def made(c):
        c = copy.deepcopy(c)
        change({f"{p['namespace']}/{p['name']}": p for p in c["pods"]}, {n["name"]: n for n in c["namespaces"]}, c)
        return c
    return made


def relabel(pods, namespaces, c):
    pods["bare/one"]["labels"] = {"app": "web"}
    namespaces["bare"]["labels"] = {"team": "ops"}


def gone(pods, namespaces, c):
    c["pods"].remove(pods["ops/probe"])


def cases(block):
    """(what, policies, is it allowed from f to t by p, change of the cluster)"""
    same = None
    return [
        ("no policy", [], lambda f, t, p: True, same),
        ("deny in", [DENY], lambda f, t, p: ns(t) != "shop", same),
        ("deny out", [DENY_OUT], lambda f, t, p: ns(f) != "shop", same),
        ("deny both", [policy("deny", types=["Ingress", "Egress"])], lambda f, t, p: "shop" not in (ns(f), ns(t)), same),
        ("a rule without peers and ports allows all", [DENY, policy("open", {"app": "web"}, ingress=[{}])],
         lambda f, t, p: ns(t) != "shop" or t == "shop/web", same),
        ("no rules with Egress by default of its rules", [policy("out", {"app": "web"}, egress=[{"to": [{"podSelector": {}}]}])],
         lambda f, t, p: t != "shop/web" and (f != "shop/web" or ns(t) == "shop"), same),
        ("rules of a direction that is no type do nothing",
         [policy("out", {"app": "web"}, types=["Egress"], ingress=[{"from": [{"podSelector": label(app="none")}]}], egress=[{}])],
         lambda f, t, p: True, same),
        ("pods of the policy's namespace", [policy("p", {"app": "db"}, ingress=[{"from": [{"podSelector": label(app="web")}]}])],
         lambda f, t, p: t != "shop/db" or f == "shop/web", same),
        ("all pods of a namespace by its name",
         [policy("p", {"app": "db"}, ingress=[{"from": [{"namespaceSelector": label(**{"kubernetes.io/metadata.name": "bare"})}]}])],
         lambda f, t, p: t != "shop/db" or ns(f) == "bare", same),
        ("both selectors: both must match",
         [policy("p", {"app": "db"}, ingress=[{"from": [{"namespaceSelector": label(team="ops"), "podSelector": label(app="web")}]}])],
         lambda f, t, p: t != "shop/db" or f == "ops/web", same),
        ("two peers: one must match",
         [policy("p", {"app": "db"}, ingress=[{"from": [{"namespaceSelector": label(team="ops")}, {"podSelector": label(app="web")}]}])],
         lambda f, t, p: t != "shop/db" or ns(f) == "ops" or f == "shop/web", same),
        ("every pod, no client", [policy("p", {"app": "db"}, ingress=[{"from": [{"namespaceSelector": {}}]}])],
         lambda f, t, p: t != "shop/db" or "/" in f, same),
        ("In and NotIn, which a missing key satisfies",
         [policy("p", {"app": "db"}, ingress=[{"from": [{"namespaceSelector": sel("team", "NotIn", "shop"), "podSelector": {}},
                                                        {"podSelector": sel("app", "In", "api", "x")}]}])],
         lambda f, t, p: t != "shop/db" or ns(f) in ("ops", "bare") or f == "shop/api", same),
        ("Exists and DoesNotExist", [policy("p", {"app": "web"}, egress=[{"to": [{"namespaceSelector": sel("tier", "Exists")},
                                                                                 {"podSelector": sel("tier", "DoesNotExist")}]}], types=["Egress"])],
         lambda f, t, p: f != "shop/web" or ns(t) == "ops" or t == "shop/web", same),
        ("a port's protocol is TCP by default", [policy("p", {"tier": "back"}, ingress=[{"ports": [{"port": 80}]}])],
         lambda f, t, p: t not in BACK or p == "TCP/80", same),
        ("UDP alone, SCTP alone", [policy("p", {"app": "api"}, ingress=[{"ports": [{"protocol": "UDP", "port": 80}]}]),
                                   policy("q", {"app": "db"}, ingress=[{"ports": [{"protocol": "SCTP", "port": 80}]}])],
         lambda f, t, p: t not in BACK or p == {"shop/api": "UDP/80", "shop/db": "SCTP/80"}[t], same),
        ("all ports of a protocol", [policy("p", {"app": "db"}, ingress=[{"ports": [{"protocol": "TCP"}]}])],
         lambda f, t, p: t != "shop/db" or p.startswith("TCP"), same),
        ("a range of ports", [policy("p", {"app": "db"}, ingress=[{"ports": [{"port": 81, "endPort": 8443}]}])],
         lambda f, t, p: t != "shop/db" or p in ("TCP/81", "TCP/8443"), same),
        ("a name is the receiving pod's port", [policy("p", {"tier": "back"}, ingress=[{"ports": [{"port": "https"}]}])],
         lambda f, t, p: t not in BACK or p == ("TCP/81" if t == "shop/api" else "TCP/8443"), same),
        ("and on the way out, with its protocol, never a client's",
         [policy("p", {"app": "web"}, types=["Egress"], egress=[{"ports": [{"port": "https"}, {"protocol": "UDP", "port": "http"}]}])],
         lambda f, t, p: f != "shop/web" or "/" in t and p in ("UDP/80", "TCP/81" if t == "shop/api" else "TCP/8443"), same),
        ("ports and peers of one rule", [policy("p", {"app": "db"}, ingress=[{"from": [{"podSelector": {}}], "ports": [{"port": 80}]},
                                                                             {"from": [{"namespaceSelector": label(team="ops")}],
                                                                              "ports": [{"protocol": "UDP", "port": 80}]}])],
         lambda f, t, p: t != "shop/db" or (ns(f), p) in (("shop", "TCP/80"), ("ops", "UDP/80")), same),
        ("a block", [policy("p", {"app": "db"}, ingress=[{"from": [{"ipBlock": {"cidr": block["near"]}}]}])],
         lambda f, t, p: t != "shop/db" or f == "near", same),
        ("a block but for a part", [policy("p", {"app": "db"}, ingress=[{"from": [{"ipBlock": {"cidr": block["both"], "except": [block["near"]]}}]}])],
         lambda f, t, p: t != "shop/db" or f == "far", same),
        ("pods are in blocks too", [policy("p", ns="ops", types=["Ingress", "Egress"],
                                           ingress=[{"from": [{"ipBlock": {"cidr": block["shop"], "except": [block["web"]]}}]}],
                                           egress=[{"to": [{"ipBlock": {"cidr": block["all"], "except": [block["shop"]]}}], "ports": [{"port": 80}]}])],
         lambda f, t, p: (ns(t) != "ops" or f in BACK)
         and (ns(f) != "ops" or ns(t) != "shop" and p == "TCP/80"), same),
        ("both ends must allow", [DENY_OUT, policy("out", {"app": "web"}, types=["Egress"], egress=[{"to": [{"podSelector": label(app="db")}]}]),
                                  policy("in", {"app": "db"}, ingress=[{"ports": [{"port": 80}]}])],
         lambda f, t, p: (ns(f) != "shop" or (f, t) == ("shop/web", "shop/db")) and (t != "shop/db" or p == "TCP/80"), same),
        ("policies add up", [DENY, policy("one", {"app": "db"}, ingress=[{"from": [{"podSelector": label(app="api")}]}]),
                             policy("two", {"tier": "back"}, ingress=[{"from": [{"ipBlock": {"cidr": block["near"]}}]}])],
         lambda f, t, p: ns(t) != "shop" or (f, t) == ("shop/api", "shop/db") or f == "near" and t in BACK, same),
        ("labels of a pod and of a namespace change",
         [policy("p", {"app": "db"}, ingress=[{"from": [{"namespaceSelector": label(team="ops"), "podSelector": label(app="web")}]}])],
         lambda f, t, p: t != "shop/db" or f in ("ops/web", "bare/one"), relabel),
        ("a pod goes", [policy("p", {"app": "db"}, ingress=[{"from": [{"namespaceSelector": label(team="ops")}]}])],
         lambda f, t, p: t != "shop/db" or ns(f) == "ops", gone),
        ("and comes back", [policy("p", {"app": "db"}, ingress=[{"from": [{"namespaceSelector": label(team="ops")}]}])],
         lambda f, t, p: t != "shop/db" or ns(f) == "ops", same),
        ("no policy any more", [], lambda f, t, p: True, same),
    ]


def expected(c, allows):
    names = [f"{p['namespace']}/{p['name']}" for p in c["pods"]] + [e["name"] for e in c["external"]]

    def cell(f, t, p):
        judged = f != t and ("/" in f or "/" in t)
        return "#" if not judged else "." if allows(f, t, p) else "X"
    return names, {p: {f: "".join(cell(f, t, p) for t in names) for f in names} for p in PORTS}


@pytest.mark.parametrize("family, attachment", [(4, "routed"), (6, "bridge"), pytest.param(4, "bridge", marks=pytest.mark.slow),
                                                pytest.param(6, "routed", marks=pytest.mark.slow)])
def test_table(lab, scratch, family, attachment):
    c, bad = cluster(family), []
    w = PolicyWorld(lab, scratch, c, attachment)
    for what, policies, allows, change in cases(BLOCKS[family]):
        now = with_pods(change)(c) if change else c
        w.to(now, policies)
        bad += [f"{what}: {text}" for text in w.wrong(now, cells(now, *expected(now, allows)))]
    assert not bad, f"{len(bad)} cells:\n" + "\n".join(bad[:100])


# ---- random clusters

# The generator's nodes have addresses of documentation; here they are the lab's.
LAB_NODES = {"192.0.2.0/24": "172.18.1.0/24", "192.0.2.": "172.18.1.1", "2001:db8::": "fd00:18:1::1"}
SOME, MANY = 3, 50


def on_the_lab(seed):
    text = json.dumps(policy_random.cluster(seed))
    for theirs, ours in LAB_NODES.items():
        text = text.replace(theirs, ours)
    return json.loads(text)


def test_random_cluster(oracle, lab, scratch, seed):
    """As the independent oracle judges it, nodes' own processes included."""
    c, policies = on_the_lab(seed)
    host = {f"{p['namespace']}/{p['name']}" for p in c["pods"] if p["hostNetwork"]}
    pods = {f"{p['namespace']}/{p['name']}" for p in c["pods"]} - host
    ports = [*policy_random.PORTS, policy_random.ICMP]
    wanted = {(src, dst, port_words(proto, port), family): want == "connected"
              for (src, dst, port, proto, family), want in policy_random.expected(oracle, c, policies, ports).items()
              if src != dst and pods & {src, dst} and not any(end.startswith("node:") for end in (src, dst))}
    w = PolicyWorld(lab, scratch, c, "routed")
    for node in {p["node"] for p in c["pods"] if p["hostNetwork"]}:  # its kernel holds no refusal back
        w.lab.node(node, "sysctl", "-q", "net.ipv4.icmp_ratemask=0", "net.ipv6.icmp.ratemask=0")
    w.to(c, policies)
    bad = w.wrong(c, wanted)
    assert not bad, f"{len(bad)} of {len(wanted)} cells:\n" + "\n".join(bad[:100])


def pytest_generate_tests(metafunc):
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(MANY if metafunc.config.option.run_all else SOME))
