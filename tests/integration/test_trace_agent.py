# SPDX-License-Identifier: Apache-2.0
"""PacketTraces as agents answer them."""
import json
import os
import signal
import subprocess
import time

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
    translated = [o["head"] for o in facts(t, "n1", "Chain") if o["hook"] == "forward" and o["head"]["flags"] == "S"]
    assert {(h["dst"], h["dport"]) for h in translated} == {(ip(world, "server"), 8080)}
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


@pytest.mark.parametrize("v6", [False, True], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("proto, port", [("UDP", 8053), ("SCTP", 8132), ("ICMP", None)])
def test_other_protocols(world, traces, proto, port, v6):
    src, dst = ip(world, "client", v6), ip(world, "server", v6)
    t = traces.run(spec(from_client(world, v6), dst, port, proto=proto, nodes=["n1", "n2"]))
    assert t["status"]["probe"]["result"] == "connected", t["status"]["probe"]
    word = proto.lower() + ("v6" if proto == "ICMP" and v6 else "")
    for n in ("n1", "n2"):
        heads = [o["head"] for o in facts(t, n, "Chain")]
        assert {(h["proto"], h["src"], h["dst"]) for h in heads} == {(word, src, dst), (word, dst, src)}


def armed(world, traces, node="n1"):
    """A trace that waits for a probe that nobody sends; its table is in the node's kernel."""
    name = traces.create(spec({"address": "192.0.2.1"}, ip(world, "server"), 8080, nodes=[node]))
    wait_for(lambda: traces.phases(name).get(node) == "Armed", 10, f"{node} armed")
    return name


def tables(world, node="n1"):
    return [line for line in world.node(node, "nft", "list", "tables").stdout.splitlines() if "fairlead-trace-" in line]


def kill_agent(world, node):
    pid = next(n for n in world.status()["nodes"] if n["name"] == node)["roles"]["agent"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: next(n for n in world.status()["nodes"] if n["name"] == node)["roles"].get("agent") not in (None, pid),
             10, "another agent")


def test_a_killed_agent_leaves_nothing_and_the_next_one_says_so(world, traces):
    name = armed(world, traces)
    assert tables(world)
    kill_agent(world, "n1")
    t = wait_for(lambda: traces.ended(name), 10, "an answer of the next agent")
    assert (node_of(t, "n1")["phase"], node_of(t, "n1")["note"]) == ("Failed", "the agent was started anew while it looked")
    assert not tables(world)
    # also as the sender: it may or may not have sent its probe before
    name = traces.create(spec(from_client(world), "198.51.100.1", 8080, nodes=["n1", "n2"], seconds=8))
    wait_for(lambda: traces.phases(name).get("n1") == "Armed", 10, "n1 armed")
    kill_agent(world, "n1")
    t = wait_for(lambda: traces.ended(name), 10, "an answer of the next agent")
    assert t["status"]["probe"] == {"result": "error", "error": "the agent was started anew while it looked"}
    assert (node_of(t, "n1")["phase"], node_of(t, "n2")["phase"]) == ("Failed", "Done")
    # and it can trace
    t = traces.run(spec(from_client(world), ip(world, "server"), 8080, nodes=["n1", "n2"]))
    assert t["status"]["probe"]["result"] == "connected" and facts(t, "n1", "Rule")


def looks(world, node="n1"):
    """How many collectors are open there, or about to be."""
    text = world.node(node, "python3", "-c", "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9099/metrics').read().decode())").stdout
    return int(next(line for line in text.splitlines() if line.startswith("fairlead_traces_active")).split()[1])


def test_deleted_while_it_opens(world, traces):
    """In a thread, which cannot be interrupted: what it opened goes all the same, and is not counted for ever."""
    def begun():
        return traces.create(spec({"address": "192.0.2.1"}, ip(world, "server"), 8080, nodes=["n1"]))

    def armed_now():
        name = begun()
        return wait_for(lambda: traces.phases(name).get("n1"), 10, "n1's word") == "Armed" and name
    for _ in range(6):
        world.store("delete", "packettrace", begun())
    name = wait_for(armed_now, 20, "room beside those that go")
    wait_for(lambda: looks(world) == 1, 20, "that one alone")  # health hears of it every two seconds
    world.store("delete", "packettrace", name)
    wait_for(lambda: looks(world) == 0, 20, "no look")
    assert not tables(world)


def test_killed_while_it_opens(world, traces):
    """Nobody knows that it did: the next agent begins anew."""
    name = traces.create(spec(from_client(world), ip(world, "server"), 8080, nodes=["n1", "n2"]))
    kill_agent(world, "n1")
    t = wait_for(lambda: traces.ended(name), 15, "the end")
    assert node_of(t, "n2")["phase"] == "Done"
    assert node_of(t, "n1")["phase"] == "Done" or node_of(t, "n1")["note"] == "the agent was started anew while it looked"
    wait_for(lambda: not tables(world), 10, "no table")


def test_two_traces_at_once(world, traces):
    """Three, two of them alike: each tells all of its own packets and none of the others'."""
    ends, ports = (ip(world, "client"), ip(world, "server")), (8080, 8080, 8081)
    names = [traces.create(spec(from_client(world), ends[1], port, nodes=["n1", "n2"])) for port in ports]
    for name, port in zip(names, ports, strict=True):
        t = wait_for(lambda name=name: traces.ended(name), 15, name)
        probe = t["status"]["probe"]
        assert probe["result"] == ("connected" if port == 8080 else "refused")
        own = (probe["localPort"], port)
        both_ways = {(*ends, *own), (*reversed(ends), *reversed(own))}
        for n in ("n1", "n2"):
            for kinds in (("Chain",), ("DevIn", "DevOut")):
                heads = [o["head"] for o in facts(t, n, *kinds)]
                assert {(h["src"], h["dst"], h["sport"], h["dport"]) for h in heads} == both_ways
            assert len({o["packet"] for o in facts(t, n, "DevIn") if o["head"]["flags"] == "S" and not o.get("outer")}) == 1
            assert facts(t, n, "Rule")


def test_more_than_four_are_refused(world, traces):
    names = [armed(world, traces) for _ in range(4)]
    assert len(tables(world)) == 4
    t = traces.run(spec(from_client(world), ip(world, "server"), 8080, nodes=["n1", "n2"]))
    assert (node_of(t, "n1")["phase"], node_of(t, "n1")["note"]) == ("Failed", "4 other traces look here already")
    # n1 sends all the same, and n2 sees it
    assert t["status"]["probe"]["result"] == "connected" and facts(t, "n2", "Rule")
    for name in names:
        world.store("delete", "packettrace", name)
    wait_for(lambda: not tables(world), 10, "no table")


def test_a_node_without_agent(world, traces):
    """The sender waits 3 s for it, and sends; it looks when its agent is back, which is too late to tell."""
    pid = next(n for n in world.status()["nodes"] if n["name"] == "n2")["roles"]["agent"]
    os.kill(pid, signal.SIGSTOP)
    try:
        name = traces.create(spec(from_client(world), ip(world, "server"), 8080, nodes=["n1", "n2"]))
        wait_for(lambda: traces.phases(name).get("n1") == "Done", 15, "n1's answer")
        assert "n2" not in traces.phases(name)
        t = traces.get(name)
        assert t["status"]["probe"]["result"] == "connected" and facts(t, "n1", "Rule")
    finally:
        os.kill(pid, signal.SIGCONT)
    t = wait_for(lambda: traces.ended(name), 15, "n2's answer")
    assert (node_of(t, "n2")["phase"], node_of(t, "n2")["note"]) == ("Failed", "it was ready only after the probe was sent")


def test_the_sender_looks_first(world, traces, tmp_path):
    """However long its own collector takes to open: nobody else sees how the probe begins."""
    pid = next(n for n in world.status()["nodes"] if n["name"] == "n1")["roles"]["agent"]
    slow, btf, began = tmp_path / "slow", "/sys/kernel/btf/vmlinux", time.monotonic()
    os.mkfifo(slow)  # who opens it to read waits for somebody who writes
    inside = ["nsenter", "-t", str(pid), "-m"]
    subprocess.run([*inside, "mount", "--bind", slow, btf], check=True)
    try:
        name = traces.create(spec(from_client(world), ip(world, "server"), 8080, nodes=["n1", "n2"]))
        wait_for(lambda: traces.phases(name).get("n2") == "Armed", 10, "n2 armed")
        wait_for(lambda: time.monotonic() > began + 4, 10, "more than the sender waits for others", every=0.5)
        assert traces.phases(name) == {"n2": "Armed"}
    finally:
        subprocess.run([*inside, "umount", "--lazy", btf], check=True)
        os.close(os.open(slow, os.O_WRONLY))
    t = wait_for(lambda: traces.ended(name), 15, "the end")
    assert t["status"]["probe"]["result"] == "connected" and facts(t, "n1", "Rule") and facts(t, "n2", "Rule")


def test_the_probe_of_somebody_else(world, traces):
    """As the lab's outside, which has no agent: the asker writes what became of its probe."""
    name = armed(world, traces)
    t = traces.get(name)
    t["status"]["probe"] = {"result": "timeout", "sentAt": 1}
    f = traces.path / "probe.json"
    f.write_text(json.dumps(t))
    world.store("apply", "-f", f)
    t = wait_for(lambda: traces.ended(name), 10, "the end")
    assert node_of(t, "n1")["phase"] == "Done" and not node_of(t, "n1").get("observations")


def test_what_the_probe_never_comes_of(world, traces):
    """A trace that expires is forgotten; nothing of it stays."""
    name = traces.create(spec({"address": "192.0.2.1"}, ip(world, "server"), 8080, nodes=["n1"], lives=4))
    wait_for(lambda: tables(world), 10, "n1 armed")
    wait_for(lambda: not tables(world), 10, "no table")
    assert traces.phases(name) in ({"n1": "Armed"}, {"n1": "Failed"})


@pytest.mark.parametrize("node, says", [("n1", "fairlead: the agent of node n1, which was to send the probe, does not answer"),
                                        ("n2", "not seen: node n2 did not look: its agent did not answer")])
def test_who_asks_is_told_which_agent_is_missing(world, node, says):
    pid = next(n for n in world.status()["nodes"] if n["name"] == node)["roles"]["agent"]
    os.kill(pid, signal.SIGSTOP)
    try:
        r = world.store("trace", "x/client", "x/server:8080", check=False)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert r.returncode == 3 and says in r.stdout + r.stderr
    kept = json.loads(world.store("get", "packettraces", "-o", "json").stdout)["items"]
    assert not [t for t in kept if t["metadata"]["name"].startswith("trace-")]
