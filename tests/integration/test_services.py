# SPDX-License-Identifier: Apache-2.0
"""Services as packets meet them: pods, nodes and a client outside of a lab of two nodes, and what the
kernel holds when Services, endpoints, the agent or somebody else's nft change. The node of each
endpoint is fixed, so that "local" means something. Mode direct: node addresses are what endpoints
see of masqueraded clients. What packets meet is the same in both attachments; of the nodes with
bridges n1 begins with br_netfilter, as new namespaces do, and n2 without."""
import ipaddress
import json
import os
import signal
import subprocess

import pytest
import yaml

from harness import built, wait_for

NODES = {"n1": ["172.18.1.11", "fd00:18:1::11"], "n2": ["172.18.1.12", "fd00:18:1::12"]}
FAMILIES = [4, 6]
BRIDGE_CALLS = ["/proc/sys/net/bridge/bridge-nf-call-iptables", "/proc/sys/net/bridge/bridge-nf-call-ip6tables"]


def pod(name, node, app, ports=(("http", 8080, "TCP"), ("dns", 8053, "UDP"))):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "x", "labels": {"app": app}},
            "spec": {"nodeName": node, "containers": [{"name": "c", "ports": [
                {"name": n, "containerPort": p, "protocol": t} for n, p, t in ports]}]}}


def service(name, app, lb=(), **spec):
    o = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "x"},
         "spec": {"selector": {"app": app}, "ipFamilyPolicy": "PreferDualStack",
                  "ports": [{"name": "http", "port": 80, "targetPort": "http"}], **spec}}
    if lb:
        o["status"] = {"loadBalancer": {"ingress": [{"ip": ip} for ip in lb]}}
    return o


def node_port(port):
    return [{"name": "http", "port": 80, "targetPort": "http", "nodePort": port}]


OBJECTS = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}},
    pod("w1", "n1", "web"), pod("w2", "n1", "web"), pod("w3", "n2", "web"), pod("one", "n1", "one"),
    pod("client", "n1", "client"), pod("other", "n2", "client"),
    service("web", "web", type="NodePort", ports=[
        {"name": "http", "port": 80, "targetPort": "http", "nodePort": 30080},
        {"name": "dns", "port": 53, "targetPort": "dns", "protocol": "UDP", "nodePort": 30053}]),
    service("sticky", "web", sessionAffinity="ClientIP", ports=[
        {"name": "http", "port": 80, "targetPort": "http"}, {"name": "dns", "port": 53, "targetPort": "dns", "protocol": "UDP"}]),
    service("nobody", "nobody", type="NodePort", ports=[
        *node_port(30081), {"name": "dns", "port": 53, "targetPort": "dns", "protocol": "UDP"}]),
    service("local", "one", type="NodePort", externalTrafficPolicy="Local", ports=node_port(30082)),
    service("inside", "one", internalTrafficPolicy="Local"),
    service("self", "one"),
    service("clients", "client", type="NodePort", ports=[
        {"name": "http", "port": 80, "targetPort": "http", "nodePort": 30085},
        {"name": "dns", "port": 53, "targetPort": "dns", "protocol": "UDP", "nodePort": 30055}]),
    service("lb", "web", type="LoadBalancer", lb=["198.51.100.1", "2001:db8:51::1"], ports=node_port(30083),
            loadBalancerSourceRanges=["192.0.2.0/24", "10.244.0.0/16", "2001:db8::/64", "fd00:10:244::/56"]),
    service("closed", "web", type="LoadBalancer", lb=["198.51.100.2", "2001:db8:51::2"], ports=node_port(30084),
            loadBalancerSourceRanges=["203.0.113.0/24", "2001:db8:77::/64"]),
    service("ext", "web", externalIPs=["198.51.100.9", "2001:db8:51::9"]),
    service("ext-too", "one", externalIPs=["198.51.100.9"]),
]


def write(path, objects):
    path.write_text(yaml.safe_dump_all(objects))
    return path


def up(lab, path, attachment="routed"):
    a = lab("--nodes", 2, "--racks", 1, "--mode", "direct", "--attachment", attachment, manifests=[write(path, OBJECTS[:1])])
    if attachment == "bridge":
        a.node("n2", "sh", "-c", f"for f in {' '.join(BRIDGE_CALLS)}; do test ! -e $f || echo 0 > $f; done")
    a.store("apply", "-f", str(write(path, OBJECTS[1:])), "--wait=20")
    for n, count in (("n1", 16), ("n2", 15)):  # x/inside has nobody on n2
        wait_for(lambda: len(elements(a, n, "vip4")) == count, 20, f"{n} serves")
    return a


@pytest.fixture(scope="module", params=["routed", "bridge"])
def world(request, module_lab, tmp_path_factory):
    return up(module_lab, tmp_path_factory.mktemp("m") / "m.yaml", request.param)


def elements(a, node, name):
    """What a set or map of the node holds, as text, without counters and times."""
    r = a.node(node, "nft", "-s", "-j", "list", "table", "inet", "fairlead")
    kinds = ("map", "set")
    for o in json.loads(r.stdout)["nftables"]:
        for k in kinds:
            if k in o and o[k]["name"] == name:
                return [json.dumps(e) for e in o[k].get("elem", [])]
    pytest.fail(f"no set {name} on {node}")


def cluster_ip(a, name, family=4):
    o = json.loads(a.store("get", "services", name, "-n", "x", "-o", "json").stdout)
    o = o.get("items", [o])[0]
    return next(ip for ip in o["spec"]["clusterIPs"] if (":" in ip) == (family == 6))


def at(ip, port):
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def answered(got):
    return {s.partition("@")[0] for s in got["servers"]}


def seen(got):
    return {s.rsplit(":", 1)[0].strip("[]") for s in got["server_sees"]}


def ips(a, name, family):
    return next(p["ips"] for p in a.status()["pods"] if p["name"] == name)[family == 6]


def ask(a, source, ip, port, count=1, proto="tcp"):
    return a.probe(source, at(ip, port), "--proto", proto, "--count", count, "--timeout", 700)


WEB = {"x/w1", "x/w2", "x/w3"}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("source", ["x/client", "x/other", "n1", "n2"])
def test_cluster_ip(world, source, family):
    got = ask(world, source, cluster_ip(world, "web", family), 80, 40)
    assert got["results"]["connected"] == 40 and answered(got) == WEB
    if source.startswith("x/"):
        assert seen(got) == {ips(world, source[2:], family)}
    got = ask(world, source, cluster_ip(world, "web", family), 53, 40, "udp")
    assert got["results"]["connected"] == 40 and answered(got) == WEB


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("source", ["outside", "n1", "x/client"])
def test_node_port(world, source, family):
    for n, addresses in NODES.items():
        got = ask(world, source, addresses[family == 6], 30080, 30)
        assert got["results"]["connected"] == 30 and answered(got) == WEB
        assert seen(got) <= of_nodes(world) | {ips(world, "client", family)}
        if source == "outside":
            assert not any(ipaddress.ip_address(x) in ipaddress.ip_network("192.0.2.0/24") for x in seen(got) if ":" not in x)
        got = ask(world, source, addresses[family == 6], 30053, 30, "udp")
        assert got["results"]["connected"] == 30 and answered(got) == WEB


def of_nodes(a):
    """All addresses of nodes: own pods see the one that the node has on their link."""
    return {x["local"] for n in NODES for link in json.loads(a.node(n, "ip", "-j", "addr").stdout) for x in link["addr_info"]}


@pytest.mark.parametrize("family", FAMILIES)
def test_refusals(world, family):
    for source in ("x/client", "n1"):
        got = ask(world, source, cluster_ip(world, "nobody", family), 80)
        assert got["results"]["refused"] == 1, "no endpoint"
        got = ask(world, source, cluster_ip(world, "web", family), 81)
        assert got["results"]["refused"] == 1, "no such port"
    assert ask(world, "outside", NODES["n1"][family == 6], 30081)["results"]["refused"] == 1
    nobodys = {4: "10.111.222.33", 6: "fd00:10:96::fffe"}[family]
    assert ask(world, "x/client", nobodys, 80)["results"]["timeout"] == 1


@pytest.mark.parametrize("proto, port", [("tcp", 80), ("udp", 53)])
@pytest.mark.parametrize("family", FAMILIES)
def test_neighbours_do_not_silence_refusals(world, family, proto, port):
    """The kernel sends a host one ICMP error a second, and redirects count: a router that routes back into a
    bridge would say them."""
    for _ in range(2):
        world.exec("x/client", "ping", "-n", "-q", "-c", "20", "-i", "0.01", ips(world, "w1", family))
        got = ask(world, "x/client", cluster_ip(world, "nobody", family), port, 1, proto)
        assert got["results"]["refused"] == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_external_policy_local(world, family):
    n1, n2 = (NODES[n][family == 6] for n in ("n1", "n2"))
    got = ask(world, "outside", n1, 30082, 5)
    assert got["results"]["connected"] == 5 and answered(got) == {"x/one"}
    outside = seen(got)
    assert len(outside) == 1 and not outside & of_nodes(world), "the client's own address"
    assert ask(world, "outside", n2, 30082)["results"]["timeout"] == 1
    got = ask(world, "x/other", n2, 30082, 3)  # the short circuit
    assert got["results"]["connected"] == 3 and seen(got) == {ips(world, "other", family)}
    assert ask(world, "n2", n2, 30082)["results"]["connected"] == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_internal_policy_local(world, family):
    ip = cluster_ip(world, "inside", family)
    assert ask(world, "x/client", ip, 80)["results"]["connected"] == 1
    assert ask(world, "x/other", ip, 80)["results"]["timeout"] == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_load_balancer_address(world, family):
    open_ip, closed, ext = {4: ("198.51.100.1", "198.51.100.2", "198.51.100.9"),
                            6: ("2001:db8:51::1", "2001:db8:51::2", "2001:db8:51::9")}[family]
    for source in ("x/client", "x/other"):
        got = ask(world, source, open_ip, 80, 30)
        assert got["results"]["connected"] == 30 and answered(got) == WEB
        assert ask(world, source, closed, 80)["results"]["timeout"] == 1
        got = ask(world, source, ext, 80, 30)
        assert got["results"]["connected"] == 30 and answered(got) == WEB  # x/ext comes before x/ext-too


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pod_reaches_itself(world, family):
    got = ask(world, "x/one", cluster_ip(world, "self", family), 80, 5)
    assert got["results"]["connected"] == 5 and answered(got) == {"x/one"}
    assert seen(got) <= of_nodes(world), "as somebody else"


@pytest.mark.parametrize("proto, port, node_port", [("tcp", 80, 30085), ("udp", 53, 30055)])
@pytest.mark.parametrize("name, node", [("client", "n1"), ("other", "n2")])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_pod_is_one_of_two_endpoints(world, family, name, node, proto, port, node_port):
    """The other one, on another node, sees who asks; the pod itself sees its node."""
    me = ips(world, name, family)
    for to, at_port, known in ((cluster_ip(world, "clients", family), port, {me}), (NODES[node][family == 6], node_port, set())):
        got = ask(world, f"x/{name}", to, at_port, 40, proto)
        assert got["results"]["connected"] == 40 and answered(got) == {"x/client", "x/other"}
        assert known <= seen(got) <= of_nodes(world) | known and seen(got) & of_nodes(world)


@pytest.mark.parametrize("node", [None, "n2"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_pod_reaches_itself_by_anybodys_slice(world, tmp_path, family, node):
    """One made by hand may leave the node out, or be wrong about it."""
    name = f"hand{family}-{node or 'nowhere'}"
    s = service(name, "hand", ipFamilyPolicy="SingleStack", ipFamilies=[f"IPv{family}"])
    del s["spec"]["selector"]
    endpoint = {"addresses": [ips(world, "client", family)], **({"nodeName": node} if node else {})}
    apply(world, tmp_path / "s.yaml", s, {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": f"IPv{family}",
        "metadata": {"name": name, "namespace": "x", "labels": {"kubernetes.io/service-name": name}},
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}], "endpoints": [endpoint]})
    got = ask(world, "x/client", cluster_ip(world, name, family), 80, 5)
    assert got["results"]["connected"] == 5 and seen(got) <= of_nodes(world)


@pytest.mark.parametrize("proto, port", [("tcp", 80), ("udp", 53)])
@pytest.mark.parametrize("family", FAMILIES)
def test_affinity(world, family, proto, port):
    first = {}
    for source in ("x/client", "x/other", "x/one"):
        got = ask(world, source, cluster_ip(world, "sticky", family), port, 15, proto)
        assert got["results"]["connected"] == 15 and len(answered(got)) == 1
        first[source] = answered(got)
    for source, server in first.items():
        assert answered(ask(world, source, cluster_ip(world, "sticky", family), port, 5, proto)) == server


# ---- changes

def apply(a, path, *objects):
    write(path, objects)
    a.store("apply", "-f", str(path), "--wait=20")


def rules(a, node):
    return a.node(node, "nft", "-s", "list", "table", "inet", "fairlead").stdout


def agent_of(a, node):
    return next(n for n in a.status()["nodes"] if n["name"] == node)["roles"]["agent"]


def test_changes(lab, tmp_path):
    a = up(lab, tmp_path / "m.yaml")
    web, sticky = cluster_ip(a, "web"), cluster_ip(a, "sticky")
    kept, = answered(ask(a, "x/client", sticky, 80, 5))

    # the endpoint that the client keeps goes: others take over, and the client keeps one of them
    a.store("delete", "pod", kept[2:], "-n", "x")
    rest = WEB - {kept}
    wait_for(lambda: answered(ask(a, "x/client", web, 80, 20)) == rest, 10, "the other endpoints only")
    now, = answered(ask(a, "x/client", sticky, 80, 10))
    assert now in rest
    # one more comes
    apply(a, tmp_path / "o.yaml", pod("w4", "n2", "web"))
    wait_for(lambda: answered(ask(a, "x/client", web, 80, 40)) == rest | {"x/w4"}, 10, "the new one too")
    assert answered(ask(a, "x/client", sticky, 80, 10)) == {now}
    # nobody had endpoints, and has one
    apply(a, tmp_path / "o.yaml", pod("first", "n2", "nobody"))
    wait_for(lambda: ask(a, "outside", NODES["n1"][0], 30081)["code"] == 0, 10, "it is served")
    # an external address is the next Service's when the first lets go of it
    a.store("delete", "service", "ext", "-n", "x")
    wait_for(lambda: answered(ask(a, "x/client", "198.51.100.9", 80, 3)) == {"x/one"}, 10, "x/ext-too has it")
    # a Service that goes leaves nothing
    before = {n: len(elements(a, n, "nodeport4")) for n in NODES}
    a.store("delete", "service", "local", "-n", "x")
    for n in NODES:
        wait_for(lambda: len(elements(a, n, "nodeport4")) == before[n] - 1, 10, "its node port goes")
        assert "x/local" not in rules(a, n)
    assert ask(a, "outside", NODES["n1"][0], 30082)["results"]["refused"] == 1


def of_services(a, node):
    """What Services have in the kernel, by set; None where the table is not there."""
    r = a.node(node, "nft", "-s", "-j", "list", "table", "inet", "fairlead", check=False)
    if r.returncode:
        return None
    sets = [o.get("map") or o.get("set") for o in json.loads(r.stdout)["nftables"] if "map" in o or "set" in o]
    return {s["name"]: sorted(json.dumps(e) for e in s.get("elem", [])) for s in sets
            if not s["name"].startswith(("pod_", "affinity4", "affinity6"))}


def test_restart_and_flush(lab, tmp_path):
    a = up(lab, tmp_path / "m.yaml")
    web = cluster_ip(a, "web")
    before = {n: of_services(a, n) for n in NODES}
    assert before["n1"]["tcp4_endpoints"] and before["n1"]["affinity_slots"] and before["n1"]["choices"]
    flow = subprocess.Popen([built("bin/fairlead"), "lab", "probe", "--name", a.name, "--from", "x/client",
                             "--to", at(web, 80), "--hold", "5", "-o", "json"], stdout=subprocess.PIPE, text=True)
    try:
        for n in NODES:
            old = agent_of(a, n)
            os.kill(old, signal.SIGKILL)
            wait_for(lambda: agent_of(a, n) not in (None, 0, old), 10, "a new agent")
            apply(a, tmp_path / "o.yaml", pod(f"late-{n}", n, "late"))  # it follows the store
            assert of_services(a, n) == before[n]
        for n in NODES:
            a.node(n, "nft", "flush", "ruleset")
            wait_for(lambda: of_services(a, n) == before[n], 10, "everything is back")
        out, _ = flow.communicate(timeout=30)
    finally:
        flow.kill()
    assert json.loads(out)["results"]["connected"] == 1
    got = ask(a, "x/client", web, 80, 30)
    assert got["results"]["connected"] == 30 and answered(got) == WEB


# ---- nodes that know no way to anywhere

def fronts(a, node, family):
    """Routes of ours that lead to addresses of Services."""
    r = a.node(node, "ip", "-j", f"-{family}", "route", "show", "proto", "70", "dev", "eth0")
    nets = ["10.96.0.0/12", "198.51.100.0/24"] if family == 4 else ["fd00:10:96::/112", "2001:db8:51::/64"]
    nets = [ipaddress.ip_network(n) for n in nets]
    return {x["dst"] for x in json.loads(r.stdout) if "gateway" not in x
            and any(ipaddress.ip_network(x["dst"]).subnet_of(n) for n in nets if n.version == family)}


WITHOUT = {4: {"10.96.0.0/12", "198.51.100.1", "198.51.100.2", "198.51.100.9"},
           6: {"fd00:10:96::/112", "2001:db8:51::1", "2001:db8:51::2", "2001:db8:51::9"}}


def test_no_default_route(lab, tmp_path):
    """A node's own connection asks the routing table first: what belongs to Services has a way there, and
    nothing else."""
    a = up(lab, tmp_path / "m.yaml")
    was = {}
    for family in FAMILIES:
        assert not fronts(a, "n1", family), "the default route leads there"
        route, = json.loads(a.node("n1", "ip", "-j", f"-{family}", "route", "show", "default").stdout)
        was[family] = ["default", "via", route["gateway"], "dev", route["dev"]]
        a.node("n1", "ip", f"-{family}", "route", "del", *was[family])
    for family in FAMILIES:
        wait_for(lambda: fronts(a, "n1", family) == WITHOUT[family], 10, "ways to Services")
        got = ask(a, "n1", cluster_ip(a, "web", family), 80, 20)
        assert got["results"]["connected"] == 20 and answered(got) == WEB
        assert ask(a, "n1", cluster_ip(a, "nobody", family), 80)["results"]["refused"] == 1
        nobodys = {4: "10.111.222.33", 6: "fd00:10:96::fffe"}[family]
        assert ask(a, "n1", nobodys, 80)["results"]["timeout"] == 1
        ext = {4: "198.51.100.9", 6: "2001:db8:51::9"}[family]
        assert answered(ask(a, "n1", ext, 80, 20)) == WEB
        assert answered(ask(a, "x/client", ext, 80, 20)) == WEB
        other = {4: "198.51.100.77", 6: "2001:db8:51::77"}[family]
        r = a.node("n1", "ip", "route", "get", other, check=False)
        assert r.returncode and "unreachable" in r.stderr
    brought = {4: "10.77.0.7", 6: "fd00:77::7"}  # cluster IPs of no range
    apply(a, tmp_path / "o.yaml", service("brought", "web", clusterIPs=[*brought.values()]))
    for family in FAMILIES:
        assert answered(ask(a, "n1", brought[family], 80, 20)) == WEB
    a.store("delete", "service", "ext", "-n", "x")
    wait_for(lambda: "2001:db8:51::9" not in fronts(a, "n1", 6), 10, "its address has no way")
    assert fronts(a, "n1", 4) == WITHOUT[4], "another Service has this one"
    a.store("delete", "service", "ext-too", "-n", "x")
    wait_for(lambda: fronts(a, "n1", 4) == WITHOUT[4] - {"198.51.100.9"}, 10, "and that one is gone, too")
    a.node("n1", "ip", "route", "del", "10.96.0.0/12", "dev", "eth0")
    wait_for(lambda: "10.96.0.0/12" in fronts(a, "n1", 4), 10, "the audit brings it back")
    for family in FAMILIES:
        a.node("n1", "ip", f"-{family}", "route", "add", *was[family])
        wait_for(lambda: not fronts(a, "n1", family), 10, "the default route leads there again")
