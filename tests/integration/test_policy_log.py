# SPDX-License-Identifier: Apache-2.0
"""What policies did, told: the deny log, the counters behind `policy show` and the metrics. Judged by what the
test sent, by nft's counters, and for names by the independent oracle."""
import json
import random
import re
import socket
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from agent_world import pod_object, world  # noqa: F401: a fixture
from conntrack import inside
from harness import built, wait_for

GROUP = 26220
LINE = re.compile(r"policy: (?P<way>egress|ingress) denied: (?P<proto>\S+(?: type \d+ code \d+)?) (?P<src>.+?) > (?P<dst>.+?): (?P<by>.*)$", re.M)


def policy(name, ns="default", **spec):
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name, "namespace": ns},
            "spec": {"podSelector": {}, **spec}}


def to_app(app):
    return {"podSelector": {"matchLabels": {"app": app}}}


def flood(ns, to, n, port=9):
    with inside(ns):
        u = socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, socket.SOCK_DGRAM)
    with u:
        for _ in range(n):
            u.sendto(b"x", (to, port))


def drops(ns):
    """{comment: packets} of the node's default denies, of both families, as nft has them."""
    out = {}
    for c in json.loads(ns.run("nft", "-j", "list", "table", "inet", "fairlead").stdout)["nftables"]:
        comment = c.get("rule", {}).get("comment", "")
        if comment.startswith("default deny by "):
            n = next(x["counter"]["packets"] for x in c["rule"]["expr"] if "counter" in x)
            out[comment] = out.get(comment, 0) + n
    return out


def lines(program):
    return [m.groupdict() for m in LINE.finditer(program.log())]


# ---- one node

class OneNode:
    """Pods `a` and `b` on one node; policies default/no-way and default/only-web isolate b."""

    def __init__(self, world, **conf):
        self.world = world
        world.store.apply(pod_object("a", "n1", labels={"app": "a"}), pod_object("b", "n1", labels={"app": "b"}),
                          policy("only-web", podSelector={"matchLabels": {"app": "b"}}, policyTypes=["Ingress"],
                                 ingress=[{"from": [to_app("nobody"), to_app("a")], "ports": [{"protocol": "TCP", "port": 80}]}]),
                          policy("no-way", podSelector={"matchLabels": {"app": "b"}}, policyTypes=["Ingress"]))
        self.node, = world.up(10, **conf)
        self.a, self.b = (world.pod(self.node, n, args={"K8S_POD_NAMESPACE": "default", "K8S_POD_NAME": n}) for n in "ab")
        self.log = self.node.keeper.program

    DENIAL = "default deny by default/no-way, default/only-web"

    def show(self, *args, code=0):
        r = subprocess.run([built("bin/fairlead"), "policy", "show", "--run-dir", self.node.keeper.run_dir, *args],
                           capture_output=True, text=True, timeout=20)
        assert r.returncode == code, r.stdout + r.stderr
        return r

    def shown(self, *args):
        return json.loads(self.show(*args, "-o", "json").stdout)


def test_line(world):
    """Both ends by name, of both families; ICMP without ports."""
    n = OneNode(world)
    for v in (4, 6):
        flood(n.a.ns, n.b.ip(v), 1)
    wait_for(lambda: len(lines(n.log)) == 2)
    v4, v6 = lines(n.log)
    assert (v4["way"], v4["proto"], v4["by"]) == ("ingress", "udp", n.DENIAL)
    assert re.fullmatch(rf"default/a {n.a.ip(4)}:\d+", v4["src"]) and v4["dst"] == f"default/b {n.b.ip(4)}:9"
    assert re.fullmatch(rf"default/a \[{n.a.ip(6)}\]:\d+", v6["src"]) and v6["dst"] == f"default/b [{n.b.ip(6)}]:9"
    n.a.ns.run("ping", "-c", "1", "-W", "1", n.b.ip(4), check=False)
    wait_for(lambda: len(lines(n.log)) == 3)
    assert (lines(n.log)[2]["proto"], lines(n.log)[2]["dst"]) == ("icmp type 8 code 0", f"default/b {n.b.ip(4)}")


def test_a_node(world):
    """Another node is told by its name, with the address by which it reaches pods."""
    n = OneNode(world)
    other = world.add_node("n2", 10)
    world.store.apply(other.object())
    other.wait_serving()

    tunnel = wait_for(lambda: other.ns.ip("-4", "addr", "show", "dev", "vxlan0")[0]["addr_info"][0]["local"])

    def told():
        flood(other.ns, n.b.ip(4), 1)
        return [x for x in lines(n.log) if tunnel in x["src"]]
    line = wait_for(told)[0]
    assert re.fullmatch(rf"node n2 {tunnel}:\d+", line["src"]) and line["dst"] == f"default/b {n.b.ip(4)}:9"


def test_burst(world):
    """Lines are bounded, what is left out is told and counted, and the counters know every packet."""
    n, sent, begun = OneNode(world), 5000, time.monotonic()
    flood(n.a.ns, n.b.ip(4), sent)
    took = time.monotonic() - begun
    wait_for(lambda: drops(n.node.ns) == {n.DENIAL: sent})
    wait_for(lambda: "more packets were denied" in n.log.log(), timeout=15)
    written = len(lines(n.log))
    more = sum(int(x) for x in re.findall(r"policy: (\d+) more packets were denied", n.log.log()))
    assert 10 <= written <= 11 + 10 * took
    assert 0 < more and written + more <= 21 + 10 * took  # the kernel tells of twenty at once, and ten a second
    assert n.shown()["denials"] == [{"policies": ["default/no-way", "default/only-web"], "direction": "ingress",
                                     "packets": sent, "bytes": sent * 29}]


def test_off(world):
    """Nothing is told, all is counted, and the group is anybody's."""
    n = OneNode(world, policy_log="off")
    flood(n.a.ns, n.b.ip(4), 5)
    wait_for(lambda: drops(n.node.ns) == {n.DENIAL: 5})
    reader = world.start([built("../tests/integration/helpers/nflog"), str(GROUP)], ns=n.node.ns, stdin=subprocess.PIPE)
    reader.wait_log("ready")
    flood(n.a.ns, n.b.ip(4), 1)
    wait_for(lambda: '"prefix": "ingress4-' in reader.log(), what="a packet that somebody else reads")
    assert lines(n.log) == []


def test_somebody_else_has_the_group(world):
    """The agent says so once, enforces all the same, and takes the group when it is free."""
    def taken(node):
        world.reader = world.start([built("../tests/integration/helpers/nflog"), str(GROUP)], ns=node.ns, stdin=subprocess.PIPE)
        world.reader.wait_log("ready")
    add = world.add_node
    world.add_node = lambda name, rack=10, **conf: add(name, rack, before=taken, **conf)
    n = OneNode(world)
    n.log.wait_log("denied packets are not logged")
    flood(n.a.ns, n.b.ip(4), 1)
    wait_for(lambda: drops(n.node.ns) == {n.DENIAL: 1})
    world.reader.stop()
    n.log.wait_log("denied packets are logged again", timeout=20)
    flood(n.a.ns, n.b.ip(4), 1)
    wait_for(lambda: len(lines(n.log)) == 1)
    assert n.log.log().count("denied packets are not logged") == 1


def test_restart_keeps_counters(world):
    n = OneNode(world)
    flood(n.a.ns, n.b.ip(4), 7)
    wait_for(lambda: drops(n.node.ns) == {n.DENIAL: 7})
    n.node.restart_agent()
    assert n.shown()["denials"][0]["packets"] == 7
    flood(n.a.ns, n.b.ip(6), 2)
    wait_for(lambda: n.shown()["denials"][0]["packets"] == 9)
    wait_for(lambda: sum(f"[{n.b.ip(6)}]:9" in x["dst"] for x in lines(n.log)) == 2, what="the new agent's lines")


def test_show(world):
    """Rules with what they allowed, whom policies isolate, one policy, one that is not there."""
    n = OneNode(world)
    serve = world.start(["python3", "-c", "import socket\ns = socket.create_server(('', 80))\nprint('up', flush=True)\nwhile 1: s.accept()[0].close()"],
                        ns=n.b.ns)
    serve.wait_log("up")
    for _ in range(3):
        with inside(n.a.ns):
            s = socket.socket()
        with s:
            s.settimeout(5)
            s.connect((n.b.ip(4), 80))
    flood(n.a.ns, n.b.ip(4), 2)
    wait_for(lambda: drops(n.node.ns) == {n.DENIAL: 2})
    shown = n.shown()
    by_name = {p["name"]: p for p in shown["policies"]}
    assert set(by_name) == {"no-way", "only-web"}
    assert by_name["no-way"] == {"namespace": "default", "name": "no-way", "direction": "ingress", "pods": ["default/b"], "rules": []}
    rules = {r["rule"]: r["packets"] for r in by_name["only-web"]["rules"]}
    assert rules == {"ingress[0].from[0]": 0, "ingress[0].from[1]": 3}
    assert shown["denials"] == [{"policies": ["default/no-way", "default/only-web"], "direction": "ingress", "packets": 2, "bytes": 58}]
    one = n.shown("no-way")
    assert [p["name"] for p in one["policies"]] == ["no-way"] and one["denials"] == shown["denials"]
    assert n.shown("-n", "other") == {"policies": [], "denials": []}
    text = n.show().stdout
    assert re.search(r"^default/only-web +ingress +ingress\[0\]\.from\[1\] +3 +\d+$", text, re.M)
    assert re.search(rf"^- +ingress +{n.DENIAL} +2 +58$", text, re.M)
    assert re.search(r"^default/no-way +ingress +default/b$", text, re.M)
    assert "no NetworkPolicy default/nothing" in n.show("nothing", code=1).stderr
    n.show("a", "b", code=2)
    n.show("x", "-A", code=2)


def scrape(node):
    url = "http://127.0.0.1:9099/metrics"
    return node.ns.run("python3", "-c", f"import urllib.request as u; print(u.urlopen({url!r}).read().decode())").stdout


def test_metrics(world):
    """Per policy and direction; a policy that is gone takes its series along."""
    n = OneNode(world, roles="agent watch health")
    flood(n.a.ns, n.b.ip(4), 4)
    series = 'fairlead_policy_denied_packets_total{direction="ingress",policy="default/%s"} %d\n'
    wait_for(lambda: all(series % (p, 4) in scrape(n.node) for p in ("no-way", "only-web")), timeout=30)
    text = scrape(n.node)
    assert 'fairlead_policy_dropped_packets_total{direction="ingress"} 4\n' in text
    assert 'fairlead_policy_allowed_packets_total{direction="ingress",policy="default/only-web"} 0\n' in text
    assert 'fairlead_policy_log_packets_total{result="written"} 4\n' in text
    assert "fairlead_policy_pods 1\n" in text
    world.store.delete(policy("no-way"))
    wait_for(lambda: "default/no-way" not in scrape(n.node), timeout=30)
    assert 'policy="default/only-web"' in scrape(n.node)


# ---- a lab: a hundred random flows

SPACES, PODS, PORTS = "xyz", "abcd", [("tcp", 80), ("tcp", 81), ("udp", 80), ("udp", 53)]
N = 100


def some_policies(r):
    """Two policies or three of each namespace, of which all select somebody."""
    out = []
    for ns in SPACES:
        for i in range(r.randint(2, 3)):
            pods = {"matchExpressions": [{"key": "app", "operator": "In", "values": r.sample(PODS, r.randint(1, 3))}]}
            spec = {"podSelector": pods, "policyTypes": r.choice((["Ingress"], ["Egress"], ["Ingress", "Egress"]))}
            for way, key in (("ingress", "from"), ("egress", "to")):
                if way.capitalize() in spec["policyTypes"] and r.random() < 0.7:
                    peers = [{"namespaceSelector": {"matchLabels": {"team": r.choice(SPACES)}}, **r.choice(({}, to_app(r.choice(PODS))))}]
                    spec[way] = [{key: peers, "ports": [{"protocol": p.upper(), "port": q} for p, q in r.sample(PORTS, 2)]}]
            out.append(policy(f"p{i}", ns, **spec))
    return out


@pytest.fixture(scope="module")
def hundred(module_lab, tmp_path_factory):
    r = random.Random(20)
    policies = some_policies(r)
    objects = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n, "labels": {"team": n}}} for n in SPACES]
    objects += [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": p, "namespace": n, "labels": {"app": p}},
                 "spec": {"nodeName": f"n{1 + (i + k) % 3}", "containers": [{"name": "c", "ports": [
                     {"containerPort": q, "protocol": t.upper()} for t, q in PORTS]}]}}
                for i, n in enumerate(SPACES) for k, p in enumerate(PODS)]
    path = tmp_path_factory.mktemp("m") / "m.yaml"
    path.write_text(yaml.safe_dump_all([*objects, *policies]))
    lab = module_lab("--nodes", 3, "--racks", 2, "--mode", "direct", manifests=[path])
    pods = {f"{p['namespace']}/{p['name']}": p for p in lab.status()["pods"]}
    return lab, pods, policies, r


def why(lab, src, dst, proto, port):
    r = lab.store("why", src, f"{dst}:{port}", "--proto", proto, "-o", "json", check=False)
    return json.loads(r.stdout)


def said(answer):
    """(direction, "default deny by …") of a denied flow: egress is asked first."""
    for way in ("egress", "ingress"):
        isolate = [f"{b['ns']}/{b['name']}" for b in answer["by"] if b["rule"] is None and b["direction"] == way]
        if isolate:
            assert not answer["allowed"]
            return way, "default deny by " + ", ".join(isolate)
    assert answer["allowed"]
    return None


SEND = """
import json, socket, sys, time
for proto, to, port, sport in json.load(sys.stdin):
    s = socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}[proto])
    s.bind(("", sport))
    s.setblocking(False)
    try:
        s.connect((to, port))
    except BlockingIOError:
        pass
    if proto == "udp":
        s.send(b"x")
    time.sleep(0.15)  # a SYN that was sent is not sent again, and the log's rate is kept
    s.close()
"""


def denied_flows(lab, pods, r):
    """N flows that `why` says are denied: {(proto, src, sport, dst address, port): (direction, words)}"""
    out, names = {}, sorted(pods)
    while len(out) < N:
        src, dst = r.sample(names, 2)
        proto, port = r.choice(PORTS)
        verdict = said(why(lab, src, dst, proto, port))
        if verdict:
            out[proto, src, 20000 + len(out), dst, r.choice(pods[dst]["ips"]), port] = verdict
    return out


def test_hundred_flows(hundred):
    """Of each flow the line, the counter and `why` name the same policies."""
    lab, pods, policies, r = hundred
    flows = denied_flows(lab, pods, r)
    before = denials(lab)
    for src in sorted({f[1] for f in flows}):
        mine = [(proto, to, port, sport) for proto, s, sport, _, to, port in flows if s == src]
        lab.exec(src, "python3", "-c", SEND, input=json.dumps(mine))
    want = {}
    for verdict in flows.values():
        want[verdict] = want.get(verdict, 0) + 1

    def rose():
        now = denials(lab)
        return {k: n - before.get(k, 0) for k, n in now.items() if n != before.get(k, 0)} == want
    wait_for(rose, what="each counter rose by its flows")

    def told():
        logs = Path(f"/run/fairlead-lab/{lab.name}/nodes").glob("*/log/fairleadd.log")
        text = "".join(f.read_text() for f in logs)
        return {(m["proto"], m["src"], m["dst"]): (m["way"], m["by"]) for m in LINE.finditer(text)}
    address = lambda f, a: next(x for x in pods[f]["ips"] if (":" in x) == (":" in a))
    line_of = lambda proto, src, sport, dst, to, port: (proto, f"{src} {end(address(src, to), sport)}", f"{dst} {end(to, port)}")
    wait_for(lambda: len(told()) >= N, what="a line for each")
    assert told() == {line_of(*f): verdict for f, verdict in flows.items()}


def end(a, port):
    return f"[{a}]:{port}" if ":" in a else f"{a}:{port}"


def denials(lab):
    found = json.loads(lab.store("policy", "show", "-A", "-o", "json").stdout)["denials"]
    return {(d["direction"], "default deny by " + ", ".join(d["policies"])): d["packets"] for d in found}


def test_oracle_agrees(hundred, oracle):
    """The oracle isolates by the same policies as `why`, and allows and denies the same."""
    lab, pods, policies, r = hundred
    c = oracle.Cluster({"namespaces": [{"name": n, "labels": {"team": n}} for n in SPACES],
                        "pods": [{"namespace": p["namespace"], "name": p["name"], "ips": p["ips"], "labels": {"app": p["name"]}}
                                 for p in pods.values()]})
    o = oracle.Oracle(c, policies)
    denied = 0
    for _ in range(N):
        src, dst = r.sample(sorted(pods), 2)
        proto, port = r.choice(PORTS)
        d = o.detail(c.by_key[src], c.by_key[dst], proto.upper(), port)
        verdict = said(why(lab, src, dst, proto, port))
        assert (verdict is None) == d["allowed"], (src, dst, proto, port)
        if verdict:
            way = "ingress" if d["egress"]["allowed"] else "egress"
            assert verdict == (way, "default deny by " + ", ".join(sorted(d[way]["isolating"])))
            denied += 1
    assert 20 < denied < N
