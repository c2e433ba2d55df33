# SPDX-License-Identifier: Apache-2.0
"""fairlead trace --query: the life of a DNS query. What the pod gets is told by dig in the same pod, whose address a name has by the
objects; who denies, and who does not answer, by what the tests put there."""
import contextlib
import json
import os
import signal
import subprocess
import textwrap
import threading

import pytest
import yaml
from harness import ROOT, built, needs, wait_for

pytestmark = needs("dig", "nft")

DOMAIN = "svc.cluster.local"
BOTH = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "both", "namespace": "shop"},
        "spec": {"ipFamilyPolicy": "PreferDualStack", "selector": {"app": "api"}, "ports": [{"name": "http", "port": 80}]}}
WAY = ["send", "leave-pod", "enter-node", "deliver", "answer", "enter-pod", "deliver"]  # without routes, and who may


@pytest.fixture(scope="module", params=["routed", pytest.param("bridge", marks=pytest.mark.slow("the same rules, from a bridge"))])
def shop(module_lab, request, tmp_path_factory):
    path = tmp_path_factory.mktemp("m") / "m.yaml"
    path.write_text(yaml.safe_dump(BOTH))
    return module_lab("--nodes", 2, "--racks", 2, "--attachment", request.param,
                      manifests=[ROOT / "examples/shop.yaml", ROOT / "examples/services.yaml", path])


class Story:
    def __init__(self, lab, pod, name, *args, to=(), code=0):
        r = lab.store("trace", f"shop/{pod['name']}", *to, "--query", name, "-o", "json", *args, check=False)
        assert r.returncode == code, r.stdout + r.stderr
        self.all = json.loads(r.stdout)
        self.text = json.dumps(self.all, indent=1)
        self.hops = self.all["hops"]
        self.sentence, self.verdict, self.advice = self.all["sentence"], self.all["verdict"], self.all["advice"]

    def steps(self):
        return [h["step"] for h in self.hops if h["step"] not in ("route", "policy-egress", "policy-ingress")]

    def answer(self):
        """The hop that says what was made of the query, and by whom."""
        hop, = [h for h in self.hops if h["dns"]]
        return hop, hop["by"] and f'{hop["by"]["kind"]} {hop["by"]["ns"] or ""}/{hop["by"]["name"]}'


def pods(lab, app):
    return sorted((p for p in lab.status()["pods"] if p["name"].startswith(f"{app}-")), key=lambda p: p["name"])


def get(lab, kind, name):
    return json.loads(lab.store("get", kind, name, "-o", "json").stdout)


def cluster_ip(lab, name):
    return get(lab, "service", f"shop/{name}")["spec"]["clusterIP"]


def dig(lab, pod, name, kind, *args):
    out = lab.exec(f"shop/{pod['name']}", "dig", "+time=2", "+tries=1", "+noall", "+answer", *args, name, kind)
    return sorted(line.split() for line in out.stdout.splitlines() if line.strip())


def reverse(ip):
    return ".".join(reversed(ip.split("."))) + ".in-addr.arpa"


@contextlib.contextmanager
def applied(lab, path, *objects):
    f = path / "m.yaml"
    f.write_text(yaml.safe_dump_all(objects))
    lab.store("apply", "--wait", "-f", f)
    try:
        yield
    finally:
        for o in objects:
            if o["kind"] != "Namespace":
                lab.store("delete", o["kind"].lower(), f'{o["metadata"]["namespace"]}/{o["metadata"]["name"]}')


def policy(name, spec, ns="shop"):
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name, "namespace": ns}, "spec": spec}


def questions(lab):
    """Name, type, who decides."""
    db, = pods(lab, "db")
    api = cluster_ip(lab, "api")
    return [(f"api.shop.{DOMAIN}", "A", "Service shop/api"), (f"Api.Shop.{DOMAIN}.", "A", "Service shop/api"),
            (f"_http._tcp.api.shop.{DOMAIN}", "SRV", "Service shop/api"), (f"db.shop.{DOMAIN}", "A", "Service shop/db"),
            (f"db-0.db.shop.{DOMAIN}", "A", "Service shop/db"), (f"both.shop.{DOMAIN}", "AAAA", "Service shop/both"),
            (reverse(api), "PTR", "Service shop/api"), (reverse(db["ips"][0]), "PTR", "Pod shop/db-0")]


@pytest.mark.parametrize("how", ["udp", "tcp"])
def test_from_the_table(shop, how):
    pod = pods(shop, "web")[0]
    for name, kind, who in questions(shop):
        s = Story(shop, pod, f"{name}/{kind}", "--proto", how)
        hop, by = s.answer()
        assert s.verdict == "answered" and s.steps() == WAY and not s.all["unseen"], s.text
        assert by == who and hop["step"] == "answer" and hop["where"]["node"] == pod["node"], s.text
        assert hop["dns"]["from"] == "cluster" and hop["dns"]["rcode"] == "NOERROR"
        want = dig(shop, pod, name, kind, *(["+tcp"] if how == "tcp" else []))
        got = [[r[0], r[1], "IN", *r[2:]] for r in (line.split() for line in hop["dns"]["records"])]
        assert got and sorted(got) == want
        assert s.sentence.startswith(f"answered by the DNS of Node {pod['node']}: NOERROR, ") and who in s.sentence


def test_the_pod_behind_a_name(shop):
    hop, _ = Story(shop, pods(shop, "web")[0], f"db-0.db.shop.{DOMAIN}").answer()
    assert (hop["behind"]["kind"], hop["behind"]["name"]) == ("Pod", "db-0")


@pytest.mark.parametrize("server", ["fd00:10:96::a", "10.96.0.10:53", "169.254.20.10"])
def test_each_address_of_the_node(shop, server):
    for pod in pods(shop, "api"):
        s = Story(shop, pod, f"api.shop.{DOMAIN}", to=[server])
        hop, by = s.answer()
        assert by == "Service shop/api" and hop["where"]["node"] == pod["node"] and s.steps() == WAY, s.text
        assert s.hops[0]["after"]["dst"] == server.removesuffix(":53")


def test_as_predicted(shop):
    for how in ("udp", "tcp"):
        s = Story(shop, pods(shop, "web")[0], f"api.shop.{DOMAIN}", "--proto", how, "--diff")
        assert s.all["diff"]["differences"] == []


@pytest.mark.parametrize("name,kind,rcode,by,why", [
    (f"api.nope.{DOMAIN}", "A", "NXDOMAIN", "Namespace /nope", "there is no such Namespace"),
    (f"nope.shop.{DOMAIN}", "A", "NXDOMAIN", "Service shop/nope", "there is no such Service"),
    (f"db-7.db.shop.{DOMAIN}", "A", "NXDOMAIN", "Service shop/db", "no ready endpoint of it has that name"),
    (f"_sql._udp.api.shop.{DOMAIN}", "SRV", "NXDOMAIN", "Service shop/api", "it has no port of that name and protocol"),
    (f"api.shop.{DOMAIN}", "TXT", "NOERROR", "Service shop/api", None),
    ("example.com", "A", "REFUSED", None, None),
])
def test_no_record(shop, name, kind, rcode, by, why):
    s = Story(shop, pods(shop, "web")[0], f"{name}/{kind}")
    hop, who = s.answer()
    assert s.verdict == "answered" and hop["dns"]["rcode"] == rcode and hop["dns"]["records"] == [], s.text
    assert hop["why"] == why and (by is None or who == by)
    assert rcode in s.sentence and (why or "") in s.sentence


def test_no_endpoint_is_ready(shop, tmp_path):
    lone = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "lone", "namespace": "shop"},
            "spec": {"clusterIP": "None", "selector": {"app": "nobody"}, "ports": [{"port": 80}]}}
    with applied(shop, tmp_path, lone):
        s = wait_for(lambda: (s := Story(shop, pods(shop, "web")[0], f"lone.shop.{DOMAIN}")).answer()[1] == "Service shop/lone" and s, 10,
                     "the Service is known")
        assert s.answer()[0]["why"] == "it is headless, and no endpoint of it is ready"
        assert s.advice.startswith("the selector of Service shop/lone matches no pod")


def test_what_a_search_list_finds(shop):
    pod = pods(shop, "web")[0]
    for name in ("api", "api.shop"):
        assert f"ask for api.shop.{DOMAIN}." in Story(shop, pod, name).advice
    assert "search list" not in Story(shop, pod, "api.").advice  # in full


def test_denied(shop, tmp_path):
    pod, other = pods(shop, "web")[0], pods(shop, "api")[0]
    hush = policy("hush", {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"],
                           "egress": [{"to": [{"podSelector": {"matchLabels": {"app": "db"}}}]}]})
    with applied(shop, tmp_path, hush):
        s = wait_for(lambda: (r := shop.store("trace", f"shop/{pod['name']}", "--query", f"api.shop.{DOMAIN}", "--timeout", 1, "-o", "json",
                                              check=False)).returncode == 1 and json.loads(r.stdout), 15, "the policy is there")
        assert s["verdict"] == "dropped" and s["by"] == {"kind": "NetworkPolicy", "ns": "shop", "name": "hush",
                                                         "rule": "default deny by shop/hush"}
        assert s["hops"][-1]["where"]["node"] == pod["node"]
        for how in ("udp", "tcp"):
            s = Story(shop, pod, f"api.shop.{DOMAIN}", "--proto", how, "--timeout", 1, "--diff")
            assert s.verdict == "dropped" and s.all["diff"]["differences"] == [], s.text
        assert Story(shop, other, f"api.shop.{DOMAIN}").verdict == "answered"


def test_allowed(shop, tmp_path):
    """By rules at both ends, of which the node's is that of the cluster's DNS; who is in none is denied there."""
    pod, other = pods(shop, "web")[0], pods(shop, "api")[0]
    everywhere = {"namespaceSelector": {}}
    asks = policy("asks", {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"],
                           "egress": [{"to": [everywhere | {"podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}], "ports": [
                               {"port": 53, "protocol": p} for p in ("UDP", "TCP")]}]})
    lock = policy("lock", {"podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
                           "ingress": [{"from": [everywhere | {"podSelector": {"matchLabels": {"app": "web"}}}]}]}, ns="kube-system")
    with applied(shop, tmp_path, asks, lock):
        wait_for(lambda: shop.store("trace", f"shop/{other['name']}", "--query", f"api.shop.{DOMAIN}", "--timeout", 1, check=False).returncode == 1,
                 15, "the policies are there")
        for how in ("udp", "tcp"):
            s = Story(shop, pod, f"api.shop.{DOMAIN}", "--proto", how, "--diff")
            rules = [(h["step"], h["by"]["ns"], h["by"]["name"], h["by"]["rule"]) for h in s.hops if h["step"].startswith("policy-")]
            assert rules == [("policy-egress", "shop", "asks", "egress[0].to[0]"), ("policy-ingress", "kube-system", "lock", "ingress[0].from[0]")]
            assert s.verdict == "answered" and s.all["diff"]["differences"] == [], s.text
        s = Story(shop, other, f"api.shop.{DOMAIN}", "--timeout", 1, "--diff")
        assert s.verdict == "dropped" and s.all["by"]["rule"] == "default deny by kube-system/lock", s.text
        assert s.hops[-1]["why"].startswith("the node's DNS counts as") and s.all["diff"]["differences"] == []


def test_the_role_does_not_answer(shop):
    pod = pods(shop, "web")[0]
    pid = next(n["roles"]["dns"] for n in shop.status()["nodes"] if n["name"] == pod["node"])
    os.kill(pid, signal.SIGSTOP)
    try:
        for how, verdict, code in (("udp", "lost", 1), ("tcp", "delivered", 0)):
            s = Story(shop, pod, f"api.shop.{DOMAIN}", "--proto", how, "--timeout", 1, code=code)
            assert s.verdict == verdict and s.advice.startswith("it waits in the socket of role dns"), s.text
    finally:
        os.kill(pid, signal.SIGCONT)
    assert Story(shop, pod, f"api.shop.{DOMAIN}").verdict == "answered"


def test_others_queries_are_not_followed(shop):
    """The same question by the same pod, again and again, while one of them is followed."""
    pod = pods(shop, "web")[0]
    here, name = f"shop/{pod['name']}", f"api.shop.{DOMAIN}"
    done = threading.Event()
    asked = []

    def ask():
        while not done.is_set():
            asked.append(shop.exec(here, "dig", "+short", *[name] * 20).stdout)
    t = threading.Thread(target=ask)
    t.start()
    try:
        wait_for(lambda: len(asked) > 1, 20, "others ask")
        r = shop.store("trace", here, "--query", name, "--keep", "-o", "json")
    finally:
        done.set()
        t.join()
    kept = get(shop, "packettrace", r.stderr.split()[-1])
    probe = kept["status"]["probe"]["localPort"]
    heads = [o["head"] for n in kept["status"]["nodes"] for o in n.get("observations", []) if "head" in o]
    ports = {p for h in heads for p in (h.get("sport"), h.get("dport")) if p}
    assert ports == {probe, 53} and len(heads) > 4
    assert json.loads(r.stdout)["verdict"] == "answered"


def test_usage(shop):
    here = f"shop/{pods(shop, 'web')[0]['name']}"
    for argv, text in (([here, "--query", "a..b"], "empty label"), ([here, "--query", "a/NOPE"], "no type of records"),
                       ([here, "--query", "a.b", "--size", 100], "as long as its name"), ([here, "--query", ".".join(["a" * 60] * 3)], "168 at most"),
                       ([here, "10.96.0.10", "--query", "a.b", "--proto", "icmp"], "UDP"), (["outside", "--query", "a.b"], "outside"),
                       ([here], "takes FROM and TO")):
        r = shop.store("trace", *argv, check=False)
        assert r.returncode in (1, 2) and text in r.stderr, r.stderr


UPSTREAM = textwrap.dedent("""
    import socket, struct
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("127.0.0.1", 5353))
    print("ready", flush=True)
    while True:
        q, who = s.recvfrom(2000)
        n = 12
        while q[n]:
            n += q[n] + 1
        n += 5
        if b"silent" in q[12:n].lower():
            continue
        a = struct.pack(">HHHIH4s", 0xc00c, 1, 1, 60, 4, bytes([192, 0, 2, 80]))
        s.sendto(q[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0) + q[12:n] + a, who)
""")


def test_upstreams(lab):
    """One that answers, what it said before, and one that does not."""
    one = lab("--nodes", 1, "--racks", 1, manifests=[ROOT / "examples/shop.yaml", ROOT / "examples/services.yaml"])
    pod = pods(one, "web")[0]
    up = subprocess.Popen([built("bin/fairlead"), "lab", "node", "--name", one.name, "n1", "--", "python3", "-c", UPSTREAM],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        assert up.stdout.readline() == "ready\n"
        one.node("n1", "sed", "-i", "s/^dns-upstream .*/dns-upstream 127.0.0.1:5353\\ndns-workers 1/", "/etc/fairlead/fairleadd.conf")
        log = f"/run/fairlead-lab/{one.name}/nodes/n1/log/fairleadd.log"
        with open(log, "ab") as out:
            argv = [built("bin/fairlead"), "lab", "node", "--name", one.name, "n1", "--", built("bin/fairleadd"), "--takeover"]
            assert subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=60).returncode == 0
        first = wait_for(lambda: (a := Story(one, pod, "www.example.com").answer())[0]["dns"]["from"] == "upstream" and a, 15, "the upstream is asked")
        assert first[0]["dns"]["upstream"] == "127.0.0.1:5353" and first[1] == "Address /127.0.0.1:5353"
        assert first[0]["dns"]["records"] == ["www.example.com. 60 A 192.0.2.80"]
        again = Story(one, pod, "WWW.example.com")
        assert again.answer()[0]["dns"]["from"] == "cache" and again.steps() == WAY, again.text
        silent = Story(one, pod, "silent.example.com", "--timeout", 1)
        assert silent.verdict == "delivered" and silent.answer()[0]["dns"]["from"] == "upstream", silent.text
        assert "none of the node's upstreams answers" in silent.advice
    finally:
        up.kill()
        up.wait()
