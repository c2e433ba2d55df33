# SPDX-License-Identifier: Apache-2.0
"""fairlead why: what a person and a program read, and the independent flows."""
import json
import re
import subprocess
import sys

import pytest

from harness import built

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
    {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "shop", "name": "new"}}]
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
    code, out, _ = why("203.0.113.9", "n2:30432")
    assert code == 0 and out.startswith("203.0.113.9 -> n2 (192.0.2.12:30432) by tcp, judged on node n2\n")
    assert "externalTrafficPolicy Local" in out and re.search("10.244.1.7:5432 +- .*on another node", out)
    code, out, _ = why("shop/web-0", "10.96.0.99:80")
    assert code == 1 and re.search("^DROP ", out, re.M)


def test_json(why):
    code, out, _ = why("203.0.113.9", "192.0.2.11:30432", "--node", "n1", "-o", "json")
    assert code == 0
    assert json.loads(out) == {
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
            "masquerade": False, "masquerade_because": "externalTrafficPolicy Local", "affinity": 10800}}
    code, out, _ = why("shop/web-0", "[fd00:96::21]:2", "-o", "json")
    answer = json.loads(out)
    assert code == 1 and answer["from"]["ip"] == "fd00:244:1::5"
    assert (answer["service"]["action"], answer["service"]["endpoints"]) == ("REJECT", [])
    assert answer["service"]["masquerade_because"] is None
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
    (("shop/web-0", "db.shop.pod"), 1, "is no pod, node, Service or address"),
    (("shop/web-0", "head"), 1, "Service head has no cluster IP"),
    (("shop/new", "shop/db"), 1, "Pod shop/new has no address"),
    (("shop/db-0", "[fd00:96::21]:1"), 1, "no address family in common"),
    (("shop/db", "shop/two:1"), 2, "a Service sends nothing"),
    (("shop/web-0", "db:0"), 2, "port must be 1 to 65535"),
    (("shop/web-0", "db", "--proto", "icmp"), 2, "proto"),
])
def test_what_cannot_be_asked(why, args, code, said):
    got = why(*args)
    assert got[0] == code and said in got[2] and not got[1], got


def test_where_pods_live(why):
    got = why("shop/web-0", "db", cidrs=())
    assert got[0] == 2 and "--pod-cidr" in got[2]


def test_from_the_store(store):
    """Without -f it is the store's objects, and the pools say who is a pod. A broken one is told."""
    store.apply(*NODES, *PODS, *DB, POOL)
    r = store.fairlead("why", "shop/web-0", "shop/db", "-o", "json")
    service = json.loads(r.stdout)["service"]
    assert (service["action"], service["masquerade"]) == ("DNAT", False)
    assert [e["ip"] for e in service["endpoints"] if not e["excluded_because"]] == ["10.244.1.7", "10.244.2.7"]
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
