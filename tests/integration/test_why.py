# SPDX-License-Identifier: Apache-2.0
"""fairlead why: what a person and a program read, and the independent flows."""
import json
import random
import re
import subprocess
import sys

import pytest
import yaml

import policy_world
from harness import ROOT, built, wait_for

NODES = [
    {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}},
     "status": {"addresses": [{"type": "InternalIP", "address": a} for a in ips]}}
    for name, zone, ips in (("n1", "a", ["192.0.2.11", "2001:db8::11"]), ("n2", "b", ["192.0.2.12", "2001:db8::12"]))]
PODS = [
    {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "shop", "name": "web-0"},
     "spec": {"nodeName": "n1"}, "status": {"podIPs": [{"ip": "10.244.1.5"}, {"ip": "fd00:244:1::5"}]}},
    {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "shop", "name": "db-0",
                                                     "annotations": {"fairlead.io/ips": '["10.244.1.7"]'}},
     "spec": {"nodeName": "n1"}},
    {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "shop", "name": "new"}},
    {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "shop", "name": "on-host"}, "spec": {"hostNetwork": True, "nodeName": "n9"}},
    {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "shop", "name": "idle"},
     "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "idle"}}, "template": {"metadata": {"labels": {"app": "idle"}}}}}]
POOL = {"apiVersion": "fairlead.io/v1", "kind": "IPPool", "metadata": {"name": "default"}, "spec": {"cidr": "10.244.0.0/16"}}


def service(name, ips, ports, **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "shop", "name": name},
            "spec": {"clusterIP": ips[0], "clusterIPs": ips, "ports": ports, **spec}}


def endpoint(ip, node, pod, **more):
    return {"addresses": [ip], "nodeName": node, "targetRef": {"kind": "Pod", "namespace": "shop", "name": pod}, **more}


DB = [service("db", ["10.96.0.20"], [{"name": "pg", "port": 5432, "nodePort": 30432}], type="NodePort",
              externalTrafficPolicy="Local", sessionAffinity="ClientIP"),
      {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
       "metadata": {"namespace": "shop", "name": "db-1", "labels": {"kubernetes.io/service-name": "db"}},
       "addressType": "IPv4", "ports": [{"name": "pg", "port": 5432}],
       "endpoints": [endpoint("10.244.1.7", "n1", "db-0", zone="a"), endpoint("10.244.2.7", "n2", "db-1"),
                     endpoint("10.244.2.8", "n2", "db-2", conditions={"ready": False})]}]
TWO = [service("two", ["10.96.0.21", "fd00:96::21"], [{"name": "a", "port": 1}, {"name": "b", "port": 2}, {"name": "c", "port": 3, "protocol": "UDP"}]),
       service("head", ["None"], [{"port": 80}])]
PORTS = [{"apiVersion": "fairlead.io/v1", "kind": "WorkloadEndpoint", "metadata": {"namespace": "shop", "name": "web-0-eth0"},
          "spec": {"node": "n1", "pod": "web-0", "ips": ["10.244.1.5/32", "fd00:244:1::5/128"],
                   "ports": [{"hostPort": 8080, "containerPort": 80, "protocol": "TCP"}]}}]


@pytest.fixture
def why(scratch):
    """why(args...) on the objects above, in a file: (exit code, standard output, standard error)"""
    path = scratch / "objects.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": NODES + PODS + DB + TWO + PORTS}))

    def run(*args, cidrs=("10.244.0.0/16", "fd00:244::/32")):
        pods = [x for c in cidrs for x in ("--pod-cidr", c)]
        r = subprocess.run([built("bin/fairlead"), "why", *args, "-f", path, *pods, "--service-cidr", "10.96.0.0/12"],
                           capture_output=True, text=True, timeout=60)
        return r.returncode, r.stdout, r.stderr
    return run


def test_text(why):
    code, out, _ = why("shop/db-0", "shop/db")
    assert code == 0
    head, table = out.split("\n\n")[0], out.split("\n\n")[2]
    assert head == "shop/db-0 (10.244.1.7) -> shop/db (10.96.0.20:5432) by tcp, judged on node n1"
    assert "keeps its endpoint for 10800 s" in out
    assert [re.split(" {2,}", l) for l in table.splitlines()] == [
        ["ENDPOINT", "SHARE", "POD", "NODE", "ZONE", "NOTE"],
        ["10.244.1.7:5432", "1/2", "shop/db-0", "n1", "a", "itself: its source is translated"],
        ["10.244.2.7:5432", "1/2", "shop/db-1", "n2", "-", "-"],
        ["10.244.2.8:5432", "-", "shop/db-2", "n2", "-", "not ready"]]
    assert out.split("\n\n")[-1].splitlines()[0] == "path      1/2 shop/db-0 > n1: Service shop/db:pg, source 192.0.2.11 > shop/db-0, and back"
    whole = why("shop/db-0", "shop/db", "--hops")[1]
    assert "1 of 2:" in whole and re.search("untranslate +.*10.96.0.20:5432", whole) and "path  " not in whole
    code, out, _ = why("203.0.113.9", "n2:30432")
    assert code == 0 and out.startswith("203.0.113.9 -> n2 (192.0.2.12:30432) by tcp, judged on node n2\n")
    assert "externalTrafficPolicy Local" in out and re.search("10.244.1.7:5432 +- .*on another node", out)
    code, out, _ = why("shop/web-0", "10.96.0.99:80")
    assert code == 1 and re.search("^DROP ", out, re.M)


def test_json(why):
    code, out, _ = why("203.0.113.9", "192.0.2.11:30432", "--node", "n1", "-o", "json")
    assert code == 0
    answer = json.loads(out)
    way, = answer.pop("ways")
    assert answer.pop("hops") == way["hops"]
    assert [(h["direction"], h["where"]["node"], h["where"]["pod"], h["step"]) for h in way["hops"]] == [
        ("request", "outside", None, "send"), ("request", "n1", None, "enter-node"), ("request", "n1", None, "service"),
        ("request", "n1", None, "route"), ("request", "n1", "shop/db-0", "enter-pod"), ("request", "n1", "shop/db-0", "deliver"),
        ("reply", "n1", "shop/db-0", "answer"), ("reply", "n1", "shop/db-0", "leave-pod"), ("reply", "n1", None, "enter-node"),
        ("reply", "n1", None, "untranslate"), ("reply", "n1", None, "route"), ("reply", "n1", None, "leave-node"),
        ("reply", "outside", None, "deliver")]
    assert way["hops"][2]["by"] == {"kind": "Service", "ns": "shop", "name": "db", "rule": "pg"}
    assert way["hops"][2]["after"]["dst"] == "10.244.1.7" and way["verdict"] == "answered" and not way["observed"]
    assert answer == {
        "from": {"name": "203.0.113.9", "ip": "203.0.113.9"}, "to": {"name": "192.0.2.11", "ip": "192.0.2.11", "port": 30432},
        "proto": "tcp", "node": "n1",
        "service": {
            "action": "DNAT", "name": "shop/db", "port": "pg", "kind": "NodePort",
            "reason": "one of its endpoints on this node: externalTrafficPolicy Local",
            "endpoints": [
                {"ip": "10.244.1.7", "port": 5432, "pod": "shop/db-0", "node": "n1", "zone": "a", "weight": 1,
                 "excluded_because": None, "hairpin": False},
                {"ip": "10.244.2.7", "port": 5432, "pod": "shop/db-1", "node": "n2", "zone": None, "weight": 0,
                 "excluded_because": "on another node", "hairpin": False},
                {"ip": "10.244.2.8", "port": 5432, "pod": "shop/db-2", "node": "n2", "zone": None, "weight": 0,
                 "excluded_because": "on another node", "hairpin": False}],
            "masquerade": False, "masquerade_because": "externalTrafficPolicy Local", "affinity": 10800},
        "allowed": True, "partly": False, "reason": "no policy isolates shop/db-0 for ingress", "by": [],
        "policy": [{"ip": "10.244.1.7", "port": 5432, "pod": "shop/db-0", "dns": None, "source": "203.0.113.9", "source_because": None,
                    "allowed": True,
                    "egress": {"state": "exempt", "reason": "203.0.113.9 is no pod that a policy can select", "misses": []},
                    "ingress": {"state": "open", "reason": "no policy isolates shop/db-0 for ingress", "misses": []}}]}
    code, out, _ = why("shop/web-0", "[fd00:96::21]:2", "-o", "json")
    answer = json.loads(out)
    assert code == 1 and answer["from"]["ip"] == "fd00:244:1::5"
    assert (answer["service"]["action"], answer["service"]["endpoints"]) == ("REJECT", [])
    assert answer["service"]["masquerade_because"] is None
    assert (answer["allowed"], answer["reason"], answer["policy"]) == (False, "no endpoint can serve", [])
    assert answer["by"] == [{"kind": "Service", "ns": "shop", "name": "two", "rule": None, "direction": None}]
    code, out, _ = why("shop/web-0", "192.0.2.11:80", "-o", "json")
    assert code == 0 and json.loads(out)["service"]["action"] == "PASS"
    assert json.loads(out)["service"]["name"] is None


def test_names(why):
    """All ways to say one Service, from a pod in its namespace."""
    for name in ("shop/db", "db", "db.shop", "db.shop.svc", "db.shop.svc.cluster.local", "db:5432", "10.96.0.20:5432"):
        code, out, err = why("shop/web-0", name, "-o", "json")
        assert code == 0, (name, err)
        assert json.loads(out)["service"]["name"] == "shop/db", name
    assert json.loads(why("shop/web-0", "two", "--proto", "udp", "-o", "json")[1])["to"]["port"] == 3


@pytest.mark.parametrize("args,code,said", [
    (("shop/web-0",), 2, "takes FROM and TO"),
    (("shop/web-0", "two"), 2, "which port"),
    (("shop/web-0", "n1"), 2, "which port"),
    (("203.0.113.9", "10.96.0.20:5432"), 2, "which node judges"),
    (("203.0.113.9", "10.96.0.20:5432", "--node", "n9"), 1, "Node n9: does not exist"),
    (("shop/web-9", "db"), 1, "shop/web-9 is no pod"),
    (("shop/web-0", "db.shop.pod"), 1, "is no pod, workload, node, Service or address"),
    (("shop/web-0", "head"), 1, "Service head has no cluster IP"),
    (("shop/on-host", "shop/db"), 1, "Pod shop/on-host has no address"),
    (("shop/idle", "shop/db"), 1, "Deployment shop/idle has no pods"),
    (("shop/db-0", "[fd00:96::21]:1"), 1, "no address family in common"),
    (("shop/db", "shop/two:1"), 2, "a Service sends nothing"),
    (("shop/web-0", "db:0"), 2, "port must be 1 to 65535"),
    (("shop/web-0", "db:5432", "--proto", "icmp"), 2, "db:5432: ICMP has no ports"),
    (("shop/web-0", "shop/db-0", "--proto", "igmp"), 2, "proto"),
])
def test_what_cannot_be_asked(why, args, code, said):
    got = why(*args)
    assert got[0] == code and said in got[2] and not got[1], got


def test_where_pods_live(why, scratch):
    """Without pools and --pod-cidr, pods are those whose addresses are known."""
    code, out, _ = why("shop/web-0", "db", "-o", "json", cidrs=())
    assert code == 0 and json.loads(out)["service"]["masquerade_because"] == "it is a pod"
    (scratch / "n.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": NODES + DB}))
    r = subprocess.run([built("bin/fairlead"), "why", "n1", "shop/db", "-f", scratch / "n.json"], capture_output=True, text=True,
                       timeout=60)
    assert r.returncode == 2 and "--pod-cidr" in r.stderr


def test_from_the_store(store):
    """Without -f it is the store's objects, and the pools say who is a pod. A broken one is told."""
    store.apply(*NODES, *PODS, *DB, POOL)
    r = store.fairlead("why", "shop/web-0", "shop/db", "-o", "json")
    service = json.loads(r.stdout)["service"]
    assert (service["action"], service["masquerade"]) == ("DNAT", False)
    assert [e["ip"] for e in service["endpoints"] if not e["excluded_because"]] == ["10.244.1.7", "10.244.2.7"]
    assert json.loads(r.stdout)["allowed"] is True
    store.apply(policy("deny", "none"), {**policy("all", "none"), "spec": {"podSelector": {}}})
    r = subprocess.run([built("bin/fairlead"), "--store", store.url, "why", "shop/web-0", "shop/db-0:5432", "-o", "json"],
                       capture_output=True, text=True, timeout=60)
    assert r.returncode == 1 and json.loads(r.stdout)["by"] == [by("all", "ingress")]
    r = store.fairlead("trace", "shop/new", "shop/db-0:5432", check=False)
    assert r.returncode == 1 and "Pod shop/new has no address yet" in r.stderr
    (store.path / "Service" / "shop" / "bad.json").write_text("{")
    r = subprocess.run([built("bin/fairlead"), "--store", store.url, "why", "shop/web-0", "shop/db"],
                       capture_output=True, text=True, timeout=60)
    assert r.returncode == 3 and "DNAT" in r.stdout and "bad" in r.stderr


def flows(suites, name, *args):
    r = subprocess.run([sys.executable, "-B", suites / "services_cases.py", built("bin/fairlead"),
                        suites / "services/public" / name, *args], capture_output=True, text=True, timeout=900)
    assert r.returncode == 0, r.stdout + r.stderr
    print(r.stdout)


def test_flows_of_kube_proxy(suites):
    """What kube-proxy's own tests assert. Not applicable: a proxy that cannot tell pods from others."""
    flows(suites, "flows.json")


def test_some_generated_flows(suites):
    flows(suites, "flows-generated.json", "--limit", "4")


@pytest.mark.all_only("2700 flows, a process each")
def test_all_generated_flows(suites):
    flows(suites, "flows-generated.json")


def test_host_port(why):
    """The pod that has the port, and that the client stays who it is but for the pod itself."""
    rc, out, _ = why("203.0.113.9", "n1:8080", "-o", "json")
    s = json.loads(out)["service"]
    assert rc == 0 and (s["action"], s["name"], s["port"], s["kind"]) == ("DNAT", "shop/web-0", "8080", "HostPort")
    assert s["masquerade"] is False and [(e["ip"], e["port"], e["pod"], e["node"]) for e in s["endpoints"]] == \
        [("10.244.1.5", 80, "shop/web-0", "n1")]
    rc, out, _ = why("shop/web-0", "192.0.2.11:8080")
    assert rc == 0 and re.search(r"^pod +shop/web-0$", out, re.M) and "it reaches itself" in out
    assert "fd00:244:1::5" in why("2001:db8:9::9", "[2001:db8::11]:8080", "-o", "json")[1]
    assert why("203.0.113.9", "n2:8080", "--node", "n2")[1].splitlines()[2].startswith("PASS")


# ---- policies

def pod(name, node, ip, app, **spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "shop", "name": name, "labels": {"app": app}},
            "spec": {"nodeName": node, "containers": [{"name": "c", "ports": [{"name": "pg", "containerPort": 5432}]}], **spec},
            "status": {"podIPs": [{"ip": ip}]}}


def policy(name, app, **spec):
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"namespace": "shop", "name": name},
            "spec": {"podSelector": {"matchLabels": {"app": app}}, **spec}}


SHOP = [pod("web-0", "n1", "10.244.1.5", "web"), pod("job-0", "n1", "10.244.1.6", "job"), pod("db-0", "n1", "10.244.1.7", "db"),
        pod("db-1", "n2", "10.244.2.7", "db"), pod("host", "n1", "192.0.2.11", "web", hostNetwork=True),
        service("db", ["10.96.0.20"], [{"name": "pg", "port": 5432, "nodePort": 30432}], type="NodePort"), DB[1],
        policy("db", "db", ingress=[{"from": [{"ipBlock": {"cidr": "203.0.113.0/24"}}, {"podSelector": {"matchLabels": {"app": "web"}}}],
                                     "ports": [{"port": "pg"}]}]),
        policy("job", "job", policyTypes=["Egress"]), policy("job-too", "job", policyTypes=["Egress"])]
BLOCK = {"apiVersion": "fairlead.io/v1", "kind": "IPBlock", "metadata": {"name": "10-244-1-0-26"},
         "spec": {"cidr": "10.244.1.0/26", "pool": "default", "node": "n1", "tunnelAddress": "10.244.1.1"}}


@pytest.fixture
def policed(scratch):
    """As `why`, on SHOP and more: (exit code, answer)"""
    def run(*args, more=()):
        path = scratch / "objects.json"
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": NODES + SHOP + list(more)}))
        r = subprocess.run([built("bin/fairlead"), "why", *args, "-f", path, "-o", "json"], capture_output=True, text=True, timeout=60)
        assert r.stdout, r.stderr
        return r.returncode, json.loads(r.stdout)
    run.path = scratch / "objects.json"
    return run


def by(name, direction, rule=None):
    return {"kind": "NetworkPolicy", "ns": "shop", "name": name, "rule": rule, "direction": direction}


def test_policy_between_pods(policed):
    """After the Service translated: the rule that allows, or who isolates and why nothing matched."""
    code, got = policed("shop/web-0", "shop/db")
    assert (code, got["allowed"], got["partly"], got["reason"]) == (0, True, False, "shop/db ingress[0].from[1]")
    assert got["by"] == [by("db", "ingress", "ingress[0].from[1]")]
    assert [(t["pod"], t["ip"], t["port"], t["allowed"]) for t in got["policy"]] == \
        [("shop/db-0", "10.244.1.7", 5432, True), ("shop/db-1", "10.244.2.7", 5432, True)]
    code, got = policed("shop/web-0", "shop/db-1:80")
    assert (code, got["service"]["action"], got["allowed"], got["reason"]) == (1, "PASS", False, "default deny by shop/db")
    assert got["by"] == [by("db", "ingress")]
    assert got["policy"][0]["ingress"]["misses"] == [
        {"ns": "shop", "name": "db", "rule": "ingress[0]", "why": "80/tcp is not pg/tcp (5432)"}]
    # Both ends deny: both are named.
    code, got = policed("shop/job-0", "shop/db")
    assert (code, got["reason"]) == (1, "default deny by shop/job, shop/job-too")
    assert got["by"] == [by("job", "egress"), by("job-too", "egress"), by("db", "ingress")]
    assert got["policy"][0]["egress"]["misses"] == [
        {"ns": "shop", "name": n, "rule": None, "why": "has no rule"} for n in ("job", "job-too")]
    assert got["policy"][0]["ingress"]["misses"][1]["why"] == "podSelector wants app=web, shop/job-0 has app=job"
    # An address that a pod has is that pod; what has none may not be reached either.
    assert policed("10.244.1.5", "10.244.2.7:5432")[1]["by"] == [by("db", "ingress", "ingress[0].from[1]")]
    assert policed("shop/job-0", "203.0.113.9:443")[1]["by"] == [by("job", "egress"), by("job-too", "egress")]
    assert policed("shop/job-0", "shop/job-0:1")[0] == 0
    assert policed("shop/job-0", "n1:22")[0] == 0 and policed("shop/job-0", "n2:22")[0] == 1


def test_policy_of_icmp(policed):
    """A rule with ports never has it, one without does; a cluster IP does not answer it. No port is told."""
    code, got = policed("shop/web-0", "shop/db-1", "--proto", "icmp")
    assert (code, got["proto"], got["to"]["port"], got["service"]["action"]) == (1, "icmp", None, "PASS")
    assert (got["allowed"], got["reason"], got["by"]) == (False, "default deny by shop/db", [by("db", "ingress")])
    assert (got["policy"][0]["port"], got["policy"][0]["ingress"]["misses"]) == (
        None, [{"ns": "shop", "name": "db", "rule": "ingress[0]", "why": "the protocol has no ports: not pg/tcp (5432)"}])
    assert [(h["step"], h["before"]["proto"], h["before"]["dport"]) for h in got["hops"] if h["step"] == "leave-pod"] == \
        [("leave-pod", "icmp", None)]
    every = policy("pings", "db", ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}]}])
    code, got = policed("shop/web-0", "shop/db-1", "--proto", "icmp", more=[every])
    assert (code, got["by"]) == (0, [by("pings", "ingress", "ingress[0].from[0]")])
    assert policed("shop/job-0", "shop/job-0", "--proto", "icmp")[0] == 0
    code, got = policed("shop/web-0", "shop/db", "--proto", "icmp")
    assert (code, got["service"]["action"], got["service"]["name"], got["reason"]) == (
        1, "REJECT", "shop/db", "a cluster IP answers by its ports alone")
    v6 = [{**pod(n, "n1", f"fd00:244:1::{i}", "db"), "metadata": {"namespace": "six", "name": n}} for i, n in enumerate("ab", 1)]
    code, got = policed("six/a", "six/b", "--proto", "icmp", more=v6)
    assert (code, got["proto"]) == (0, "icmp") and {h["before"]["proto"] for h in got["hops"]} == {"icmpv6"}


def test_policy_of_icmp_text(policed):
    policed("shop/web-0", "shop/db-1", "--proto", "icmp")
    out = subprocess.run([built("bin/fairlead"), "why", "shop/web-0", "shop/db-1", "--proto", "icmp", "-f", policed.path],
                         capture_output=True, text=True, timeout=60).stdout
    assert out.startswith("shop/web-0 (10.244.1.5) -> shop/db-1 (10.244.2.7) by icmp, judged on node n1\n\nPASS ")
    assert "\nDENIED    to shop/db-1 (10.244.2.7)\n" in out and "shop/db ingress[0]: the protocol has no ports: not pg/tcp (5432)\n" in out


def test_policy_of_sctp(policed):
    """As of any protocol with ports, by number and by the name that the pod has for it."""
    rule = policy("assoc", "db", ingress=[{"ports": [{"protocol": "SCTP", "port": 9000}]}])
    code, got = policed("shop/web-0", "shop/db-1:9000", "--proto", "sctp", more=[rule])
    assert (code, got["proto"], got["to"]["port"], got["by"]) == (0, "sctp", 9000, [by("assoc", "ingress", "ingress[0]")])
    code, got = policed("shop/web-0", "shop/db-1:9001", "--proto", "sctp", more=[rule])
    assert (code, got["reason"]) == (1, "default deny by shop/assoc, shop/db")
    assert [m["why"] for m in got["policy"][0]["ingress"]["misses"]] == ["9001/sctp is not 9000/sctp", "9001/sctp is not pg/tcp (5432)"]
    assert policed("shop/web-0", "shop/db-1:9000", more=[rule])[0] == 1  # tcp


def test_policy_of_masqueraded_flows(policed):
    """A node port with policy Cluster: the endpoint on the node sees the client, the other one the node,
    by the address that the way there gives it."""
    code, got = policed("203.0.113.9", "n1:30432")
    assert (code, got["allowed"], got["partly"], got["reason"]) == (3, False, True, "on 1 of 2 ways: default deny by shop/db")
    assert [(t["pod"], t["allowed"], t["source"], t["source_because"]) for t in got["policy"]] == [
        ("shop/db-0", True, "203.0.113.9", None), ("shop/db-1", False, "192.0.2.11", "masqueraded on n1: that node's address")]

    def sources(*more, spec=None):
        pool = {**POOL, "spec": {**POOL["spec"], **(spec or {})}}
        return [(t["source"], t["allowed"]) for t in policed("203.0.113.9", "n1:30432", more=[pool, *more])[1]["policy"][1:]]
    node_block = policy("node", "db", ingress=[{"from": [{"ipBlock": {"cidr": "192.0.2.11/32"}}]}])
    tunnel_block = policy("node", "db", ingress=[{"from": [{"ipBlock": {"cidr": "10.244.1.1/32"}}]}])
    assert sources(BLOCK, node_block, spec={"mode": "Direct"}) == [("192.0.2.11", True)]
    assert sources(BLOCK, node_block) == [("10.244.1.1", False)]
    assert sources(BLOCK, tunnel_block) == [("10.244.1.1", True)]
    assert sources(BLOCK, tunnel_block, spec={"crossSubnet": True}) == [("10.244.1.1", True), ("192.0.2.11", False)]
    assert sources(policy("pool", "db", ingress=[{"from": [{"ipBlock": {"cidr": "10.244.0.0/16"}}]}])) == [("10.244.0.0", True)]
    # What the node itself sends, or a pod on its network, leaves the same way.
    for source in ("n1", "shop/host"):
        got = policed(source, "shop/db-1:5432", more=[POOL, BLOCK, tunnel_block])
        assert got[0] == 0 and got[1]["policy"][0]["source"] == "10.244.1.1", got
        assert policed(source, "shop/db-0:5432")[1]["policy"][0]["ingress"]["reason"] == \
            "a node and its own pods may always reach each other"
    # A client that is a pod is none behind a masquerade.
    code, got = policed("shop/web-0", "n1:30432")
    assert code == 3 and [(t["source"], t["allowed"]) for t in got["policy"]] == [("10.244.1.5", True), ("192.0.2.11", False)]
    assert got["policy"][1]["ingress"]["misses"][1]["why"] == "selects pods, 192.0.2.11 is the address of none"


def test_policy_before_another_node_translates(policed):
    """A pod's packet to another node's port is judged as addressed to that node; there, as to the endpoint."""
    egress = policy("web", "web", policyTypes=["Egress"],
                    egress=[{"to": [{"podSelector": {"matchLabels": {"app": "db"}}}]}])
    code, got = policed("shop/web-0", "n2:30432", "--node", "n2", more=[egress])
    assert code == 1 and got["service"]["action"] == "DNAT"
    assert {t["egress"]["misses"][0]["why"] for t in got["policy"]} == {"selects pods, 192.0.2.12 is the address of none"}
    got = policed("shop/web-0", "n1:30432", more=[egress])[1]
    assert [t["egress"]["reason"] for t in got["policy"]] == ["shop/web egress[0].to[0]"] * 2
    # It leaves its own node as natOutgoing has it.
    for nat, source, because in ((False, "10.244.1.5", None), (True, "192.0.2.11", "natOutgoing of pool default on n1: that node's address")):
        pool = {**POOL, "spec": {**POOL["spec"], "natOutgoing": nat}}
        got = policed("shop/web-0", "n2:30432", "--node", "n2", more=[pool])[1]
        assert [(t["source"], t["source_because"]) for t in got["policy"] if t["pod"] == "shop/db-1"] == [(source, because)]


def test_policy_text(policed):
    policed("shop/web-0", "shop/db")

    def text(*args):
        return subprocess.run([built("bin/fairlead"), "why", *args, "-f", policed.path], capture_output=True, text=True, timeout=60).stdout.rsplit("\n\npath ", 1)[0] + "\n"
    assert text("shop/web-0", "shop/db").endswith(
        "\n\nALLOWED   to shop/db-0 (10.244.1.7:5432) and 1 more\n"
        "  egress    no policy isolates shop/web-0 for egress\n"
        "  ingress   shop/db ingress[0].from[1]\n")
    assert text("203.0.113.9", "n1:30432").endswith(
        "\n\nDENIED    to shop/db-1 (10.244.2.7:5432)\n"
        "  arrives   192.0.2.11, not 203.0.113.9: masqueraded on n1: that node's address\n"
        "  egress    203.0.113.9 is no pod that a policy can select\n"
        "  ingress   default deny by shop/db\n"
        "              shop/db ingress[0].from[0]: ipBlock 203.0.113.0/24 has not 192.0.2.11\n"
        "              shop/db ingress[0].from[1]: selects pods, 192.0.2.11 is the address of none\n")


@pytest.mark.parametrize("node,judge", [("n1", "node n1"), ("", "any node")])
def test_manifests_without_nodes(scratch, node, judge):
    """Those of people without a cluster, whether their pods name a node or not."""
    path = scratch / "objects.json"
    pods = [pod("web-0", node, "10.244.1.5", "web"), pod("db-0", node, "10.244.1.7", "db")]
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [*pods, policy("db", "db"), *DB]}))
    for to, code in (("shop/db-0:5432", 1), ("shop/db", 3)):  # 3: its second endpoint is no pod there
        r = subprocess.run([built("bin/fairlead"), "why", "shop/web-0", to, "-f", path], capture_output=True, text=True, timeout=60)
        assert r.returncode == code and f", judged on {judge}\n" in r.stdout and "default deny by shop/db\n" in r.stdout, r


# ---- pods that have no address yet

EXAMPLES = [ROOT / "examples" / n for n in ("shop.yaml", "policies.yaml")]


def offline(*args, files=EXAMPLES):
    return subprocess.run([built("bin/fairlead"), "why", *args, *(w for f in files for w in ("-f", f))], capture_output=True, text=True,
                          timeout=60)


def test_workloads_of_manifests():
    """Of each line of the examples' table `why` says what `policy test` must say."""
    table = yaml.safe_load((ROOT / "examples/policies.test.yaml").read_text())
    assert {x["expect"] for x in table} == {"allow", "deny"}
    for x in table:
        port, _, proto = x["port"].rpartition("/")
        r = offline(x["from"], x["to"] + (port and f":{port}"), "--proto", proto, "-o", "json")
        got = json.loads(r.stdout)
        assert (r.returncode, got["allowed"]) == {"allow": (0, True), "deny": (1, False)}[x["expect"]], (x, r)
        assert (got["hops"], got["ways"]) == ([], [])
        for end in ("from", "to"):
            assert (got[end]["ip"] is None) == ("/" in x[end])
            assert re.fullmatch(re.escape(x[end]) + r"(-[a-z0-9-]+)?", got[end]["name"])
        assert got["policy"][0]["ip"] == got["to"]["ip"] and got["policy"][0]["source"] == got["from"]["ip"]


def test_workloads_text():
    r = offline("shop/web", "shop/db:5432")
    web = re.match(r"(shop/web-\S+) ", r.stdout).group(1)
    assert r.returncode == 1 and r.stdout == (
        f"{web} (no address) -> shop/db-0 (no address, port 5432) by tcp, judged on any node\n\n"
        "PASS      no Service has this address and port\n\n"
        "DENIED    to shop/db-0 (no address, port 5432)\n"
        "  egress    default deny by shop/deny-all, shop/web\n"
        "              shop/deny-all: has no rule\n"
        "              shop/web egress[0]: 5432/tcp is not http/tcp (8080)\n"
        "  ingress   default deny by shop/db, shop/deny-all\n"
        f"              shop/db ingress[0].from[0]: podSelector wants app=api, {web} has app=web\n"
        "              shop/deny-all: has no rule\n\n"
        "path      not known, as an end has no address yet\n")
    two = offline("shop/api", "shop/api:9090", "--proto", "udp").stdout.split(" ")
    assert two[0] != two[4] and two[0].startswith("shop/api-") and two[4].startswith("shop/api-")  # not itself


def test_workload_or_service(scratch):
    """A Service of the name is meant by who sends there, if it has an address; no ipBlock has a pod without one."""
    def to(*services, port=":80", more=()):
        (scratch / "s.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [*services, *more]}))
        return json.loads(offline("shop/web", f"shop/db{port}", "-o", "json", files=[EXAMPLES[0], scratch / "s.json"]).stdout)
    got = to(service("db", ["10.96.0.20"], [{"port": 80}]), DB[1])
    assert (got["to"]["name"], got["service"]["action"], got["reason"]) == ("shop/db", "REJECT", "no endpoint can serve")
    ready = {**DB[1], "ports": [{"port": 5432}]}
    got = to(service("db", ["10.96.0.20"], [{"port": 80}]), ready)
    assert (got["service"]["action"], got["service"]["masquerade"], got["service"]["masquerade_because"]) == ("DNAT", False, "it is a pod")
    for s in (service("db", ["None"], [{"port": 80}]), {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "shop", "name": "db"},
                                                             "spec": {"ports": [{"port": 80}]}}):
        assert to(s)["to"]["name"] == "shop/db-0"
    block = policy("db", "db", ingress=[{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}])
    got = to(more=[block])
    assert (got["allowed"], got["policy"][0]["ingress"]["misses"][0]["why"]) == (False, "ipBlock 0.0.0.0/0, and no address is known")


def test_workload_of_the_store(store):
    """Its pods are those that the cluster has; one that is not there yet is judged too."""
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c"}]}}
    routed = [o for o in SHOP if o["metadata"]["name"] != "host"]
    store.apply(*NODES, *routed, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "shop", "name": "front"},
                                  "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template}}, PODS[2])
    got = json.loads(store.fairlead("why", "shop/front", "shop/db", "-o", "json").stdout)
    assert got["from"] == {"name": "shop/web-0", "ip": "10.244.1.5"} and got["hops"]
    r = store.fairlead("why", "shop/new", "shop/db-0:5432", "-o", "json", check=False)
    assert r.returncode == 1 and json.loads(r.stdout)["from"] == {"name": "shop/new", "ip": None}
    assert json.loads(r.stdout)["policy"][0]["ingress"]["misses"][1]["why"] == "podSelector wants app=web, shop/new has no app"


# ---- the independent cases of NetworkPolicy

def netpol_cells(suites):
    """[(objects, from, to, port, protocol, is it allowed)], an end as `why` takes it"""
    out = []
    for name in ("generated", "cyclonus", "k8s-e2e", "recipes"):
        doc = json.loads((suites / "netpol/public" / f"{name}.json").read_text())
        for step in (s for c in doc["cases"] for s in c["steps"]):
            cluster = doc["clusters"][step["cluster_ref"]] if "cluster_ref" in step else step["cluster"]
            pods = {(p["namespace"], p["name"]): p for p in cluster["pods"]}
            objects = policy_world.objects(cluster, step["policies"], {k: p.get("node") or "n1" for k, p in pods.items()})
            for key, p in pods.items():
                objects["Pod", *key]["status"] = {"podIPs": [{"ip": a} for a in policy_world.addresses(p)]}
            address = {e["name"]: e["ip"] for e in cluster.get("external") or []}
            for words, rows in step["expected"].items():
                proto, port = words.split("/")
                out += [(list(objects.values()), address.get(src, src), address.get(dst, dst), port, proto.lower(), want == ".")
                        for src in step["order"] for dst, want in zip(step["order"], rows[src]) if want != "#"]
    return out


def compare_cells(suites, path, n):
    cells = random.Random(5).sample(netpol_cells(suites), n)
    assert {allowed for *_, allowed in cells} == {True, False}
    for objects, src, dst, port, proto, allowed in cells:
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        to = f"[{dst}]:{port}" if ":" in dst else f"{dst}:{port}"
        r = subprocess.run([built("bin/fairlead"), "why", src, to, "--proto", proto, "-f", path, "-o", "json"],
                           capture_output=True, text=True, timeout=60)
        assert r.stdout, (src, to, r)
        assert json.loads(r.stdout)["allowed"] == allowed == (r.returncode == 0), (src, to, proto, path.read_text())


def test_some_cells_of_netpol(suites, scratch):
    compare_cells(suites, scratch / "c.json", 60)


@pytest.mark.all_only("3000 of 101066 cells, a process each")
def test_more_cells_of_netpol(suites, scratch):
    compare_cells(suites, scratch / "c.json", 3000)


# ---- the source that arrives, as packets have it

@pytest.fixture(scope="module", params=[("direct",), ("vxlan",), ("vxlan", "--cross-subnet")], ids=" ".join)
def world(request, module_lab, tmp_path_factory):
    """A node port on n1 whose only endpoint is on n2."""
    def one(name, node):
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "x", "name": name, "labels": {"app": name}},
                "spec": {"nodeName": node, "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}]}}
    front = {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "x", "name": "there"},
             "spec": {"type": "NodePort", "selector": {"app": "there"}, "ipFamilyPolicy": "PreferDualStack",
                      "ports": [{"port": 80, "targetPort": "http", "nodePort": 30080}]}}
    path = tmp_path_factory.mktemp("w") / "w.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [one("here", "n1"), one("there", "n2"), front]}))
    mode, *more = request.param
    a = module_lab("--nodes", 2, "--racks", 2 if more else 1, "--mode", mode, *more, manifests=[path])
    a.ways = 2 if more else 1
    return a


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("source,to", [("outside", "node port"), ("x/here", "node port"), ("n1", "node port"), ("x/here", "pod"),
                                       ("n1", "pod")])
def test_the_source_that_arrives(world, source, family, to):
    def of(addresses):
        return next(x for x in addresses if (":" in x) == (family == 6))
    status = world.status()
    target = of(next(n for n in status["nodes"] if n["name"] == "n1")["addresses"]) if to == "node port" else \
        of(next(p for p in status["pods"] if p["name"] == "there")["ips"])
    target = (f"[{target}]" if family == 6 else target) + (":30080" if to == "node port" else ":8080")
    wait_for(lambda: world.probe(source, target, "--timeout", 700)["results"]["connected"], 20, "the way is open")
    got = world.probe(source, target, "--count", 3, "--timeout", 700)
    seen = {x.rsplit(":", 1)[0].strip("[]") for x in got["server_sees"]}
    said = json.loads(world.store("why", source, target, "-o", "json").stdout)
    said = {t["source"] for t in said["policy"]}
    assert seen <= said and (len(said) == 1 or len(said) == world.ways), (seen, said)


@pytest.mark.parametrize("source", ["n1", "x/here"])
def test_range_of_services_of_the_node(world, source):
    """An address in it that no Service has: nobody tells `why` the range, but the node's state."""
    there = world.store("get", "service", "there", "-n", "x", "-o", "json").stdout
    used = json.loads(there)["spec"]["clusterIP"]
    for target, action, result in ((f"{used}:80", "DNAT", "connected"), ("10.111.255.254:80", "DROP", "timeout")):
        r = world.store("why", source, target, "-o", "json", check=False)
        assert json.loads(r.stdout)["service"]["action"] == action
        assert world.probe(source, target, "--timeout", 700)["results"][result] == 1
