# SPDX-License-Identifier: Apache-2.0
"""Cluster DNS in a lab: pods ask the cluster DNS address, which their own node answers. What is asked by
dig, getent and the kernel's tables."""
import json
import re
import subprocess

import pytest

import conntrack
from harness import ROOT, built, needs, wait_for

pytestmark = needs("dig", "getent", "nft", "ping")

DNS = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "kube-dns", "namespace": "kube-system"},
       "spec": {"clusterIP": "10.96.0.10", "selector": {"k8s-app": "kube-dns"},
                "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53},
                          {"name": "metrics", "port": 9153}]}}
ADDRESSES = {"169.254.20.10", "10.96.0.10", "fd00:10:96::a"}


@pytest.fixture(scope="module", params=["routed", "bridge"])
def shop(module_lab, request, tmp_path_factory):
    lab = module_lab("--nodes", 2, "--racks", 2, "--attachment", request.param,
                     manifests=[ROOT / "examples/shop.yaml", ROOT / "examples/services.yaml"])
    path = tmp_path_factory.mktemp("dns") / "kube-dns.json"
    path.write_text(json.dumps(DNS))
    lab.store("apply", "--wait", "-f", path)
    return lab


def pods(lab, app):
    return sorted((p for p in lab.status()["pods"] if p["name"].startswith(f"{app}-")), key=lambda p: p["name"])


def dig(lab, pod, name, kind="A", *args):
    """The answers; None: nobody answers."""
    out = lab.exec(f"{pod['namespace']}/{pod['name']}", "dig", "+time=2", "+tries=1", "+search", "+short", *args, name, kind, check=False)
    return None if out.returncode else sorted(out.stdout.split("\n")[:-1])


def cluster_ip(lab, name):
    return json.loads(lab.store("get", "service", f"shop/{name}", "-o", "json").stdout)["spec"]["clusterIP"]


def addresses_on_lo(lab, node):
    text = lab.node(node, "ip", "-j", "addr", "show", "lo").stdout
    return {a["local"]: a for a in json.loads(text)[0]["addr_info"]}


class Node:
    def __init__(self, lab, name):
        pid = next(n["roles"]["agent"] for n in lab.status()["nodes"] if n["name"] == name)
        self.path = f"/proc/{pid}/ns/net"


def test_names_from_every_pod(shop):
    db, = pods(shop, "db")
    for pod in pods(shop, "web") + pods(shop, "api") + [db]:
        assert dig(shop, pod, "api") == [cluster_ip(shop, "api")]
        assert dig(shop, pod, "db-0.db", "A", "+tcp") == [db["ips"][0]]
        assert dig(shop, pod, "api", "A", "@fd00:10:96::a") == [cluster_ip(shop, "api")]
        assert dig(shop, pod, "api", "A", "@169.254.20.10") == [cluster_ip(shop, "api")]
        assert dig(shop, pod, "nobody") == []
        here = f"{pod['namespace']}/{pod['name']}"
        assert shop.exec(here, "getent", "hosts", "api").stdout.split()[:2] == [cluster_ip(shop, "api"), "api.shop.svc.cluster.local"]


def test_the_node_itself_asks(shop):
    for server in sorted(ADDRESSES):
        out = shop.node("n1", "dig", "+time=2", "+tries=1", "+short", f"@{server}", "api.shop.svc.cluster.local")
        assert out.stdout.split() == [cluster_ip(shop, "api")]


def test_no_entry_of_a_query(shop):
    pod = pods(shop, "web")[0]
    node = Node(shop, pod["node"])
    for server in sorted(ADDRESSES):
        for how in ("+notcp", "+tcp"):
            assert dig(shop, pod, "api", "A", f"@{server}", how) == [cluster_ip(shop, "api")]
            out = shop.node(pod["node"], "dig", "+time=2", "+tries=1", "+short", how, f"@{server}", "api.shop.svc.cluster.local")
            assert out.stdout.split() == [cluster_ip(shop, "api")]
    dns = [row for row in conntrack.table(node) if 53 in (row[2], row[4], row[6])]
    assert dns == []
    # The table does show what is tracked.
    shop.probe(f"shop/{pod['name']}", f"{cluster_ip(shop, 'api')}:80")
    assert any(row[3] == cluster_ip(shop, "api") for row in conntrack.table(node, "tcp"))


def test_addresses_on_lo(shop):
    """Never the source of what the node sends itself, and back when somebody takes one away."""
    for node in ("n1", "n2"):
        have = addresses_on_lo(shop, node)
        assert ADDRESSES <= set(have)
        assert have["10.96.0.10"]["scope"] == have["169.254.20.10"]["scope"] == "host"
        assert have["fd00:10:96::a"]["preferred_life_time"] == 0
        state = json.loads(shop.store("get", "nodestate", node, "-o", "json").stdout)
        assert set(state["status"]["dnsAddresses"]) == ADDRESSES
    shop.node("n1", "ip", "addr", "del", "10.96.0.10/32", "dev", "lo")
    wait_for(lambda: "10.96.0.10" in addresses_on_lo(shop, "n1"), 10, "the address is brought back")
    pod = next(p for p in pods(shop, "web") + pods(shop, "api") if p["node"] == "n1")
    wait_for(lambda: dig(shop, pod, "api") == [cluster_ip(shop, "api")], 5, "and answers")


def test_the_services_other_ports(shop):
    """Port 53 is the node's own, the metrics are its pods', of whom there are none."""
    text = shop.node("n1", "nft", "list", "table", "inet", "fairlead").stdout
    assert "tcp . 10.96.0.10 . 9153" in text
    assert "udp . 10.96.0.10 . 53" in text.partition("set dns4")[2].partition("}\n\t}")[0]
    for name in ("vip4", "refused4"):
        assert "10.96.0.10 . 53" not in text.partition(f"map {name} ")[2].partition("\n\t}")[0]
    pod = pods(shop, "web")[0]
    seen = shop.probe(f"shop/{pod['name']}", "10.96.0.10:9153")
    assert seen["results"].get("refused")


def test_why_says_the_node_answers(shop):
    pod = pods(shop, "web")[0]
    out = json.loads(shop.store("why", f"shop/{pod['name']}", "kube-system/kube-dns:53", "--proto", "udp", "-o", "json").stdout)
    assert out["service"]["action"] == "ACCEPT" and out["service"]["reason"] == "the node answers DNS there itself"
    assert out["allowed"] and [h["step"] for h in out["hops"] if h["direction"] == "request"][-1] == "deliver"


def test_a_change_is_seen_on_all_nodes(shop, tmp_path):
    name = "late"
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"},
               "spec": {"clusterIP": "10.96.7.7", "ports": [{"port": 80}]}}
    path = tmp_path / "late.json"
    path.write_text(json.dumps(service))
    ends = {p["node"]: p for p in pods(shop, "web") + pods(shop, "api")}
    assert all(dig(shop, p, name) == [] for p in ends.values())
    shop.store("apply", "-f", path)
    for p in ends.values():
        wait_for(lambda p=p: dig(shop, p, name) == ["10.96.7.7"], 5, "the Service has a name")
    shop.store("delete", "service", f"shop/{name}")
    for p in ends.values():
        wait_for(lambda p=p: dig(shop, p, name) == [], 5, "it has none any more")


def take_over(lab, node):
    log = f"/run/fairlead-lab/{lab.name}/nodes/{node}/log/fairleadd.log"
    with open(log, "ab") as out:
        argv = [built("bin/fairlead"), "lab", "node", "--name", lab.name, node, "--", built("bin/fairleadd"), "--takeover"]
        assert subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=60).returncode == 0


def test_without_the_role_and_with_it_again(lab):
    """A node that no longer answers leaves nothing of it behind, and its pods' other traffic alone."""
    one = lab("--nodes", 1, "--racks", 1, manifests=[ROOT / "examples/shop.yaml", ROOT / "examples/services.yaml"])
    pod, db = pods(one, "web")[0], pods(one, "db")[0]
    web = f"shop/{pod['name']}"

    def rules():
        return one.node("n1", "nft", "list", "table", "inet", "fairlead", check=False).stdout

    def ours():
        return ADDRESSES & set(addresses_on_lo(one, "n1"))
    wait_for(lambda: dig(one, pod, "api") == [cluster_ip(one, "api")], 10, "the node answers")
    ping = subprocess.Popen([built("bin/fairlead"), "lab", "exec", "--name", one.name, web, "--", "ping", "-i", "0.02", "-c", "300", "-q",
                             db["ips"][0]], stdout=subprocess.PIPE, text=True)
    one.node("n1", "sed", "-i", "s/ dns$//;/^dns-/d", "/etc/fairlead/fairleadd.conf")
    take_over(one, "n1")
    wait_for(lambda: not ours() and "dns4" not in rules(), 10, "nothing of it is left")
    assert dig(one, pod, "api") is None
    one.node("n1", "sed", "-i", "s/^roles .*/& dns/", "/etc/fairlead/fairleadd.conf")
    take_over(one, "n1")
    wait_for(lambda: ours() == ADDRESSES and "dns4" in rules(), 10, "all of it is back")
    wait_for(lambda: dig(one, pod, "api") == [cluster_ip(one, "api")], 10, "the node answers again")
    assert re.search(r"300 packets transmitted, 300 received", ping.communicate(timeout=30)[0])
    # And a ruleset that somebody flushed comes back with the rest.
    one.node("n1", "nft", "flush", "ruleset")
    wait_for(lambda: "dns4" in rules() and dig(one, pod, "api") == [cluster_ip(one, "api")], 10, "the rules are back")
