# SPDX-License-Identifier: Apache-2.0
"""What policies did, told: the deny log, the counters behind `policy show` and the metrics. Judged by what the
test sent, by nft's counters, and for names by the independent oracle."""
import json
import random
import re
import socket
import subprocess
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import yaml

from agent_world import pod_object, world  # noqa: F401: a fixture
from conntrack import inside
from harness import built, wait_for
from sctp import sctp_init

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


def test_nothing_to_show(world):
    """No empty tables: where nothing is isolated a sentence says so; a name that is not there is an error."""
    n = OneNode(world)
    r = n.show("-n", "elsewhere")
    assert (r.stdout, r.stderr) == ("", "no policy isolates a pod here in namespace elsewhere (-A shows all namespaces)\n")
    r = n.show("nope", code=1)
    assert (r.stdout, r.stderr) == ("", "fairlead: no NetworkPolicy default/nope\n")
    assert "default/no-way" in n.show().stdout


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


# One TCP segment without its connection: to ADDRESS PORT, from PORT, with these flags.
SEGMENT = """
import socket, struct, sys
to, port, sport, flags = sys.argv[1], *map(int, sys.argv[2:])
s = socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
s.connect((to, 0))
ends = b"".join(socket.inet_pton(s.family, x) for x in (s.getsockname()[0], to))
segment = lambda sum: struct.pack("!HHIIBBHHH", sport, port, 1, 1, 5 << 4, flags, 1000, sum, 0)
x = sum(struct.unpack(f"!{(len(ends) + 24) // 2}H", ends + struct.pack("!HH", 6, 20) + segment(0)))
s.send(segment(0xffff & ~((x & 0xffff) + (x >> 16))))
"""
SYN, ACK = 2, 16


@pytest.mark.parametrize("family", [4, 6])
def test_midway(world, family):
    """A segment without its connection, from a pod isolated for ingress and to one isolated for egress, is told with
    the policies that isolate that pod, and with other words than a first packet; the counter knows each."""
    n = OneNode(world)
    words = "in the middle of a connection that no longer is"

    def send(flags):
        n.b.ns.run("python3", "-c", SEGMENT, n.a.ip(family), 81, 80, flags)
    told = lambda: [(x["way"], x["src"].split()[0], x["dst"].split()[0], x["by"]) for x in lines(n.log)]
    send(SYN)  # begins a connection, as b may; its answer is no first packet
    send(ACK)  # is of none: the SYN's was answered by a reset
    wait_for(lambda: len(told()) == 1)
    world.store.apply(policy("quiet", podSelector={"matchLabels": {"app": "a"}}, policyTypes=["Egress"]))
    wait_for(lambda: "default/quiet" in n.node.ns.ruleset())
    send(ACK)
    wait_for(lambda: len(told()) == 2)
    assert told() == [("ingress", "default/b", "default/a", f"{words}, by default/no-way, default/only-web"),
                      ("egress", "default/b", "default/a", f"{words}, by default/quiet")]
    ruleset = n.node.ns.ruleset()
    assert len(re.findall(rf'counter packets 1 bytes \d+ drop comment "{words}"', ruleset)) == 2
    assert len(re.findall(rf'counter packets 0 bytes 0 drop comment "{words}"', ruleset)) == 2


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
    listen(world, n.b)
    connect(n.a.ns, n.b.ip(4), 3)
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
    """Per policy and direction; a policy that is gone takes its series along, and nobody else's falls with the rules
    that counted: those of the list that it was in, of a rule that is edited, of a pod that goes."""
    n = OneNode(world, roles="agent watch health")
    flood(n.a.ns, n.b.ip(4), 4)
    series = 'fairlead_policy_denied_packets_total{direction="ingress",policy="default/%s"} %d\n'
    dropped = 'fairlead_policy_dropped_packets_total{direction="ingress"} %d\n'
    wait_for(lambda: all(series % (p, 4) in scrape(n.node) for p in ("no-way", "only-web")), timeout=30)
    text = scrape(n.node)
    assert dropped % 4 in text
    assert 'fairlead_policy_allowed_packets_total{direction="ingress",policy="default/only-web"} 0\n' in text
    assert 'fairlead_policy_log_packets_total{result="written"} 4\n' in text
    assert "fairlead_policy_pods 1\n" in text
    flood(n.a.ns, n.b.ip(4), 3)  # the last reading was before, most likely
    world.store.delete(policy("no-way"))
    wait_for(lambda: "default/no-way" not in scrape(n.node), timeout=30)
    text = scrape(n.node)
    assert series % ("only-web", 7) in text and dropped % 7 in text
    assert drops(n.node.ns) == {"default deny by default/only-web": 0}, "the kernel began anew"
    assert n.shown()["denials"] == [{"policies": ["default/only-web"], "direction": "ingress", "packets": 7, "bytes": 203}]


def listen(world, pod):
    serve = world.start(["python3", "-c", "import socket\ns = socket.create_server(('', 80))\nprint('up', flush=True)\nwhile 1: s.accept()[0].close()"],
                        ns=pod.ns)
    serve.wait_log("up")


def connect(ns, to, n):
    for _ in range(n):
        with inside(ns):
            s = socket.socket()
        with s:
            s.settimeout(5)
            s.connect((to, 80))


def test_sums_outlive_rules(world):
    """An edited policy's rule, and one whose pods have all gone and came back, go on where they were: what the
    kernel counted up to then is read before its rule goes."""
    n = OneNode(world)
    world.store.delete(policy("no-way"))
    only = lambda ports: policy("only-web", podSelector={"matchLabels": {"app": "b"}}, policyTypes=["Ingress"],
                                ingress=[{"from": [to_app("nobody"), to_app("a")], "ports": [{"protocol": "TCP", "port": p} for p in ports]}])
    counted = lambda: {r["rule"]: r["packets"] for r in n.shown()["policies"][0]["rules"]}
    wait_for(lambda: "default/no-way" not in n.node.ns.ruleset())
    listen(world, n.b)
    connect(n.a.ns, n.b.ip(4), 3)
    world.store.apply(only([80, 443]))
    wait_for(lambda: "@ports-" in n.node.ns.ruleset(), what="the edited rule")
    assert counted() == {"ingress[0].from[0]": 0, "ingress[0].from[1]": 3}
    connect(n.a.ns, n.b.ip(4), 2)
    world.store.apply(pod_object("b", "n1", labels={"app": "other"}))
    wait_for(lambda: "default/only-web" not in n.node.ns.ruleset(), what="a policy without pods")
    assert counted() == {"ingress[0].from[0]": 0, "ingress[0].from[1]": 5}
    world.store.apply(pod_object("b", "n1", labels={"app": "b"}))
    wait_for(lambda: "default/only-web" in n.node.ns.ruleset())
    connect(n.a.ns, n.b.ip(4), 1)
    assert counted() == {"ingress[0].from[0]": 0, "ingress[0].from[1]": 6}


# ---- a lab: a hundred random flows

SPACES, PODS = "xyz", "abcd"
PORTS = [("tcp", 80), ("tcp", 81), ("udp", 80), ("udp", 53), ("sctp", 80), ("sctp", 36412)]
PROTOS = ("tcp", "udp", "sctp", "icmp")
N = 100  # that are denied
PACE = 0.05  # seconds between them: each of three agents writes ten lines a second
ECHO = {4: bytes([8, 0, 0xf7, 0xff, 0, 0, 0, 0]), 6: bytes([128, 0, 0, 0, 0, 0, 0, 0])}  # the kernel sums up ICMPv6


class Flow(NamedTuple):
    proto: str
    src: str  # "NS/POD"
    dst: str
    family: int
    port: int | None  # of the destination; ICMP has none
    sport: int | None


def some_policies(r):
    """Two policies or three of each namespace, of which all select somebody. Every third rule is for all protocols."""
    out = []
    for ns in SPACES:
        for i in range(r.randint(2, 3)):
            pods = {"matchExpressions": [{"key": "app", "operator": "In", "values": r.sample(PODS, r.randint(1, 3))}]}
            spec = {"podSelector": pods, "policyTypes": r.choice((["Ingress"], ["Egress"], ["Ingress", "Egress"]))}
            for way, key in (("ingress", "from"), ("egress", "to")):
                if way.capitalize() in spec["policyTypes"] and r.random() < 0.7:
                    peers = [{"namespaceSelector": {"matchLabels": {"team": r.choice(SPACES)}}, **r.choice(({}, to_app(r.choice(PODS))))}]
                    ports = [{"protocol": p.upper(), "port": q} for p, q in r.sample(PORTS, 3)]
                    spec[way] = [{key: peers, **r.choice(({"ports": ports}, {"ports": ports}, {}))}]
            out.append(policy(f"p{i}", ns, **spec))
    return out


class Hundred:
    """A lab, and of random flows what `why` says of each: of `denied` N ones, a fourth of each protocol, of both families."""

    def __init__(self, module_lab, folder):
        r = random.Random(20)
        self.policies = some_policies(r)
        objects = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n, "labels": {"team": n}}} for n in SPACES]
        objects += [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": p, "namespace": n, "labels": {"app": p}},
                     "spec": {"nodeName": f"n{1 + (i + k) % 3}", "containers": [{"name": "c", "ports": [
                         {"containerPort": q, "protocol": t.upper()} for t, q in PORTS]}]}}
                    for i, n in enumerate(SPACES) for k, p in enumerate(PODS)]
        (folder / "m.yaml").write_text(yaml.safe_dump_all([*objects, *self.policies]))
        self.lab = module_lab("--nodes", 3, "--racks", 2, "--mode", "direct", manifests=[folder / "m.yaml"])
        self.pods = {f"{p['namespace']}/{p['name']}": p for p in self.lab.status()["pods"]}
        self.denied, self.allowed, seen = {}, [], set()
        while len(self.denied) < N:
            i = len(self.denied)
            proto, family = PROTOS[i % 4], (4, 6)[i // 4 % 2]
            src, dst = r.sample(sorted(self.pods), 2)
            port = r.choice([q for p, q in PORTS if p == proto]) if proto != "icmp" else None
            if (proto, src, dst, family, port) in seen:
                continue
            seen.add((proto, src, dst, family, port))
            flow = Flow(proto, src, dst, family, port, port and 20000 + i)
            verdict = said(self.why(flow))
            if verdict:
                self.denied[flow] = verdict
            else:
                self.allowed.append(flow)

    def address(self, pod, family):
        return next(a for a in self.pods[pod]["ips"] if (":" in a) == (family == 6))

    def why(self, f):
        r = self.lab.store("why", f.src, end(self.address(f.dst, f.family), f.port), "--proto", f.proto, "-o", "json", check=False)
        return json.loads(r.stdout)

    def line_of(self, f):
        """(PROTOCOL, FROM, TO) as the deny log has to write it."""
        proto = f.proto if f.port else {4: "icmp type 8 code 0", 6: "icmpv6 type 128 code 0"}[f.family]
        return (proto, f"{f.src} {end(self.address(f.src, f.family), f.sport)}", f"{f.dst} {end(self.address(f.dst, f.family), f.port)}")

    def told(self):
        logs = Path(f"/run/fairlead-lab/{self.lab.name}/nodes").glob("*/log/fairleadd.log")
        text = "".join(f.read_text() for f in logs)
        return Counter(((m["proto"], m["src"], m["dst"]), (m["way"], m["by"])) for m in LINE.finditer(text))

    def counted(self):
        found = json.loads(self.lab.store("policy", "show", "-A", "-o", "json").stdout)["denials"]
        return Counter({(d["direction"], "default deny by " + ", ".join(d["policies"])): d["packets"] for d in found})

    def send(self, f):
        """One packet. Nothing sends it again: a socket whose SYN went out is closed."""
        to, v6 = self.address(f.dst, f.family), f.family == 6
        kinds = {"tcp": (socket.SOCK_STREAM,), "udp": (socket.SOCK_DGRAM,), "sctp": (socket.SOCK_RAW, socket.IPPROTO_SCTP),
                 "icmp": (socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP)}
        with inside(SimpleNamespace(path=f"/proc/{self.pods[f.src]['pid']}/ns/net")):
            s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, *kinds[f.proto])
        with s:
            if f.proto == "sctp":
                s.sendto(sctp_init(f.sport, f.port), (to, 0))
            elif f.proto == "icmp":
                s.sendto(ECHO[f.family], (to, 0))
            else:
                s.bind(("", f.sport))
                s.setblocking(False)
                if s.connect_ex((to, f.port)) == 0:
                    s.send(b"x")


@pytest.fixture(scope="module")
def hundred(module_lab, tmp_path_factory):
    return Hundred(module_lab, tmp_path_factory.mktemp("m"))


def said(answer):
    """(direction, "default deny by …") of a denied flow: egress is asked first."""
    for way in ("egress", "ingress"):
        isolate = [f"{b['ns']}/{b['name']}" for b in answer["by"] if b["rule"] is None and b["direction"] == way]
        if isolate:
            assert not answer["allowed"]
            return way, "default deny by " + ", ".join(isolate)
    assert answer["allowed"]
    return None


def end(a, port):
    return a if not port else f"[{a}]:{port}" if ":" in a else f"{a}:{port}"


def test_hundred_flows(hundred):
    """Of each flow one packet is sent: the one line that comes, the one counter that rises and `why` name the same policies."""
    h, counted, told = hundred, hundred.counted(), hundred.told()
    assert {(f.proto, f.family) for f in h.denied} == {(p, v) for p in PROTOS for v in (4, 6)}
    for f, verdict in h.denied.items():
        due = time.monotonic() + PACE
        h.send(f)
        lines = wait_for(lambda: h.told() - told, what=f"a line of {f}")
        rose = wait_for(lambda: h.counted() - counted, what=f"a counter that rises by {f}")
        assert (dict(rose), dict(lines)) == ({verdict: 1}, {(h.line_of(f), verdict): 1}), f
        counted, told = counted + rose, told + lines
        wait_for(lambda: time.monotonic() >= due)
    assert (h.counted(), h.told()) == (counted, told)


def test_oracle_agrees(hundred, oracle):
    """On the same flows, and on those that were found allowed among them: the oracle isolates by the same policies."""
    h = hundred
    c = oracle.Cluster({"namespaces": [{"name": n, "labels": {"team": n}} for n in SPACES],
                        "pods": [{"namespace": p["namespace"], "name": p["name"], "ips": p["ips"], "labels": {"app": p["name"]}}
                                 for p in h.pods.values()]})
    o = oracle.Oracle(c, h.policies)
    assert {f.proto for f in h.allowed} == set(PROTOS)
    for f in (*h.denied, *h.allowed):
        d = o.detail(c.by_key[f.src], c.by_key[f.dst], f.proto.upper(), f.port, f.family)
        way = "ingress" if d["egress"]["allowed"] else "egress"
        want = None if d["allowed"] else (way, "default deny by " + ", ".join(sorted(d[way]["isolating"])))
        assert h.denied.get(f) == want, f
