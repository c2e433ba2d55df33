# SPDX-License-Identifier: Apache-2.0
"""PacketTraces as agents answer them."""
import json

import pytest
import yaml
from harness import needs, wait_for
from packet_trace import Traces, facts, node_of, spec

pytestmark = needs("nft")


def pod(name, node, app):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "x", "labels": {"app": app}},
            "spec": {"nodeName": node, "containers": [{"name": "c", "ports": [
                {"containerPort": 8080}, {"containerPort": 8053, "protocol": "UDP"},
                {"containerPort": 8132, "protocol": "SCTP"}]}]}}


@pytest.fixture(scope="module")
def world(module_lab, tmp_path_factory):
    path = tmp_path_factory.mktemp("m") / "m.yaml"
    path.write_text(yaml.safe_dump_all([
        pod("client", "n1", "client"), pod("server", "n2", "server"),
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "front", "namespace": "x"}, "spec": {
            "selector": {"app": "server"}, "ipFamilyPolicy": "PreferDualStack",
            "ports": [{"port": 80, "targetPort": 8080}]}}]))
    return module_lab("--nodes", 2, "--racks", 2, "--mode", "vxlan", manifests=[path])


@pytest.fixture
def traces(world, tmp_path):
    return Traces(world, tmp_path)


def ip(lab, name, v6=False):
    return next(p["ips"] for p in lab.status()["pods"] if p["name"] == name)[v6]


def from_client(lab, v6=False):
    return {"namespace": "x", "pod": "client", "node": "n1", "address": ip(lab, "client", v6)}


@pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
def test_a_connection_through_a_tunnel(world, traces, v6):
    dst = ip(world, "server", v6)
    t = traces.run(spec(from_client(world, v6), dst, 8080, nodes=["n1", "n2"]))
    probe = t["status"]["probe"]
    assert probe["result"] == "connected", probe
    assert probe["localAddress"] == ip(world, "client", v6)
    for n in ("n1", "n2"):
        node = node_of(t, n)
        assert node["phase"] == "Done" and "nftables" in node["means"] and not node.get("lost")
        assert len(node["observations"]) < 512
        ct = [o["conntrack"] for o in facts(t, n, "Conntrack")]
        assert [(c["orig"]["dst"], c["orig"]["sport"]) for c in ct if c["orig"]["dport"] == 8080] == \
            [(dst, probe["localPort"])]
    sent = facts(t, "n1", "Send")
    assert [(o["in"], o["head"]["sport"]) for o in sent] == [("x/client", probe["localPort"])]
    # both directions passed both nodes' rules, and nobody else's packets are told of
    for n in ("n1", "n2"):
        heads = [o["head"] for o in facts(t, n, "Chain")]
        assert {(h["src"], h["dst"]) for h in heads} == {(probe["localAddress"], dst), (dst, probe["localAddress"])}
        assert {"S", "SA"} <= {h["flags"] for h in heads}


def test_a_service_and_its_rules(world, traces):
    vip = next(s for s in json.loads(world.store("get", "services", "-n", "x", "-o", "json").stdout)["items"]
               if s["metadata"]["name"] == "front")["spec"]["clusterIPs"][0]
    t = traces.run(spec(from_client(world), vip, 80, nodes=["n1", "n2"]))
    assert t["status"]["probe"]["result"] == "connected", t["status"]["probe"]
    rules = [o for o in facts(t, "n1", "Rule") if o["chain"].startswith("tcp4-") and "dnat" in o["rule"]]
    handles = {r["rule"]["handle"] for r in (i for i in json.loads(
        world.node("n1", "nft", "-j", "list", "table", "inet", "fairlead").stdout)["nftables"] if "rule" in i)}
    assert len(rules) == 1 and rules[0]["handle"] in handles and rules[0]["table"] == "inet fairlead"
    translated = [o["head"] for o in facts(t, "n1", "Chain") if o["chain"] == "translated" and o["head"]["flags"] == "S"]
    assert [(h["dst"], h["dport"]) for h in translated] == [(ip(world, "server"), 8080)]
    ct = [o["conntrack"] for o in facts(t, "n1", "Conntrack")]
    assert [(c["orig"]["dst"], c["reply"]["src"]) for c in ct if "DNAT" in c["status"]] == [(vip, ip(world, "server"))]


def test_nothing_remains(world, traces):
    """Positive control: while a trace is armed its table is there."""
    s = spec({"address": "192.0.2.1"}, ip(world, "server"), 8080, nodes=["n1"])
    name = traces.create(s)
    wait_for(lambda: traces.phases(name).get("n1") == "Armed", 10, "n1 armed")
    assert "fairlead-trace-" in world.node("n1", "nft", "list", "tables").stdout
    world.store("delete", "packettrace", name)
    wait_for(lambda: "fairlead-trace-" not in world.node("n1", "nft", "list", "tables").stdout, 10, "no table is left")


def test_no_pod_with_that_address(world, traces):
    s = spec(from_client(world) | {"address": ip(world, "server")}, ip(world, "server"), 8080, nodes=["n1"])
    t = traces.run(s)
    assert t["status"]["probe"]["result"] == "error"
    assert t["status"]["probe"]["error"] == "pod x/client has not this address here"
