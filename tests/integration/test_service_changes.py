# SPDX-License-Identifier: Apache-2.0
"""Services whose manifests change while somebody asks: type, ports, node ports, affinity; and what is
odd about some of them: endpoints in the node's own network, requests that do not fit into one packet."""
import pytest

from harness import wait_for
from test_services import FAMILIES, NODES, answered, ask, at, cluster_ip, ips, node_port, pod, rules, service, write

WEB = {"x/w1", "x/w2"}


@pytest.fixture(scope="module")
def world(module_lab, tmp_path_factory):
    objects = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}},
               pod("w1", "n1", "web"), pod("w2", "n2", "web"), pod("client", "n1", "client"), pod("other", "n2", "client")]
    host = pod("host", "n2", "host", ports=[("http", 9080, "TCP"), ("dns", 9053, "UDP")])
    host["spec"]["hostNetwork"] = True
    path = write(tmp_path_factory.mktemp("m") / "m.yaml", [*objects, host])
    return module_lab("--nodes", 2, "--racks", 1, "--mode", "direct", manifests=[path])


@pytest.fixture
def apply(world, tmp_path):
    """Its Services go with the test."""
    names = set()

    def run(*objects):
        names.update(o["metadata"]["name"] for o in objects)
        world.store("apply", "-f", str(write(tmp_path / "o.yaml", objects)), "--wait=20")
    yield run
    for n in names:
        world.store("delete", "service", n, "-n", "x", "--ignore-not-found")


def served(a, source, ip, port, want=WEB, proto="tcp"):
    """All of these answer, and nobody else."""
    wait_for(lambda: answered(ask(a, source, ip, port, 20, proto)) == want, 10, f"{ip} {port}/{proto} leads to {want}")
    got = ask(a, source, ip, port, 20, proto)
    assert got["results"]["connected"] == 20 and answered(got) == want


def refused(a, source, ip, port):
    wait_for(lambda: ask(a, source, ip, port)["results"]["refused"] == 1, 10, f"{ip} {port} is refused")


def external_name(name):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "x"},
            "spec": {"type": "ExternalName", "externalName": "example.org"}}


@pytest.mark.parametrize("family", FAMILIES)
def test_types(world, apply, family):
    name, port, address = f"typed{family}", 30100 + family, NODES["n2"][family == 6]
    apply(external_name(name))
    assert f"x/{name}" not in rules(world, "n1")
    apply(service(name, "web"))
    first = wait_for(lambda: cluster_ip(world, name, family))
    served(world, "x/client", first, 80)
    apply(service(name, "web", type="NodePort", ports=node_port(port)))
    served(world, "outside", address, port)
    assert cluster_ip(world, name, family) == first
    apply(service(name, "web"))
    refused(world, "outside", address, port)
    served(world, "x/client", first, 80)
    apply(service(name, "web", type="NodePort", ports=node_port(port)))
    apply(external_name(name))
    wait_for(lambda: f"x/{name}" not in rules(world, "n1"), 10, "no rule of it is left")
    refused(world, "outside", address, port)
    apply(service(name, "web", type="NodePort", ports=node_port(port)))
    served(world, "outside", address, port)


@pytest.mark.parametrize("family", FAMILIES)
def test_ports(world, apply, family):
    """One comes, of the same number but another protocol, one goes, and node ports change."""
    name, port, address = f"ports{family}", 30110 + family, NODES["n1"][family == 6]
    tcp, udp = {"name": "http", "port": 80, "targetPort": "http"}, {"name": "dns", "port": 80, "targetPort": "dns", "protocol": "UDP"}
    more = {"name": "more", "port": 81, "targetPort": "http"}

    def say(*ports):
        apply(service(name, "web", type="NodePort", ports=list(ports)))
    say({**tcp, "nodePort": port})
    ip = wait_for(lambda: cluster_ip(world, name, family))
    served(world, "x/client", ip, 80)
    assert ask(world, "x/client", ip, 80, proto="udp")["results"]["connected"] == 0
    say({**tcp, "nodePort": port}, {**udp, "nodePort": port}, more)
    for where, n in ((ip, 80), (address, port)):
        served(world, "n2", where, n)
        served(world, "n2", where, n, proto="udp")
    served(world, "x/client", ip, 81)
    say({**tcp, "nodePort": port + 10}, {**udp, "nodePort": port + 10})
    refused(world, "x/client", ip, 81)
    refused(world, "outside", address, port)
    for proto in ("tcp", "udp"):
        served(world, "outside", address, port + 10, proto=proto)
    # Down, and up again: as it was.
    world.store("delete", "service", name, "-n", "x", "--wait=20")
    refused(world, "outside", address, port + 10)
    assert ask(world, "x/client", ip, 80)["results"]["connected"] == 0
    say({**tcp, "nodePort": port + 10})
    assert wait_for(lambda: cluster_ip(world, name, family)) == ip
    served(world, "x/client", ip, 80)
    served(world, "outside", address, port + 10)


def sticks(a, source, ip, port):
    got = ask(a, source, ip, port, 15)
    return got["results"]["connected"] == 15 and len(answered(got)) == 1


@pytest.mark.parametrize("family, policy", [(4, "Cluster"), (6, "Local"), pytest.param(4, "Local", marks=pytest.mark.slow("the other half")),
                                            pytest.param(6, "Cluster", marks=pytest.mark.slow("the other half"))])
def test_affinity_comes_and_goes(world, apply, family, policy):
    """On the cluster IP, a node port and a balancer's address, whoever asks."""
    name, port, address = f"stick{family}{policy.lower()}", 30130 + family, NODES["n1"][family == 6]
    lb = {4: "198.51.100.41", 6: "2001:db8:51::41"}[family]
    inside, outside = WEB, WEB if policy == "Cluster" else {"x/w1"}

    def say(affinity, **more):
        apply(service(name, "web", lb=[lb], type="LoadBalancer", ports=node_port(port), externalTrafficPolicy=policy,
                      sessionAffinity=affinity, **more))
    say("None")
    ways = [("x/client", wait_for(lambda: cluster_ip(world, name, family)), 80, inside), ("x/other", lb, 80, inside),
            ("outside", address, port, outside)]
    for source, ip, n, want in ways:
        served(world, source, ip, n, want)
    say("ClientIP")
    for source, ip, n, _ in ways:
        wait_for(lambda: sticks(world, source, ip, n), 10, f"{source} is kept together")
        assert sticks(world, source, ip, n)
    say("ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 1}})
    for source, ip, n, want in ways:  # who asks no more often than that is forgotten
        seen = set()
        wait_for(lambda: seen.update(answered(ask(world, source, ip, n))) or seen == want, 60, f"others' turn for {source} at {ip}", every=1.2)
    say("None")
    for source, ip, n, want in ways:
        served(world, source, ip, n, want)


@pytest.mark.parametrize("family", FAMILIES)
def test_affinity_ends_with_the_fronts_way(world, apply, family):
    """A client that keeps an endpoint on another node: externalTrafficPolicy Local takes it from him, though
    pods go on to it; and an address that another Service gets leads to that one's, though the first lives on."""
    name, port, address = f"left{family}", 30160 + family, NODES["n1"][family == 6]
    lb = {4: "198.51.100.42", 6: "2001:db8:52::42"}[family]

    def say(policy="Cluster", affinity="ClientIP", lb=(lb,), name=name, app="web", port=port):
        apply({"status": {"loadBalancer": {}}, **service(name, app, lb=lb, type="LoadBalancer", ports=node_port(port),
                                                         externalTrafficPolicy=policy, sessionAffinity=affinity)})

    def keeps_remote(source, ip, port):
        """Who got the other one is asked to forget him: the first packet after that is lost."""
        kept = wait_for(lambda: answered(ask(world, source, ip, port)))
        if kept == {"x/w2"}:
            return sticks(world, source, ip, port)
        say(affinity="None")
        served(world, source, ip, port)
        say()
        return False
    say()
    wait_for(lambda: keeps_remote("outside", address, port), 60, "a client outside keeps the endpoint on n2")
    say(policy="Local")
    served(world, "outside", address, port, {"x/w1"})
    say()
    wait_for(lambda: keeps_remote("x/client", lb, 80), 60, "a pod keeps the endpoint on n2")
    say(lb=())
    say(name=f"next{family}", app="client", port=port + 10)
    wait_for(lambda: answered(ask(world, "x/client", lb, 80)), 10, "the address serves again")
    assert answered(ask(world, "x/client", lb, 80, 10)) <= {"x/client", "x/other"}


@pytest.mark.parametrize("family", FAMILIES)
def test_left_to_another_proxy(world, apply, family):
    """One that translates where kube-proxy's nat chains do: behind what we drop. With the label only it is asked."""
    name, ip = f"theirs{family}", {4: "ip", 6: "ip6"}[family]
    apply(service(name, "web"))
    address = wait_for(lambda: cluster_ip(world, name, family))
    served(world, "x/client", address, 80)
    to = at(ips(world, "w2", family), 8080)
    world.node("n1", "nft", f"table inet {name} {{ chain c {{ type nat hook prerouting priority dstnat + 1; "
                            f"{ip} daddr {address} tcp dport 80 dnat {ip} to {to}; }}; }}")
    try:
        served(world, "x/client", address, 80)
        label = {"service.kubernetes.io/service-proxy-name": "theirs"}
        mine = service(name, "web")
        apply({**mine, "metadata": {**mine["metadata"], "labels": label}})
        served(world, "x/client", address, 80, {"x/w2"})
    finally:
        world.node("n1", "nft", "delete", "table", "inet", name)
    assert ask(world, "x/client", address, 80)["results"]["connected"] == 0
    apply({**mine, "metadata": {**mine["metadata"], "labels": {}}})
    served(world, "x/client", address, 80)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("proto, target", [("tcp", "http"), ("udp", "dns")])
def test_large_requests(world, apply, family, proto, target):
    """More than a packet holds: what comes in fragments is translated as a whole, both ways."""
    name, port = f"large{family}{proto}", 30150 + family + (10 if proto == "udp" else 0)
    apply(service(name, "web", type="NodePort", ports=[
        {"name": target, "port": 80, "targetPort": target, "protocol": proto.upper(), "nodePort": port}]))
    ip = wait_for(lambda: cluster_ip(world, name, family))
    for source, where, n in (("x/client", ip, 80), ("x/other", ip, 80), ("n1", ip, 80), ("outside", NODES["n1"][family == 6], port)):
        served(world, source, where, n, proto=proto)
        got = world.probe(source, at(where, n), "--proto", proto, "--count", 20, "--size", 4000, "--timeout", 2000)
        assert got["results"]["connected"] == 20 and answered(got) == WEB


@pytest.mark.parametrize("family", FAMILIES)
def test_endpoints_in_the_nodes_network(world, apply, family):
    """Their addresses are the node's; whoever is on the node asks them without leaving it."""
    name = f"host{family}"
    apply(service(name, "host", type="NodePort", ports=[
        {"name": "http", "port": 80, "targetPort": "http", "nodePort": 30170 + family},
        {"name": "dns", "port": 53, "targetPort": "dns", "protocol": "UDP"}]),
        service(f"{name}-local", "host", internalTrafficPolicy="Local"))
    ip, local = (wait_for(lambda: cluster_ip(world, n, family)) for n in (name, f"{name}-local"))
    for source in ("x/client", "x/other", "n1", "n2"):
        served(world, source, ip, 80, {"x/host"})
        served(world, source, ip, 53, {"x/host"}, "udp")
    for n in NODES:
        served(world, "outside", NODES[n][family == 6], 30170 + family, {"x/host"})
    for source in ("x/other", "n2"):
        served(world, source, local, 80, {"x/host"})
    for source in ("x/client", "n1"):
        assert ask(world, source, local, 80)["results"]["connected"] == 0, "it is on the other node"
