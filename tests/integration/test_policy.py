# SPDX-License-Identifier: Apache-2.0
"""fairlead policy matrix and test: the independent cases, the independent oracle on random clusters,
and what a person and a program read."""
import json
import subprocess
import sys

import pytest

import policy_random
from harness import ROOT, built

CASES = ("generated", "cyclonus", "k8s-e2e", "recipes")


def fairlead(*args, code=0):
    r = subprocess.run([built("bin/fairlead"), *map(str, args)], capture_output=True, text=True, timeout=120)
    assert r.returncode == code, (args, r.returncode, r.stdout, r.stderr)
    return r


# ---- the independent cases

def run_cases(suites, *names, limit=0):
    files = [suites / "netpol/public" / f"{n}.json" for n in names]
    r = subprocess.run([sys.executable, "-B", suites / "netpol_cases.py", built("bin/fairlead"), *files,
                        *(["--limit", str(limit)] if limit else [])], capture_output=True, text=True, timeout=900)
    print(r.stdout)
    assert r.returncode == 0, r.stdout + r.stderr


def test_some_cases(suites):
    """Every cell of the first cases of each suite."""
    run_cases(suites, *CASES, limit=8)


@pytest.mark.all_only("230 cases, a process for each step")
@pytest.mark.parametrize("name", CASES)
def test_every_case(suites, name):
    run_cases(suites, name)


# ---- random clusters, judged by the oracle

def compare(oracle, scratch, seed):
    c, policies = policy_random.cluster(seed)
    # A node's addresses are one end in the oracle, two of them here.
    ends = {"node:" + n["name"]: n["ips"] for n in c["nodes"]} | {e["name"]: [e["ip"]] for e in c["external"]}
    (scratch / "c.json").write_text(json.dumps(policy_random.manifests(c, policies, seed)))
    ports = [*policy_random.PORTS, policy_random.ICMP]
    words = ",".join(f"{port}/{proto.lower()}" if port else proto.lower() for proto, port in ports)
    r = fairlead("policy", "matrix", "-f", scratch / "c.json", "--ports", words, "-o", "json",
                 *(w for name, ips in ends.items() for ip in ips for w in ("--external", f"{name}={ip}")))
    got = {}
    for x in json.loads(r.stdout)["rows"]:
        key = x["from"], x["to"], x["port"], x["proto"], x["family"]
        assert got.setdefault(key, x["result"]) == x["result"], key
    want = policy_random.expected(oracle, c, policies, ports)
    assert set(got) == set(want)
    differ = [(k, got[k], want[k]) for k in want if got[k] != want[k]]
    assert not differ, (seed, len(differ), differ[:5])
    return want


def compare_many(oracle, scratch, seeds):
    """Both verdicts must be there, many times: else the clusters test nothing."""
    n = {"connected": 0, "timeout": 0}
    for seed in seeds:
        for v in compare(oracle, scratch, seed).values():
            n[v] += 1
    print(f"{len(seeds)} clusters: {n}")
    assert min(n.values()) > sum(n.values()) / 10, n


def test_random_clusters(oracle, scratch):
    compare_many(oracle, scratch, range(50))


@pytest.mark.all_only("450 random clusters more")
def test_more_random_clusters(oracle, scratch):
    compare_many(oracle, scratch, range(50, 500))


# ---- what is read

SHOP = ROOT / "examples/shop.yaml"
POLICIES = ROOT / "examples/policies.yaml"
TABLE = ROOT / "examples/policies.test.yaml"


@pytest.fixture
def table(scratch):
    """Runs `policy test` on a text, against the shop and its policies."""
    def run(text, *args, code, files=(SHOP, POLICIES)):
        (scratch / "t.yaml").write_text(text)
        return fairlead("policy", "test", scratch / "t.yaml", *(w for f in files for w in ("-f", f)), *args, code=code)
    return run


def test_the_example():
    r = fairlead("policy", "test", TABLE, "-f", SHOP, "-f", POLICIES)
    assert r.stdout == f"{TABLE.read_text().count('expect:')} expectations: {TABLE.read_text().count('expect:')} met, 0 not\n"
    # Without the policies everybody may.
    r = fairlead("policy", "test", TABLE, "-f", SHOP, "-o", "json", code=1)
    rows = json.loads(r.stdout)["rows"]
    assert [x["ok"] for x in rows] == [x["expect"] == "allow" for x in rows] and not all(x["ok"] for x in rows)


def test_mismatches_name_the_object(table):
    r = table("- {from: shop/web, to: shop/db, port: 5432/tcp, expect: allow}\n"
              "- {from: shop/api, to: shop/db, port: 5432, expect: deny}\n"
              "- {from: 203.0.113.9, to: shop/db, port: icmp, expect: deny}\n", code=1)
    assert r.stdout.startswith("expectation 1: shop/web -> shop/db 5432/tcp: must be allowed, is denied\n")
    assert "    ingress   default deny by shop/db, shop/deny-all\n" in r.stdout
    assert "shop/db ingress[0].from[0]: podSelector wants app=api, shop/web-" in r.stdout
    assert "shop/deny-all: has no rule\n" in r.stdout
    assert "    ingress   shop/db ingress[0].from[0]\n" in r.stdout
    assert r.stdout.endswith("\n3 expectations: 1 met, 2 not\n")
    r = table("- {from: shop/api, to: shop/db, port: 5432, expect: deny}\n", "-o", "json", code=1)
    got = json.loads(r.stdout)
    row = got["rows"][0]
    assert (got["failed"], row["port"], row["expect"], row["ok"], row["flows"]) == (1, "5432/tcp", "deny", False, 2)
    assert {"kind": "NetworkPolicy", "ns": "shop", "name": "db", "rule": "ingress[0].from[0]", "direction": "ingress"} \
        in row["mismatches"][0]["by"]
    assert row["mismatches"][0]["ingress"] == {"state": "allowed", "reason": "shop/db ingress[0].from[0]", "misses": []}


@pytest.mark.parametrize("text,said", [
    ("", "has no expectations"),
    ("a: b\n", "must be a list"),
    ("- a\n", "expectation 1: must be {from"),
    ("- {from: a, to: b, port: 1}\n", "expect: is missing"),
    ("- {from: a, to: b, port: 1, expect: yes}\n", "expect: must be allow or deny"),
    ("- {from: a, to: b, port: 1, expect: deny, porto: 2}\n", "porto: no such key"),
    ("- {from: a, to: b, port: 0, expect: deny}\n", "port: must be PORT"),
    ("- {from: a, to: b, port: 65536/tcp, expect: deny}\n", "port: must be PORT"),
    ("- {from: a, to: b, port: 80/icmp, expect: deny}\n", "port: must be PORT"),
    ("- {from: [a], to: b, port: 80, expect: deny}\n", "from: must be NS/POD"),
    ("- {from: shop/db, to: b, port: 80, expect: deny}\n", "expectation 1: b is no node or address"),
    ("- {from: shop/db, to: shop/b, port: 80, expect: deny}\n", "shop/b is no pod or workload"),
    ("- {from: 203.0.113.9, to: '2001:db8::1', port: 80, expect: deny}\n", "no address family in common"),
    ("- {from: ]\n", "t.yaml: 1: "),
])
def test_what_cannot_be_tested(table, text, said):
    r = table(text, code=2)
    assert said in r.stderr and not r.stdout, r


def test_bad_objects_are_left_out(table, scratch):
    (scratch / "bad.yaml").write_text("{apiVersion: v1, kind: Pod, metadata: {name: '?'}}\n")
    r = table("- {from: shop/api, to: shop/db, port: 5432, expect: allow}\n", code=3,
              files=(SHOP, POLICIES, scratch / "bad.yaml"))
    assert "1 met" in r.stdout and "bad.yaml" in r.stderr
    r = fairlead("policy", "matrix", "-f", SHOP, "-f", scratch / "bad.yaml", code=3)
    assert " allowed, 0 denied" in r.stdout


def test_a_dump_keeps_its_pods(scratch):
    """Where manifests have pods of workloads, none is made."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {
        "namespace": "shop", "name": "web-1", "labels": {"app": "web"},
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-x", "uid": "u"}]},
        "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 8080}]}]}, "status": {"podIP": "10.244.0.9"}}
    (scratch / "pod.json").write_text(json.dumps(pod))
    r = fairlead("policy", "matrix", "-f", SHOP, "-f", scratch / "pod.json", "-o", "json")
    assert {x["from"] for x in json.loads(r.stdout)["rows"]} == {"shop/web-1"}
    # A Deployment's name still finds it, and an address the pod that has it.
    (scratch / "t.yaml").write_text("- {from: 10.244.0.9, to: 203.0.113.9, port: 443, expect: deny}\n"
                                    "- {from: 10.244.0.8, to: 203.0.113.9, port: 443, expect: allow}\n"
                                    "- {from: shop/web, to: shop/web, port: 443, expect: allow}\n")
    r = fairlead("policy", "test", scratch / "t.yaml", "-f", SHOP, "-f", scratch / "pod.json", "-f", POLICIES)
    assert r.stdout == "3 expectations: 3 met, 0 not\n"


def test_from_the_store(store, scratch):
    """Without -f both are about the store's objects."""
    ns = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}
    pods = [{"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "x", "name": n, "labels": {"app": n}},
             "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80}]}]}, "status": {"podIPs": [{"ip": ip}]}}
            for n, ip in (("a", "10.244.0.1"), ("b", "10.244.0.2"))]
    deny = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"namespace": "x", "name": "deny"},
            "spec": {"podSelector": {"matchLabels": {"app": "b"}}}}
    store.apply(ns, *pods, deny)
    r = store.fairlead("policy", "matrix", "-o", "json")
    rows = {(x["from"], x["to"]): x["result"] for x in json.loads(r.stdout)["rows"]}
    assert rows == {("x/a", "x/a"): "connected", ("x/b", "x/a"): "connected", ("x/a", "x/b"): "timeout",
                    ("x/b", "x/b"): "connected"}
    text = store.fairlead("policy", "matrix", "--external", "w=203.0.113.9").stdout
    assert text.splitlines()[:6] == ["   1  x/a", "   2  x/b", "   3  w", "",
                                     "From each row to columns 1, 2, …: . allowed, X denied, ? some of each", ".X.  x/a"]
    assert text.endswith("\n.X.  w\n\n12 flows: 10 allowed, 2 denied\n")
    rows = json.loads(store.fairlead("policy", "matrix", "--ports", "icmp", "-o", "json").stdout)["rows"]
    assert {(x["from"], x["to"], x["port"], x["proto"], x["result"]) for x in rows} == {
        ("x/a", "x/a", None, "icmp", "connected"), ("x/b", "x/a", None, "icmp", "connected"),
        ("x/a", "x/b", None, "icmp", "timeout"), ("x/b", "x/b", None, "icmp", "connected")}
    (scratch / "t.yaml").write_text("- {from: x/a, to: x/b, port: 80, expect: deny}\n")
    assert store.fairlead("policy", "test", scratch / "t.yaml").stdout == "1 expectations: 1 met, 0 not\n"
    store.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "x", "name": "all-of-b"},
                 "spec": {"selector": {"matchLabels": {"app": "b"}}, "template": {"metadata": {"labels": {"app": "b"}}}}})
    (scratch / "t.yaml").write_text("- {from: x/a, to: x/all-of-b, port: 80, expect: deny}\n")
    assert store.fairlead("policy", "test", scratch / "t.yaml").stdout == "1 expectations: 1 met, 0 not\n"


@pytest.mark.parametrize("args,said", [
    (("matrix", "x"), "too much"), (("matrix", "--ports", "80/icmp"), "must be PORT/tcp"),
    (("matrix", "--external", "w"), "must be NAME=ADDR"), (("test",), "takes one FILE"),
    (("test", "/nonexistent"), "/nonexistent"), ((), "a verb is missing"), (("mtrix",), "unknown verb"),
])
def test_usage(args, said):
    assert said in fairlead("policy", *args, *(["-f", SHOP] if args[1:] else []), code=2).stderr
