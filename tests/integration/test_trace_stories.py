# SPDX-License-Identifier: Apache-2.0
"""fairlead trace: expected stories of one lab. What must be there is written by hand, from Kubernetes' rules and from the
lab's addresses: which places a packet passes in which order, what changes where, who decides, and how it ends. Whether it is
true is told by who answers the probe, and by the rules, routes and faults that the tests put there themselves."""
import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from harness import built, needs, wait_for

pytestmark = needs("nft")

NS = "x"


def pod(name, node, *ports):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NS, "labels": {"app": name}},
            "spec": {"nodeName": node, "containers": [{"name": "c", "ports": [
                {"containerPort": p, "protocol": proto} for p, proto in ports or ((8080, "TCP"),)]}]}}


def service(name, app, target=8080, **spec):
    port = {"name": "http", "port": 80, "targetPort": target, "protocol": "TCP"}
    if "nodePort" in spec:
        port["nodePort"] = spec.pop("nodePort")
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": NS},
            "spec": {"selector": {"app": app}, "ports": [port], **spec}}


def tags():
    s = service("tags", "far")
    s["spec"]["ports"] = [{"name": "sctp", "port": 132, "targetPort": 8132, "protocol": "SCTP"}]
    return s


def policy(name, app, direction, rules):
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name, "namespace": NS},
            "spec": {"podSelector": {"matchLabels": {"app": app}}, "policyTypes": [direction], direction.lower(): rules}}


OBJECTS = [
    pod("client", "n1"), pod("near", "n1", (8080, "TCP"), (8132, "SCTP")), pod("rack", "n2", (8080, "TCP"), (8132, "SCTP")),
    pod("far", "n3", (8080, "TCP"), (8053, "UDP"), (8132, "SCTP")), pod("guarded", "n3"), pod("mute", "n1"), pod("gone", "n3"),
    service("front", "far"), service("self", "client"), service("nobody", "nobody"), service("wrong", "far", target=8081),
    service("everywhere", "far", type="NodePort", nodePort=30080),
    service("here", "far", type="NodePort", nodePort=30081, externalTrafficPolicy="Local"),
    tags(), policy("lock", "guarded", "Ingress", [
        {"from": [{"ipBlock": {"cidr": "192.0.2.0/24"}}, {"podSelector": {"matchLabels": {"app": "near"}}}]}]),
    policy("hush", "mute", "Egress", [{"to": [{"podSelector": {"matchLabels": {"app": "near"}}}]}]),
]


@pytest.fixture(scope="module")
def lab(module_lab, tmp_path_factory):
    """n1 and n2 in one rack, which their pods cross directly, and n3 in another, through a tunnel."""
    path = tmp_path_factory.mktemp("m") / "m.yaml"
    path.write_text(yaml.safe_dump_all(OBJECTS))
    return module_lab("--nodes", 3, "--racks", 2, "--mode", "vxlan", "--cross-subnet", manifests=[path])


@pytest.fixture(scope="module")
def bridged(module_lab, tmp_path_factory):
    """The same with pods on bridges, and the racks' routers know pods' addresses."""
    path = tmp_path_factory.mktemp("m") / "m.yaml"
    path.write_text(yaml.safe_dump_all(OBJECTS + [service("beside", "near")]))
    return module_lab("--nodes", 3, "--racks", 2, "--mode", "direct", "--attachment", "bridge", manifests=[path])


class Story:
    """What trace -o json says. at("route", "n1"): the hop of this step there, of the request."""

    def __init__(self, lab, source, target, *args, code=0, unseen=()):
        r = lab.store("trace", source, target, "-o", "json", *args, check=False)
        assert code is None or r.returncode == code, r.stdout + r.stderr
        self.all = json.loads(r.stdout)
        self.text = json.dumps(self.all, indent=1)
        assert unseen is None or self.all["unseen"] == list(unseen), self.text
        self.hops = self.all["hops"]
        order = [h["direction"] for h in self.hops]
        assert order == sorted(order, reverse=True), self.text  # all of the request first

    def way(self, direction="request"):
        """["send x/client", "enter-node n1", …]"""
        return [f'{h["step"]} {h["where"]["pod"] or h["where"]["node"]}' for h in self.hops if h["direction"] == direction]

    def at(self, step, place, direction="request"):
        found = [h for h in self.hops if h["direction"] == direction and h["step"] == step and
                 (h["where"]["pod"] or h["where"]["node"]) == place]
        assert len(found) == 1, f"{step} {place}: {len(found)}\n{self.text}"
        return found[0]

    def by(self, step, place, direction="request"):
        return who(self.at(step, place, direction)["by"])

    def end(self):
        return self.all["verdict"], who(self.all["by"])


class Wire:
    """A command in the namespace of the lab's router, or of a rack's switch, whose ports are named as the nodes."""

    def __init__(self, lab, name="router"):
        state = Path(f"/run/fairlead-lab/{lab.name}/state").read_text().splitlines()
        self.pid = next(line.split()[2] for line in state if line.split()[1] == name)

    def __call__(self, *argv):
        subprocess.run(["nsenter", "-t", self.pid, "-n", *argv], check=True, capture_output=True)


@contextlib.contextmanager
def cut(lab, rack, port):
    """As if its cable were pulled at the switch: what hangs on it keeps its routes."""
    switch = Wire(lab, rack)
    switch("ip", "link", "set", port, "down")
    try:
        yield
    finally:
        switch("ip", "link", "set", port, "up")


def who(by):
    """"NetworkPolicy x/lock egress[0]" """
    return by and " ".join(filter(None, [by["kind"], "/".join(filter(None, [by["ns"], by["name"]])), by["rule"]]))


def ip(lab, name, family=4):
    return next(a for p in lab.status()["pods"] if p["name"] == name for a in p["ips"] if (":" in a) == (family == 6))


def node_ip(lab, name):
    return next(a for n in lab.status()["nodes"] if n["name"] == name for a in n["addresses"] if "." in a)


def tunnel_ip(lab, node):
    return json.loads(lab.store("get", "nodestate", node, "-o", "json").stdout)["status"]["tunnel4"]


def cluster_ip(lab, name):
    return json.loads(lab.store("get", "service", name, "-n", NS, "-o", "json").stdout)["spec"]["clusterIP"]


def block(lab, address):
    """Name and range of the IPBlock that has it."""
    from ipaddress import ip_address, ip_network
    for b in json.loads(lab.store("get", "ipblocks", "-o", "json").stdout)["items"]:
        if ip_address(address) in ip_network(b["spec"]["cidr"]):
            return b["metadata"]["name"], b["spec"]["cidr"]
    raise AssertionError(address)


def out_of(pod, node):
    return [f"send {pod}", f"leave-pod {pod}", f"enter-node {node}"]


def into(pod, node):
    return [f"route {node}", f"enter-pod {pod}", f"deliver {pod}"]


def back(pod, node):
    return [f"answer {pod}", f"leave-pod {pod}", f"enter-node {node}"]


def test_same_node(lab):
    s = Story(lab, "x/client", "x/near:8080")
    assert s.way() == out_of("x/client", "n1") + into("x/near", "n1")
    assert s.way("reply") == back("x/near", "n1") + into("x/client", "n1")
    assert s.end() == ("answered", None)
    assert s.by("deliver", "x/near") == "Pod x/near"
    sent = s.at("send", "x/client")["after"]
    assert (sent["src"], sent["dst"], sent["dport"], sent["proto"]) == (ip(lab, "client"), ip(lab, "near"), 8080, "tcp")
    route = s.at("route", "n1")
    assert route["by"]["name"] == f'{ip(lab, "near")}/32' and who(route["behind"]) == "Pod x/near"
    for h in s.hops:  # nobody changed the packet
        assert {h["before"][k] for k in ("src", "dst")} == {h["after"][k] for k in ("src", "dst")} == {ip(lab, "client"), ip(lab, "near")}


def test_other_node_direct(lab):
    s = Story(lab, "x/client", "x/rack:8080")
    assert s.way() == out_of("x/client", "n1") + ["route n1", "leave-node n1", "enter-node n2"] + into("x/rack", "n2")
    assert s.way("reply") == back("x/rack", "n2") + ["route n2", "leave-node n2", "enter-node n1"] + into("x/client", "n1")
    name, cidr = block(lab, ip(lab, "rack"))
    route = s.at("route", "n1")
    assert who(route["by"]) == f'Route {cidr} via {node_ip(lab, "n2")} dev eth0' and who(route["behind"]) == f"IPBlock {name}"
    assert all(h["before"]["outer"] is None and h["after"]["outer"] is None for h in s.hops)


def check_tunnel(lab, s, to):
    h = s.at("tunnel-in", "n1")
    assert h["before"]["outer"] is None and h["where"]["device"] == "vxlan0" and who(h["behind"]) == "Node n3"
    assert h["after"]["outer"] == {"kind": "vxlan", "src": node_ip(lab, "n1"), "dst": node_ip(lab, "n3"), "vni": 4096}
    h = s.at("tunnel-out", "n3")
    assert h["before"]["outer"]["dst"] == node_ip(lab, "n3") and h["after"]["outer"] is None and h["after"]["dst"] == to


TUNNEL = ["tunnel-in n1", "leave-node n1", "enter-node n3", "tunnel-out n3"]
TUNNEL_BACK = ["tunnel-in n3", "leave-node n3", "enter-node n1", "tunnel-out n1"]


@pytest.mark.parametrize("family", [4, 6])
def test_other_node_vxlan(lab, family):
    far = ip(lab, "far", family)
    s = Story(lab, "x/client", f"[{far}]:8080" if family == 6 else f"{far}:8080")
    assert s.way() == out_of("x/client", "n1") + ["route n1"] + TUNNEL + into("x/far", "n3")
    assert s.way("reply") == back("x/far", "n3") + ["route n3"] + TUNNEL_BACK + into("x/client", "n1")
    check_tunnel(lab, s, far)
    assert s.at("enter-node", "n3")["why"] == "through a router, where no agent looks"
    name, cidr = block(lab, far)
    route = s.at("route", "n1")
    assert route["by"]["name"] == cidr and route["by"]["rule"].endswith("dev vxlan0") and who(route["behind"]) == f"IPBlock {name}"
    assert "n3" in route["why"]


def test_udp_and_icmp(lab):
    way = out_of("x/client", "n1") + ["route n1"] + TUNNEL + into("x/far", "n3")
    assert Story(lab, "x/client", "x/far:8053", "--proto", "udp").way() == way
    s = Story(lab, "x/client", "x/far", "--proto", "icmp")
    assert s.way() == way and s.way("reply") == back("x/far", "n3") + ["route n3"] + TUNNEL_BACK + into("x/client", "n1")
    assert s.at("deliver", "x/far")["before"]["dport"] is None


def test_cluster_ip(lab):
    s = Story(lab, "x/client", "x/front:80")
    assert s.way() == out_of("x/client", "n1") + ["service n1", "route n1"] + TUNNEL + into("x/far", "n3")
    assert s.way("reply") == back("x/far", "n3") + ["route n3"] + TUNNEL_BACK + \
        ["route n1", "untranslate n1", "enter-pod x/client", "deliver x/client"]
    h = s.at("service", "n1")
    assert who(h["by"]) == "Service x/front http" and who(h["behind"]) == "Pod x/far" and h["why"] == "the only endpoint"
    assert (h["before"]["dst"], h["before"]["dport"]) == (cluster_ip(lab, "front"), 80)
    assert (h["after"]["dst"], h["after"]["dport"]) == (ip(lab, "far"), 8080)
    h = s.at("untranslate", "n1", "reply")
    assert (h["before"]["src"], h["after"]["src"]) == (ip(lab, "far"), cluster_ip(lab, "front"))
    assert who(h["by"]) == "Service x/front http"


def test_node_port_cluster(lab):
    """Any node serves; the pod sees the node, whose tunnel it comes through."""
    s = Story(lab, "outside", "n1:30080")
    assert s.way() == ["send outside", "enter-node n1", "service n1", "route n1", "snat n1"] + TUNNEL + into("x/far", "n3")
    assert who(s.at("service", "n1")["by"]) == "Service x/everywhere http"
    h = s.at("snat", "n1")
    assert who(h["by"]) == "Service x/everywhere http" and h["why"] == "externalTrafficPolicy Cluster"
    assert h["before"]["src"] == s.at("send", "outside")["after"]["src"] and h["after"]["src"] == tunnel_ip(lab, "n1")
    last = s.hops[-1]
    assert (last["step"], last["where"]["node"], last["before"]["src"], last["before"]["sport"]) == \
        ("deliver", "outside", node_ip(lab, "n1"), 30080)


def test_node_port_local(lab):
    """Only the pod's own node serves, and the pod sees the client."""
    s = Story(lab, "outside", "n3:30081")
    assert s.way() == ["send outside", "enter-node n3", "service n3"] + into("x/far", "n3")
    assert s.at("deliver", "x/far")["before"]["src"] == s.at("send", "outside")["after"]["src"]
    s = Story(lab, "outside", "n1:30081", "--timeout", 1, code=1)
    assert s.end() == ("dropped", "Service x/here http") and s.way()[-1] == "drop n1"


def test_hairpin(lab):
    s = Story(lab, "x/client", "x/self:80")
    assert s.way() == out_of("x/client", "n1") + ["service n1", "route n1", "snat n1", "enter-pod x/client", "deliver x/client"]
    assert s.by("service", "n1") == s.by("snat", "n1") == "Service x/self http"
    assert s.at("deliver", "x/client")["before"]["src"] != ip(lab, "client")
    assert s.all["verdict"] == "answered"


def test_outside_and_back(lab):
    s = Story(lab, "x/client", "outside:8080")
    assert s.way() == out_of("x/client", "n1") + ["route n1", "snat n1", "leave-node n1", "deliver None"]
    h = s.at("snat", "n1")
    assert who(h["by"]).startswith("IPPool ") and (h["before"]["src"], h["after"]["src"]) == (ip(lab, "client"), node_ip(lab, "n1"))
    assert s.at("route", "n1")["by"]["name"] == "0.0.0.0/0"
    assert s.way("reply") == ["answer None", "enter-node n1", "untranslate n1"] + into("x/client", "n1")
    assert s.by("untranslate", "n1", "reply") == who(h["by"])


def test_from_a_node(lab):
    """By its own process: no pod's link and no policy on its way out; the Service is undone behind all rules that could tell."""
    s = Story(lab, "n1", "x/front:80", "--diff")  # 0: as predicted
    assert s.way() == ["send n1", "service n1", "snat n1"] + TUNNEL + into("x/far", "n3")
    assert s.way("reply") == back("x/far", "n3") + ["route n3"] + TUNNEL_BACK + ["untranslate n1", "deliver n1"]
    h = s.at("untranslate", "n1", "reply")
    assert [h["after"][k] for k in ("src", "sport", "dst")] == [cluster_ip(lab, "front"), 80, node_ip(lab, "n1")]
    assert who(h["by"]) == "Service x/front http"
    assert s.at("deliver", "n1", "reply")["before"] == h["after"]
    s = Story(lab, "n1", "x/near:8080", "--diff")
    assert s.way() == ["send n1", "enter-pod x/near", "deliver x/near"]
    assert s.way("reply") == back("x/near", "n1") + ["deliver n1"]
    s = Story(lab, "n1", "x/guarded:8080", "--timeout", 1, "--diff")
    assert s.end() == ("dropped", "NetworkPolicy x/lock default deny by x/lock") and s.way()[-1] == "drop n3"


def test_to_a_node(lab):
    s = Story(lab, "x/client", "n1", "--proto", "icmp", "--diff")
    assert s.way() == out_of("x/client", "n1") + ["deliver n1"]
    assert s.way("reply") == ["answer n1", "enter-pod x/client", "deliver x/client"]
    assert s.by("deliver", "n1") == s.by("answer", "n1", "reply") == "Node n1"
    s = Story(lab, "n1", "n3", "--proto", "icmp", "--diff")
    assert s.way() == ["send n1", "leave-node n1", "enter-node n3", "deliver n3"]
    assert [w for w in s.way("reply") if w != "route n1"] == ["answer n3", "leave-node n3", "enter-node n1", "deliver n1"]


def test_allowed_by_rules(lab):
    s = Story(lab, "x/near", "x/guarded:8080")
    assert s.by("policy-ingress", "n3") == "NetworkPolicy x/lock ingress[0].from[1]"
    s = Story(lab, "x/mute", "x/near:8080")
    assert s.by("policy-egress", "n1") == "NetworkPolicy x/hush egress[0].to[0]"


def test_denied(lab):
    s = Story(lab, "x/client", "x/guarded:8080", "--timeout", 1, code=1)
    assert s.end() == ("dropped", "NetworkPolicy x/lock default deny by x/lock")
    assert s.way() == out_of("x/client", "n1") + ["route n1"] + TUNNEL + ["route n3", "drop n3"] and s.way("reply") == []
    s = Story(lab, "x/mute", "x/rack:8080", "--timeout", 1, code=1)
    assert s.end() == ("dropped", "NetworkPolicy x/hush default deny by x/hush")
    assert s.way() == out_of("x/mute", "n1") + ["route n1", "drop n1"]
    assert "fairlead why" in s.all["advice"]


def test_no_endpoint(lab):
    s = Story(lab, "x/client", "x/nobody:80", code=1)
    assert s.end() == ("refused", "Service x/nobody http")
    assert s.way() == out_of("x/client", "n1") + ["refuse n1"] and s.way("reply")[-1] == "deliver x/client"
    assert "selector" in s.all["advice"]


def test_what_no_service_has(lab):
    """Another port of a cluster IP, and an address that no Service has: whose rule it is, and what there is instead."""
    s = Story(lab, "x/client", "x/front:81", code=1)
    assert s.end() == ("refused", "Service x/front") and "Service x/front has 80/TCP" in s.all["advice"]
    s = Story(lab, "x/client", "10.96.0.1:80", "--timeout", 1, code=1)
    assert s.all["verdict"] == "dropped" and s.all["by"]["ns"] == "inet fairlead"
    assert "no Service has it" in s.all["advice"]


def test_closed_port(lab):
    s = Story(lab, "x/client", "x/near:81", code=1)
    assert s.end() == ("refused", "Pod x/near") and s.way()[-1] == "refuse x/near" and "81" in s.all["sentence"]
    s = Story(lab, "x/client", "x/wrong:80", code=1)
    assert s.end() == ("refused", "Pod x/far") and "targetPort" in s.all["advice"]


def test_closed_port_of_a_node(lab):
    """The ICMP error comes to the node by the pod's own link, and is the node's all the same."""
    s = Story(lab, "n1", "x/near:81", "--proto", "udp", code=1)
    assert s.end() == ("refused", "Pod x/near") and s.way("reply")[-1] == "deliver n1"
    assert who([h for h in s.all["hops"] if h["direction"] == "reply"][-1]["by"]) == "Node n1"


def test_pod_gone(lab):
    address = ip(lab, "gone")
    lab.store("delete", "pod", "gone", "-n", NS)
    wait_for(lambda: f"{address} " not in lab.node("n3", "ip", "route").stdout)
    name, cidr = block(lab, address)
    s = Story(lab, "x/client", f"{address}:8080", "--timeout", 1, code=1)
    assert s.end() == ("dropped", f"Route {cidr} blackhole")
    assert s.way() == out_of("x/client", "n1") + ["route n1"] + TUNNEL + ["route n3", "drop n3"]
    assert who(s.at("route", "n3")["behind"]) == f"IPBlock {name}"


# ---- faults, each of them put there and taken away again

@pytest.fixture
def fault(lab):
    """fault(node, do, undo): a command on a node, and its opposite afterwards."""
    yield from _faults(lab)


def _faults(lab):
    undone = []

    def make(node, do, undo):
        undone.append((node, undo))
        lab.node(node, *do.split())
    yield make
    for node, undo in reversed(undone):
        lab.node(node, *undo.split())


def test_foreign_nft(lab, fault):
    far = ip(lab, "far")
    fault("n3", "nft add table inet other", "nft delete table inet other")
    lab.node("n3", "nft", "add chain inet other strict { type filter hook forward priority 5; }")
    lab.node("n3", "nft", f"add rule inet other strict ip daddr {far} tcp dport 8080 drop")
    s = Story(lab, "x/client", "x/far:8080", "--timeout", 1, code=1)
    assert s.all["verdict"] == "dropped" and s.way()[-1] == "drop n3"
    by = s.all["by"]
    assert (by["kind"], by["ns"], by["name"]) == ("nftables", "inet other", "strict")
    assert far in by["rule"] and "drop" in by["rule"] and "inet other" in s.all["advice"]


@pytest.mark.parametrize("hook", ["prerouting", "postrouting"])
def test_foreign_nft_of_the_sender(lab, fault, hook):
    far = ip(lab, "far")
    fault("n1", "nft add table ip mine", "nft delete table ip mine")
    lab.node("n1", "nft", "add chain ip mine strict { type filter hook %s priority 5; }" % hook)
    lab.node("n1", "nft", f"add rule ip mine strict ip daddr {far} tcp dport 8080 drop")
    s = Story(lab, "x/client", "x/front:80", "--timeout", 1, code=1)
    assert s.way()[-1] == "drop n1" and not any("n3" in hop for hop in s.way())
    assert (s.all["by"]["kind"], s.all["by"]["ns"], s.all["by"]["name"]) == ("nftables", "ip mine", "strict")
    assert far in s.all["by"]["rule"] and "ip mine" in s.all["advice"]


def check_reverse_path(lab, fault, wrong):
    """n2 is told that the client is behind a device of its own, and gets the packet by its uplink."""
    route = f"{ip(lab, 'client')}/32 dev {wrong}"
    assert lab.node("n2", "sysctl", "-n", "net.ipv4.conf.eth0.rp_filter").stdout.strip() == "1"
    fault("n2", f"ip route add {route}", f"ip route del {route}")
    s = Story(lab, "x/client", "x/rack:8080", "--timeout", 1, code=1)
    assert s.all["verdict"] == "dropped" and s.way()[-1] == "drop n2"
    assert s.all["by"]["kind"] == "Kernel" and "RPFILTER" in s.all["by"]["name"] and "rp_filter" in s.all["advice"]


def test_reverse_path(lab, fault):
    check_reverse_path(lab, fault, "vxlan0")


# What `ethtool -K DEVICE tx off` does: the kernel computes checksums itself.
TX_OFF = """import ctypes, fcntl, socket, struct
value = ctypes.create_string_buffer(struct.pack("II", 0x17, 0))
fcntl.ioctl(socket.socket(), 0x8946, struct.pack("16sQ16x", b"eth0", ctypes.addressof(value)))"""


@pytest.mark.parametrize("proto, port", [("tcp", 8080), ("udp", 8080)])
def test_checksum(lab, fault, proto, port):
    """n1 spoils it behind its connection table, and the receiver finds out."""
    pid = next(p for p in lab.status()["pods"] if p["name"] == "mute")["pid"]
    subprocess.run(["nsenter", "-t", str(pid), "-n", "python3", "-c", TX_OFF], check=True)
    fault("n1", "nft add table ip spoil", "nft delete table ip spoil")
    lab.node("n1", "nft", "add chain ip spoil late { type filter hook forward priority 9; }")
    lab.node("n1", "nft", f"add rule ip spoil late {proto} dport {port} {proto} checksum set 0x0bad")
    s = Story(lab, "x/mute", f"x/near:{port}", "--proto", proto, "--timeout", 1, code=1)
    assert s.all["verdict"] == "dropped" and s.way()[-2:] == ["enter-pod x/near", "drop x/near"]
    assert s.all["by"]["kind"] == "Kernel" and "CSUM" in s.all["by"]["name"] and "checksum" in s.all["advice"]


def test_wrong_mtu(lab, fault):
    """Less than any datagram with a UDP header has. A TCP would try again, smaller; a datagram's sender is told."""
    route = f"{ip(lab, 'rack')}/32 via {node_ip(lab, 'n2')}"
    fault("n1", f"ip route add {route} mtu lock 30", f"ip route del {route}")
    s = Story(lab, "x/client", "x/rack:8080", "--proto", "udp", "--timeout", 1, code=1)
    assert s.way()[-1] == "drop n1" and s.all["by"]["kind"] == "Kernel" and "TOO_BIG" in s.all["by"]["name"]
    assert "MTU" in s.all["advice"]


def test_node_down(lab, fault):
    """n2 is cut off: nobody answers for its address."""
    retrans = lab.node("n1", "sysctl", "-n", "net.ipv4.neigh.eth0.retrans_time_ms").stdout.strip()
    fault("n1", "sysctl -w net.ipv4.neigh.eth0.retrans_time_ms=50", f"sysctl -w net.ipv4.neigh.eth0.retrans_time_ms={retrans}")
    with cut(lab, "rack1", "n2"):
        lab.node("n1", "ip", "neigh", "flush", "dev", "eth0")
        s = Story(lab, "x/client", "x/rack:8080", "--timeout", 1, code=1)
    assert s.way()[-2:] == ["route n1", "drop n1"]
    assert (s.all["by"]["kind"], s.all["by"]["name"]) == ("Neighbour", node_ip(lab, "n2"))


# ---- nodes that are down, agents that say nothing

@pytest.fixture
def mute(lab):
    """mute(node): its agent does not run on, and is alive again afterwards."""
    stopped = []

    def stop(node):
        stopped.append(next(n for n in lab.status()["nodes"] if n["name"] == node)["roles"]["agent"])
        os.kill(stopped[-1], signal.SIGSTOP)
    yield stop
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)


def gap(node):
    return f"node {node} did not look: its agent did not answer"


def test_silent_agent(lab, mute):
    """The story says who was not seen, and tells what the others saw."""
    mute("n2")
    begun = time.monotonic()
    s = Story(lab, "x/client", "x/rack:8080", "--timeout", 1, code=3, unseen=[gap("n2")])
    assert time.monotonic() - begun < 9  # 3 s are waited for it, and no more when the probe is answered
    assert s.all["verdict"] == "answered"
    assert s.way() == out_of("x/client", "n1") + ["route n1", "leave-node n1", "deliver None"]
    assert s.by("deliver", None) == "Pod x/rack"
    assert s.way("reply") == ["answer None", "enter-node n1"] + into("x/client", "n1")


def test_node_down_in_another_rack(lab, mute):
    """n3 is cut off. It looks, and nothing comes; then it is as a machine without power: nobody tells, but the router
    does not find it."""
    with cut(lab, "rack2", "n3"):
        check_node_down(lab, mute)
    wait_for(lambda: Story(lab, "x/client", "x/far:8080", code=None, unseen=None).all["verdict"] == "answered", 15, "n3 is back")


def test_router_down(lab):
    """n1's own router. What is in the tunnel is told of nobody; its route is the outer packet's, which is not seen."""
    before = lab.node("n1", "sysctl", "-n", "net.ipv4.neigh.eth0.retrans_time_ms").stdout.strip()
    lab.node("n1", "sysctl", "-w", "net.ipv4.neigh.eth0.retrans_time_ms=50")
    try:
        with cut(lab, "rack1", "router"):
            lab.node("n1", "ip", "neigh", "flush", "dev", "eth0")
            s = Story(lab, "x/client", "x/far:8080", "--timeout", 1, code=1)
    finally:
        lab.node("n1", "sysctl", "-w", f"net.ipv4.neigh.eth0.retrans_time_ms={before}")
    assert s.way() == out_of("x/client", "n1") + ["route n1", "tunnel-in n1", "drop n1"]
    assert (s.all["by"]["kind"], s.all["by"]["name"]) == ("Neighbour", node_ip(lab, "n3")) and "router" in s.all["advice"]
    assert s.at("tunnel-in", "n1")["after"]["outer"]["dst"] == node_ip(lab, "n3")
    wait_for(lambda: Story(lab, "x/client", "x/far:8080", code=None).all["verdict"] == "answered", 15, "the router is back")


def check_node_down(lab, mute):
    s = Story(lab, "x/client", "x/far:8080", "--timeout", 1, code=1)
    assert s.way() == out_of("x/client", "n1") + ["route n1", "tunnel-in n1", "leave-node n1"]
    assert s.all["verdict"] == "lost" and "nothing of it came to node n3" in s.all["sentence"] and "4789" in s.all["advice"]
    mute("n3")
    router = Wire(lab)
    router("sysctl", "-qw", "net.ipv4.neigh.rack2.retrans_time_ms=50")
    router("ip", "neigh", "flush", "dev", "rack2")
    try:
        s = Story(lab, "x/client", "x/front:80", "--timeout", 2, code=3, unseen=[gap("n3")])
    finally:
        router("sysctl", "-qw", "net.ipv4.neigh.rack2.retrans_time_ms=1000")
    assert s.way() == out_of("x/client", "n1") + ["service n1", "route n1", "tunnel-in n1", "leave-node n1", "drop None"]
    assert s.end() == ("dropped", "Address 172.18.1.1") and s.all["sentence"] == "dropped elsewhere by 172.18.1.1: host unreachable"
    assert node_ip(lab, "n3") in s.all["advice"]


def test_node_down_behind_a_tunnel(module_lab, tmp_path_factory):
    """In the same rack: nobody answers for the tunnel's other end."""
    path = tmp_path_factory.mktemp("m") / "m.yaml"
    path.write_text(yaml.safe_dump_all([pod("client", "n1"), pod("rack", "n2")]))
    lab = module_lab("--nodes", 2, "--racks", 1, "--mode", "vxlan", manifests=[path])
    lab.node("n1", "sysctl", "-w", "net.ipv4.neigh.eth0.retrans_time_ms=50")
    with cut(lab, "rack1", "n2"):
        lab.node("n1", "ip", "neigh", "flush", "dev", "eth0")
        s = Story(lab, "x/client", "x/rack:8080", "--timeout", 1, code=1)
    assert s.way() == out_of("x/client", "n1") + ["route n1", "tunnel-in n1", "drop n1"]
    assert s.end() == ("dropped", f"Neighbour {node_ip(lab, 'n2')} {s.all['by']['rule']}")
    assert wait_for(lambda: Story(lab, "x/client", "x/rack:8080", code=None).all["verdict"] == "answered", 15, "n2 is back")


# ---- small passes, large dies

def udp(lab, target, size, *args, code=0):
    return Story(lab, "x/client", target, "--proto", "udp", "--size", size, "--timeout", 1, *args, code=code)


def test_too_big_for_its_own_device(lab):
    """Nothing is sent: the kernel refuses to. Objects say as much."""
    mtu = 1450  # Ethernet's less what VXLAN over IPv4 adds
    s = udp(lab, "x/far:8053", mtu)
    assert s.all["verdict"] == "answered" and s.all["mtu"]["bytes"] == mtu
    s = udp(lab, "x/far:8053", mtu + 1, code=1)
    assert s.way() == ["send x/client", "refuse x/client"] and s.end() == ("refused", "Kernel Message too long")
    assert s.at("refuse", "x/client")["mtu"] == mtu and "1451 bytes" in s.all["sentence"] and "split" in s.all["advice"]
    for args in (("x/far:8053", mtu), ("x/far:8053", mtu + 1)):
        r = lab.store("trace", "x/client", args[0], "--proto", "udp", "--size", args[1], "--diff", check=False)
        assert r.returncode == 0 and "as predicted" in r.stdout, r.stdout + r.stderr


def test_too_big_for_a_nodes_route(lab, fault):
    """n1's way to n2 is narrower than pods' devices. Who sent it is told, or n1's own rules keep it from that."""
    route = f"{ip(lab, 'rack')}/32 via {node_ip(lab, 'n2')}"
    fault("n1", f"ip route add {route} mtu lock 1300", f"ip route del {route}")
    assert udp(lab, "x/rack:8080", 1300, code=1).end() == ("refused", "Pod x/rack")  # it came: nothing listens there
    s = udp(lab, "x/rack:8080", 1301, code=1)
    assert s.way() == out_of("x/client", "n1") + ["route n1", "drop n1"] and s.all["verdict"] == "dropped"
    h = s.at("drop", "n1")
    assert (h["where"]["device"], h["mtu"], h["by"]["kind"]) == ("eth0", 1300, "Kernel") and "TOO_BIG" in h["by"]["name"]
    assert "1301 bytes, and eth0 takes 1300" in h["why"] and "ICMP told who sent it" in h["why"] and "MTU" in s.all["advice"]
    assert s.way("reply")[-1] == "deliver x/client"
    fault("n1", "nft add table inet hush", "nft delete table inet hush")
    lab.node("n1", "nft", "add chain inet hush out { type filter hook output priority 0; }")
    lab.node("n1", "nft", "add rule inet hush out icmp type destination-unreachable drop")
    s = udp(lab, "x/rack:8080", 1301, code=1)
    assert s.way()[-1] == "drop n1" and "did not reach who sent it" in s.at("drop", "n1")["why"]


@pytest.fixture
def narrow(bridged):
    """The router's side of the second rack takes 1400 bytes; nodes and pods know nothing of it."""
    router = Wire(bridged)
    router("ip", "link", "set", "rack2", "mtu", "1400")
    yield router
    router("ip", "link", "set", "rack2", "mtu", "1500")


@pytest.mark.parametrize("family", [4, 6])
def test_too_big_for_a_router(bridged, narrow, family):
    """It has no agent, but its answer names it."""
    far = f"{ip(bridged, 'far')}:8053" if family == 4 else f"[{ip(bridged, 'far', 6)}]:8053"
    address = "172.18.1.1" if family == 4 else "fd00:18:1::1"
    assert udp(bridged, far, 1400).all["verdict"] == "answered"
    s = udp(bridged, far, 1401, code=1)
    assert s.way() == out_of("x/client", "n1") + ["route n1", "leave-node n1", "refuse None"]
    assert s.end() == ("refused", f"Address {address}")
    h = s.hops[len(s.way()) - 1]
    assert h["mtu"] == 1400 and "1401 bytes" in h["why"] and "1400 at most" in s.all["sentence"] and "MTU" in s.all["advice"]
    assert s.way("reply")[-1] == "deliver x/client"
    echo = Story(bridged, "x/client", far[:-5].strip("[]"), "--proto", "icmp", "--size", 1401, "--timeout", 1, code=1)
    assert echo.end() == s.end()


def test_too_big_and_nobody_says_so(bridged, narrow):
    narrow("nft", "add table inet hush; add chain inet hush out { type filter hook output priority 0; }; "
           "add rule inet hush out icmp type destination-unreachable drop")
    try:
        s = udp(bridged, "x/far:8053", 1401, code=1)
        assert s.all["verdict"] == "lost" and s.way()[-1] == "leave-node n1"
        assert "--size" in s.all["advice"] and "1401 bytes" in s.all["advice"]
        assert udp(bridged, "x/far:8053", 1400).all["verdict"] == "answered"
    finally:
        narrow("nft", "delete table inet hush")


def test_why_says_the_smallest_mtu(lab):
    r = lab.store("why", "x/client", "x/rack:8080", "-o", "json")
    ways = json.loads(r.stdout)["ways"]
    assert [w["mtu"] for w in ways] == [{"bytes": 1450, "node": "n1", "pod": "x/client", "device": "eth0"}]
    mtus = {h["by"]["name"]: h["mtu"] for h in ways[0]["hops"] if h["step"] == "route" and h["direction"] == "request"}
    assert mtus[block(lab, ip(lab, "rack"))[1]] == 1500  # not the smallest: direct, by the uplink
    assert "(at most 1450 bytes)" in lab.store("why", "x/client", "x/rack:8080").stdout
    assert "at most: 1450 bytes, at pod x/client on n1 by eth0" in lab.store("why", "x/client", "x/rack:8080", "--hops").stdout


# ---- bridges, and racks whose router knows pods

def test_bridge(bridged):
    s = Story(bridged, "x/client", "x/near:8080")
    assert s.way() == out_of("x/client", "n1") + into("x/near", "n1")
    assert s.way("reply") == back("x/near", "n1") + into("x/client", "n1")
    s = Story(bridged, "x/client", "x/rack:8080")
    assert s.way() == out_of("x/client", "n1") + ["route n1", "leave-node n1", "enter-node n2"] + into("x/rack", "n2")


def test_services_of_a_bridge(bridged):
    """The endpoint is on the client's own bridge, then the client itself: routed, so that answers are translated back."""
    s = Story(bridged, "x/client", "x/beside:80")
    assert s.way() == out_of("x/client", "n1") + ["service n1"] + into("x/near", "n1")
    s = Story(bridged, "x/client", "x/self:80")
    assert s.way() == out_of("x/client", "n1") + ["service n1", "route n1", "snat n1", "enter-pod x/client", "deliver x/client"]
    assert s.all["verdict"] == "answered"


@pytest.mark.parametrize("family", [4, 6])
def test_from_a_node_to_its_bridge(bridged, family):
    """It sends from the bridge's own address, which is the node's too."""
    near = ip(bridged, "near", family)
    s = Story(bridged, "n1", f"[{near}]:8080" if family == 6 else f"{near}:8080", "--diff")
    assert s.way() == ["send n1", "enter-pod x/near", "deliver x/near"]
    assert s.way("reply") == back("x/near", "n1") + ["deliver n1"]
    links = json.loads(bridged.node("n1", "ip", "-j", "addr").stdout)
    gateways = [a["local"] for link in links if link["ifname"].startswith("br-fl") for a in link["addr_info"]]
    assert s.at("send", "n1")["after"]["src"] in gateways
    assert Story(bridged, "x/client", s.at("send", "n1")["after"]["src"], "--proto", "icmp", "--diff").by("deliver", "n1") == "Node n1"


@pytest.fixture
def bridged_fault(bridged):
    yield from _faults(bridged)


def test_faults_of_a_bridge(bridged, bridged_fault):
    """As without one: the reverse path, and somebody else's rules on either node."""
    dev = next(d["ifname"] for d in json.loads(bridged.node("n2", "ip", "-j", "link").stdout) if d["ifname"].startswith("br-fl"))
    check_reverse_path(bridged, bridged_fault, dev)


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_foreign_nft_with_a_bridge(bridged, bridged_fault, node):
    bridged_fault(node, "nft add table inet other", "nft delete table inet other")
    bridged.node(node, "nft", "add chain inet other strict { type filter hook forward priority 5; }")
    bridged.node(node, "nft", f"add rule inet other strict ip daddr {ip(bridged, 'rack')} drop")
    s = Story(bridged, "x/client", "x/rack:8080", "--timeout", 1, code=1)
    assert s.way()[-1] == f"drop {node}" and s.all["by"]["ns"] == "inet other" and "inet other" in s.all["advice"]


def test_through_the_router(bridged):
    """No route of n1's own: the default route leads to the router, who knows the way."""
    s = Story(bridged, "x/client", "x/far:8080")
    assert s.way() == out_of("x/client", "n1") + ["route n1", "leave-node n1", "enter-node n3"] + into("x/far", "n3")
    assert s.at("route", "n1")["by"]["name"] == "0.0.0.0/0"
    assert s.way("reply") == back("x/far", "n3") + ["route n3", "leave-node n3", "enter-node n1"] + into("x/client", "n1")
    assert s.at("deliver", "x/far")["before"]["src"] == ip(bridged, "client")  # not translated: the pool is the cluster's
    assert s.at("enter-node", "n3")["why"] == "through 1 router, where no agent looks; the first is 172.18.1.1"
    assert s.at("enter-node", "n1", "reply")["why"] == "through 1 router, where no agent looks; the first is 172.18.2.1"
    s = Story(bridged, "x/client", "x/rack:8080")  # a switch leaves no trace
    assert s.at("enter-node", "n2")["why"] is None


# ---- predicted against observed

AS_PREDICTED = [  # from, to, protocol, exit code of the trace itself
    ("x/client", "x/near", "icmp"), ("x/client", "x/rack", "icmp"), ("x/client", "x/far", "icmp"), ("n1", "x/far", "icmp"),
    ("x/client", "outside", "icmp"), ("outside", "n1", "icmp"), ("x/client", "x/guarded", "icmp"), ("x/mute", "x/rack", "icmp"),
    ("x/near", "x/guarded", "icmp"), ("x/client", "n2", "icmp"),
    ("x/client", "x/near:8132", "sctp"), ("x/client", "x/rack:8132", "sctp"), ("x/client", "x/far:8132", "sctp"),
    ("x/client", "x/guarded:8132", "sctp"), ("x/mute", "x/rack:8132", "sctp"), ("x/client", "x/tags:132", "sctp"),
    ("x/client", "x/far:8053", "udp"), ("x/client", "x/near:8080", "tcp"), ("x/client", "x/rack:8080", "tcp"),
    ("x/client", "x/self:80", "tcp"), ("outside", "n1:30080", "tcp"), ("x/client", "x/nobody:80", "tcp"),
]


def check_as_predicted(lab, *args):
    r = lab.store("trace", *args, "--timeout", 1, "--diff", check=False)
    assert r.returncode == 0 and r.stdout.endswith("as predicted\n"), r.stdout + r.stderr


@pytest.mark.parametrize("source, target, proto", AS_PREDICTED)
def test_as_predicted(lab, source, target, proto):
    check_as_predicted(lab, source, target, "--proto", proto)


@pytest.mark.parametrize("source, target, proto", [t for t in AS_PREDICTED if not set(t) & {"outside"}])
def test_as_predicted_with_bridges(bridged, source, target, proto):
    check_as_predicted(bridged, source, target, "--proto", proto)


def test_not_as_predicted(bridged, bridged_fault):
    """That it would be seen: somebody else's rule is in no object."""
    bridged_fault("n1", "nft add table inet other", "nft delete table inet other")
    bridged.node("n1", "nft", "add chain inet other strict { type filter hook forward priority 5; policy drop; }")
    for proto, target in (("icmp", "x/near"), ("sctp", "x/near:8132"), ("icmp", "x/far")):
        r = bridged.store("trace", "x/client", target, "--proto", proto, "--timeout", 1, "--diff", check=False)
        assert r.returncode == 1 and "not as predicted" in r.stdout and "inet other" in r.stdout.split("not as predicted")[1]


# ---- on paper

def test_text(lab):
    r = lab.store("trace", "x/client", "x/front:80", "--explain")
    lines = r.stdout.splitlines()
    assert lines[0].startswith("answered by Pod x/far") and "\033" not in r.stdout
    assert any("DNAT" in line for line in lines)
    shown = [line.split("$ ", 1)[1].split("#")[0] for line in lines if "$ " in line]
    routes = [c for c in shown if c.startswith("ip route get")]
    assert routes
    assert "vxlan0" in lab.node("n1", *routes[0].split()).stdout  # the commands work


def test_usage(lab):
    assert lab.store("trace", "x/client", check=False).returncode == 2
    assert lab.store("trace", "203.0.113.77", "x/far:8080", check=False).returncode == 2
    assert lab.store("trace", "x/client", "x/nothing:1", check=False).returncode == 1
    for target, said in (("0.0.0.0:80", "nobody's"), ("224.0.0.5:80", "many"), ("[ff02::1]:80", "many"), ("255.255.255.255:80", "many")):
        r = lab.store("trace", "x/client", target, "--proto", "udp", check=False)
        assert r.returncode == 2 and said in r.stderr, r.stderr
    r = lab.store("trace", "outside", "outside:80", check=False)
    assert r.returncode == 2 and "no node is on the way" in r.stderr
    far = f"[{ip(lab, 'far', 6)}]"
    for args, said in ((("x/far:8080", "--size", 1400), "udp or icmp"), (("x/far:8053", "--size", 35, "--proto", "udp"), "36"),
                       ((f"{far}:8053", "--size", 55, "--proto", "udp"), "56"),
                       (("x/far", "--size", 65536, "--proto", "icmp"), "65535")):
        r = lab.store("trace", "x/client", *args, check=False)
        assert r.returncode == 2 and said in r.stderr, r.stderr


def test_within_a_pod(lab):
    """By its loopback: it never leaves."""
    for target in ("x/client:8080", "127.0.0.1:8080"):
        s = Story(lab, "x/client", target)
        assert s.way() == ["send x/client", "deliver x/client"] and s.way("reply") == ["answer x/client", "deliver x/client"]
    s = Story(lab, "x/client", "x/client:81", code=1)
    assert s.way() == ["send x/client", "refuse x/client"] and s.end() == ("refused", "Pod x/client")
    check_as_predicted(lab, "x/client", "x/client:8080")


def test_from_outside_to_a_pod(lab):
    """Routers of this lab know no pods."""
    s = Story(lab, "outside", f"{ip(lab, 'near')}:8080", "--timeout", 1, code=1)
    assert s.all["verdict"] == "lost" and s.way() == ["send outside"] and "NodePort" in s.all["advice"]


@pytest.mark.parametrize("source", ["x/client", "outside"])
def test_interrupted(lab, start, source):
    """Ctrl-C takes the question back."""
    target = "203.0.113.99:80" if source != "outside" else "n1:30080"
    if source == "outside":
        lab.node("n1", "nft", "add table ip quiet; add chain ip quiet in { type filter hook prerouting priority -400; }; "
                 "add rule ip quiet in tcp dport 30080 drop")
    try:
        p = start(["env", "--default-signal=INT", built("bin/fairlead"), "--lab", lab.name, "trace", source, target, "--timeout", "30"])
        traces = lambda: json.loads(lab.store("get", "packettraces", "-o", "json").stdout)["items"]  # noqa: E731
        mine = wait_for(lambda: [t["metadata"]["name"] for t in traces() if t["spec"]["timeoutSeconds"] == 30], 10, "the question")
        os.kill(p.pid, signal.SIGINT)
        assert p.proc.wait(timeout=5) == -signal.SIGINT
        assert not set(mine) & {t["metadata"]["name"] for t in traces()}
    finally:
        if source == "outside":
            lab.node("n1", "nft", "delete table ip quiet")


def test_interrupt_ignored(lab, start):
    """As in a script's background: Ctrl-C is for others."""
    p = start(["env", "--ignore-signal=INT", built("bin/fairlead"), "--lab", lab.name, "trace", "x/client", "203.0.113.99:80", "--timeout", "6"])
    traces = lambda: json.loads(lab.store("get", "packettraces", "-o", "json").stdout)["items"]  # noqa: E731
    wait_for(lambda: any(t["spec"]["timeoutSeconds"] == 6 for t in traces()), 10, "the question")
    os.kill(p.pid, signal.SIGINT)
    assert p.proc.wait(timeout=20) == 1, p.log()  # a story; 3 where it gave up
    assert "host unreachable" in p.log()


def test_kept(lab, tmp_path):
    """What was kept tells the same story again."""
    r = lab.store("trace", "x/client", "x/near:8080", "--keep", "--timeout", 7, "-o", "json")
    name = r.stderr.split()[-1]
    objects = [lab.store("get", k, *n, "-o", "json").stdout for k, n in
               (("packettrace", [name]), ("nodes", []), ("pods", ["-A"]), ("ipblocks", []), ("workloadendpoints", ["-A"]))]
    assert json.loads(objects[0])["spec"]["timeoutSeconds"] == 7
    path = tmp_path / "kept.json"
    path.write_text("\n".join(objects))
    again = json.loads(lab.fairlead("trace", "-f", path, "-o", "json").stdout)
    assert again == json.loads(r.stdout)
    left = json.loads(lab.store("get", "packettraces", "-o", "json").stdout)["items"]
    assert [t["metadata"]["name"] for t in left] == [name]  # and the others are gone
