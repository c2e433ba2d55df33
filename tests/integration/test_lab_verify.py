# SPDX-License-Identifier: Apache-2.0
"""lab verify finds what packets meet that policies do not say: silence that a pod's own packet filter makes,
and a policy of which the nodes have not heard yet."""
import json
import os
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest

DENY = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "deny", "namespace": "x"},
        "spec": {"podSelector": {"matchLabels": {"app": "b"}}, "policyTypes": ["Ingress"]}}
EXTERNAL = ("--external", "client=198.51.100.7", "--external", "v6=2001:db8:7::7")


def pod(name, node):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "x", "labels": {"app": name}},
            "spec": {"nodeName": node, "containers": [{"name": "c", "ports": [{"containerPort": 80}]}]}}


@pytest.fixture(scope="module", params=["direct", "vxlan"])
def world(request, module_lab, tmp_path_factory):
    path = tmp_path_factory.mktemp("v") / "v.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [pod("a", "n1"), pod("b", "n1"), pod("c", "n2")]}))
    lab = module_lab("--nodes", 2, "--racks", 1, "--mode", request.param, manifests=[path])
    lab.mode = request.param
    return lab


def verify(world, *args, code):
    r = world("verify", "--timeout", 400, "-o", "json", *args, check=False)
    assert r.returncode == code, r.stdout + r.stderr
    return json.loads(r.stdout)


@contextmanager
def policy(world, path, *policies):
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": policies}))
    yield lambda *args: world.store("apply", "-f", path, *args)
    world.store("delete", "-f", path, "--wait=20")


@contextmanager
def deaf(world):
    """The agents hear of nothing."""
    agents = [n["roles"]["agent"] for n in world.status()["nodes"]]
    for pid in agents:
        os.kill(pid, signal.SIGSTOP)
    yield
    for pid in agents:
        os.kill(pid, signal.SIGCONT)


def test_as_predicted(world):
    """Outside of the cluster there is a way to pods only where their addresses are routed."""
    got = verify(world, *EXTERNAL, code=0)
    inward = 3 * 2
    assert got["differ"] == 0 and got["differences"] == []
    # 3 pods and 3 names with one port in 2 families; the outside has 2 (8080 tcp and udp), and probes itself
    assert got["judged"] == 9 * 2 + 3 * 2 * 2 + (inward if world.mode == "direct" else 0)
    assert got["probed"] - got["judged"] == 2 * 2 + (0 if world.mode == "direct" else inward)
    text = world("verify", "--timeout", 400).stdout
    assert text == "18 cells probed: 18 as predicted, 0 not\n"


def test_silence_where_an_answer_is_due(world):
    world.exec("x/c", "nft", "add table inet t; add chain inet t i { type filter hook input priority 0; };"
               "add rule inet t i ip daddr 0.0.0.0/0 tcp dport 80 drop")
    try:
        got = verify(world, code=1)
        text = world("verify", "--timeout", 400, check=False).stdout
    finally:
        world.exec("x/c", "nft", "delete", "table", "inet", "t")
    why = [f"egress: no policy isolates {src} for egress; ingress: no policy isolates x/c for ingress" for src in ("x/a", "x/b")]
    why.append("egress: a pod may always reach itself; ingress: a pod may always reach itself")
    assert got["differences"] == [
        {"from": src, "to": "x/c", "port": 80, "proto": "tcp", "family": 4, "predicted": "allowed", "why": text, "observed": "timeout"}
        for src, text in zip(("x/a", "x/b", "x/c"), why)]
    assert text.splitlines()[1].split()[:6] == ["x/a", "x/c", "80/tcp", "IPv4", "allowed", "timeout"]
    assert text.splitlines()[-1] == "18 cells probed: 15 as predicted, 3 not"


def test_an_answer_where_none_may_come(world, tmp_path):
    with policy(world, tmp_path / "p.json", DENY) as apply:
        with deaf(world):
            apply("--wait=0")
            got = verify(world, "--ports", "80/tcp,81/tcp", "--family", 4, code=1)
    assert {(d["from"], d["to"], d["port"], d["observed"]) for d in got["differences"]} == {
        (f"x/{src}", "x/b", *end) for src in "ac" for end in ((80, "connected"), (81, "refused"))}
    assert {(d["predicted"], d["why"]) for d in got["differences"]} == {("denied", "ingress: default deny by x/deny")}


def test_icmp(world, tmp_path):
    """Without ports: probed, predicted, and told of where an echo is not answered that is not forbidden."""
    with policy(world, tmp_path / "p.json", DENY) as apply:
        apply("--wait=20")
        got = verify(world, "--ports", "80/tcp,icmp", code=0)
        assert (got["probed"], got["judged"]) == (3 * 3 * 2 * 2, 3 * 3 * 2 * 2)
        rows = {(r["from"], r["to"], r["family"]): r["result"] for r in world.matrix("--ports", "icmp", "--timeout", 400)
                if (r["port"], r["proto"]) == (None, "icmp")}
    assert rows == {(f"x/{a}", f"x/{b}", v): "timeout" if b == "b" and a != b else "connected" for a in "abc" for b in "abc" for v in (4, 6)}
    world.exec("x/c", "nft", "add table inet t; add chain inet t i { type filter hook input priority 0; };"
               "add rule inet t i icmp type echo-request drop")
    try:
        got = verify(world, "--ports", "icmp", "--from", "x/a", code=1)
        text = world("verify", "--ports", "icmp", "--from", "x/a", "--timeout", 400, check=False).stdout
    finally:
        world.exec("x/c", "nft", "delete", "table", "inet", "t")
    assert [(d["to"], d["port"], d["proto"], d["family"], d["observed"]) for d in got["differences"]] == [("x/c", None, "icmp", 4, "timeout")]
    assert text.splitlines()[1].split()[:6] == ["x/a", "x/c", "icmp", "IPv4", "allowed", "timeout"]


def test_what_cannot_be_verified(world):
    assert world("verify", "x", check=False).returncode == 2
    assert world("verify", "--all", check=False).returncode == 2
    broken = Path(json.loads(world.store("lab", "status", "--name", world.name, "-o", "json").stdout)["store"].removeprefix("dir:"))
    path = broken / "NetworkPolicy" / "x" / "bad.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{")
    try:
        r = world("verify", "--timeout", 400, check=False)
    finally:
        path.unlink()
    assert r.returncode == 3 and "bad" in r.stderr and "18 as predicted" in r.stdout
