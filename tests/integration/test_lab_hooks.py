# SPDX-License-Identifier: Apache-2.0
"""lab hooks: what it says of a packet is compared with where the probe's server is and whom it saw, with the
nodes' own connection tables, and with what nft lists."""
import json
import re
import subprocess

import pytest
import yaml
from conntrack import table
from harness import NetNS, built, needs

pytestmark = needs("nft")


def pod(name, node, app):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "x", "labels": {"app": app}},
            "spec": {"nodeName": node, "containers": [{"name": "c", "ports": [
                {"containerPort": 8080}, {"containerPort": 8053, "protocol": "UDP"}]}]}}


def service(name, app, **spec):
    ports = [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"},
             {"name": "dns", "port": 53, "targetPort": 8053, "protocol": "UDP"}]
    for i, p in enumerate(ports):
        if "nodePort" in spec:
            p["nodePort"] = spec["nodePort"] + i
    spec.pop("nodePort", None)
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "x"},
            "spec": {"selector": {"app": app}, "ipFamilyPolicy": "PreferDualStack", "ports": ports, **spec}}


@pytest.fixture(scope="module")
def world(module_lab, tmp_path_factory):
    path = tmp_path_factory.mktemp("m") / "m.yaml"
    path.write_text(yaml.safe_dump_all([
        pod("client", "n1", "client"), pod("server", "n2", "server"),
        service("front", "server"), service("nobody", "nobody"),
        service("cluster", "server", type="NodePort", nodePort=30080),
        service("local", "server", type="NodePort", nodePort=30090, externalTrafficPolicy="Local")]))
    return module_lab("--nodes", 2, "--racks", 2, "--mode", "vxlan", manifests=[path])


def hooks(lab, *args, code=0):
    r = lab("hooks", *args, "-o", "json", check=False)
    assert r.returncode == code, r.stdout + r.stderr
    got = json.loads(r.stdout)
    assert got["lost"] == 0
    return got


def ip(lab, name, family=4):
    return next(p["ips"] for p in lab.status()["pods"] if p["name"] == name)[family == 6]


def node(lab, name):
    return next(n for n in lab.status()["nodes"] if n["name"] == name)


def way(n):
    """Hooks in order, each once."""
    out = []
    for s in n["steps"]:
        if not out or out[-1] != s["hook"]:
            out.append(s["hook"])
    return out


def kube(n):
    return [s["kubeProxy"] for s in n["steps"] if s["kubeProxy"]]


def packets(n):
    out = []
    for s in n["steps"]:
        p = s["packet"] and (s["packet"]["src"], s["packet"]["dst"], s["packet"]["dport"])
        if p and (not out or out[-1] != p):
            out.append(p)
    return out


def remembered(lab, name, proto="tcp"):
    """Of the node's table, as conntrack.py has it, without the zone."""
    ns = NetNS.__new__(NetNS)
    ns.path = node(lab, name)["netns"]
    return [row[1:7] for row in table(ns, proto)]


def check_conntrack(lab, n, proto="tcp"):
    o, r = n["conntrack"]["original"], n["conntrack"]["reply"]
    assert (o["src"], o["sport"], o["dst"], o["dport"], r["src"], r["sport"]) in remembered(lab, n["name"], proto)
    first = next(s["packet"] for s in n["steps"] if s["packet"])
    assert first == o
    last = [s["packet"] for s in n["steps"] if s["packet"]][-1]
    assert last == {"src": r["dst"], "sport": r["dport"], "dst": r["src"], "dport": r["sport"]}


SVC = ["PREROUTING", "KUBE-SERVICES", "KUBE-SVC-*, KUBE-SEP-*", "KUBE-POSTROUTING", "KUBE-MARK-MASQ"]


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_pod_to_cluster_ip(world, family, proto):
    """Translated on the client's node, through the tunnel, and nothing more on the other one."""
    services = json.loads(world.store("get", "services", "-n", "x", "-o", "json").stdout)["items"]
    vips = next(s for s in services if s["metadata"]["name"] == "front")["spec"]["clusterIPs"]
    vip = next(v for v in vips if (":" in v) == (family == 6))
    port, target = (80, 8080) if proto == "tcp" else (53, 8053)
    to = f"{vip}:{port}" if family == 4 else f"[{vip}]:{port}"
    got = hooks(world, "x/client", to, "--proto", proto)
    client, server = ip(world, "client", family), ip(world, "server", family)
    assert got["result"] == "connected" and got["server"].startswith("x/server@")
    one, two = got["nodes"]
    assert [one["name"], two["name"]] == ["n1", "n2"]
    assert way(one) == way(two) == ["prerouting", "forward", "postrouting"]
    assert packets(one) == [(client, vip, port), (client, server, target)]
    assert packets(two) == [(client, server, target)]
    assert kube(one)[:3] == SVC[:3] and set(kube(one)) <= set(SVC)
    assert set(kube(two)) == {"PREROUTING"}  # looked for, and no Service's
    assert [s["oif"] for s in one["steps"] if s["packet"]][-1] == two["steps"][0]["iif"] == "vxlan0"
    check_conntrack(world, one, proto)
    check_conntrack(world, two, proto)


def test_rules_are_the_kernels(world):
    """Each rule's text is what nft lists for its handle."""
    got = hooks(world, "x/client", "x/front:80")
    for n in got["nodes"]:
        listed = world.node(n["name"], "nft", "-sa", "list", "table", "inet", "fairlead").stdout
        rules = {int(h): re.sub(r' comment ".*?"$', "", text.strip()) for text, h in re.findall(r"^(.*) # handle (\d+)$", listed, re.M)}
        steps = [s for s in n["steps"] if s["handle"] and s["table"] == "fairlead"]
        assert len(steps) >= 2
        for s in steps:
            assert re.sub(r' comment ".*?"$', "", s["rule"]) == rules[s["handle"]]


def test_node_port_cluster(world):
    """SNATed: the server sees the node, whose conntrack knows the client."""
    n1 = next(a for a in node(world, "n1")["addresses"] if "." in a)
    got = hooks(world, "outside", f"{n1}:30080")
    outside = got["nodes"][0]["conntrack"]["original"]["src"]
    one, two = got["nodes"]
    assert "KUBE-NODEPORTS" in kube(one) and "KUBE-MARK-MASQ" in kube(one)
    assert [s["verdict"] for s in one["steps"] if s["verdict"] in ("dnat", "masquerade")] == ["dnat", "masquerade"]
    assert outside in world.status()["outside"]["addresses"]
    assert not got["server_sees"].startswith(outside)
    left = [s["packet"] for s in one["steps"] if s["packet"]][-1]
    assert got["server_sees"] == f"{left['src']}:{left['sport']}"  # as it left n1, so it came
    check_conntrack(world, one)
    check_conntrack(world, two)


def test_node_port_local(world):
    """The client's address stays, by the node that has the endpoint; another node drops it."""
    n1, n2 = (next(a for a in node(world, n)["addresses"] if "." in a) for n in ("n1", "n2"))
    got = hooks(world, "outside", f"{n2}:30090")
    (two,) = got["nodes"]
    client = two["conntrack"]["original"]
    assert got["server_sees"] == f"{client['src']}:{client['sport']}"
    assert {"KUBE-NODEPORTS", "KUBE-EXT-*", "KUBE-SVL-*, KUBE-SEP-*"} <= set(kube(two))
    assert "masquerade" not in {s["verdict"] for s in two["steps"]}
    got = hooks(world, "outside", f"{n1}:30090", code=1)
    assert got["result"] == "timeout"
    (one,) = got["nodes"]
    assert one["steps"][-1]["verdict"] == "drop" and one["conntrack"] is None
    assert way(one) == ["prerouting"]


def test_refused(world):
    got = hooks(world, "x/client", "x/nobody:80", code=1)
    assert got["result"] == "refused"
    (one,) = got["nodes"]
    assert one["steps"][-1]["verdict"] == "reject" and kube(one)[-1] == "KUBE-SERVICES"


def test_from_a_node(world):
    got = hooks(world, "n2", "x/front:80")
    (two,) = got["nodes"]
    assert way(two) == ["output", "postrouting"] and "OUTPUT" in kube(two)
    check_conntrack(world, two)


def test_a_node_comes_twice(world):
    """A pod to itself by the other node's port: out, back, and each time as another packet."""
    n1 = next(a for a in node(world, "n1")["addresses"] if "." in a)
    got = hooks(world, "x/server", f"{n1}:30080")
    out, there, back = got["nodes"]
    assert [n["name"] for n in got["nodes"]] == ["n2", "n1", "n2"]
    assert packets(out)[0] == (ip(world, "server"), n1, 30080)
    for a, b in ((out, there), (there, back)):
        assert packets(a)[-1] == packets(b)[0]
    assert packets(back)[-1][1:] == (ip(world, "server"), 8080)
    for n in got["nodes"]:
        check_conntrack(world, n)


def test_text_is_aligned(world):
    text = world("hooks", "x/client", "x/front:80").stdout
    head, ways, memory = text.split("\n\n")
    assert head.startswith("x/client to x/front:80: connected, answered by x/server@")
    assert "\033" not in text
    titles, *rows = ways.splitlines()
    at = [titles.index(t) for t in ("HOOK", "CHAIN", "VERDICT", "KUBE-PROXY", "DEVICE", "PACKET")]
    for row in rows:
        assert all(len(row) <= i or row[i - 1] == " " for i in at), row
    assert any("KUBE-SVC-*, KUBE-SEP-*" in row for row in rows)
    assert memory.startswith("NODE") and len(memory.splitlines()) == 3


def test_nothing_stays(world):
    hooks(world, "x/client", "x/front:80")
    for n in ("n1", "n2"):
        assert "fairlead-trace" not in world.node(n, "nft", "list", "tables").stdout


def test_lab_by_the_global_option(world):
    """--lab names the lab for every verb, and is no contradiction to what the verb finds by it."""
    for args in (["hooks", "x/client", "x/front:80"], ["verify", "--from", "x/client", "--timeout", "300"]):
        r = subprocess.run([built("bin/fairlead"), "--lab", world.name, "lab", *args], capture_output=True, text=True,
                           timeout=30)
        assert r.returncode == 0, r.stdout + r.stderr


def test_mistakes(world):
    for args in (["x/client"], ["x/gone", "x/server"], ["x/client", "x/front:80", "--proto", "icmp"]):
        assert world("hooks", *args, check=False).returncode == 2
    assert world("hooks", "x/client", "x/gone:80", check=False).returncode == 1
