# SPDX-License-Identifier: Apache-2.0
"""Node ports on 127.0.0.1 (localhost-node-ports), and that nobody else on the wire reaches what listens
there, whoever set route_localnet."""
import json
import sys

import pytest

from agent_world import world  # noqa: F401 (a fixture)
from agent_world import ASK, SERVE, ask, pools
from harness import SEND_FRAMES, needs, wait_for

pytestmark = needs("nft")

LISTEN = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 9999))
print("ready", flush=True)
while True:
    print(s.recv(100).decode(), flush=True)
"""


def service(endpoints):
    return [{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "x"},
             "spec": {"type": "NodePort", "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"],
                      "ipFamilies": ["IPv4"], "ports": [{"port": 80, "targetPort": 8080, "nodePort": 30080}]}},
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
             "metadata": {"name": "web-1", "namespace": "x", "labels": {"kubernetes.io/service-name": "web"}},
             "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
             "endpoints": [{"addresses": [ip], "conditions": {"ready": True}} for ip in endpoints]}]


@pytest.mark.parametrize("where", ["here", "there"])
def test_node_port_on_loopback(world, start, where):  # noqa: F811
    """To a pod of this node and to one of another; the endpoint sees the node, and the answer comes back."""
    n1, n2 = world.up(10, 10, objects=pools("Direct"), service_cidr="10.96.0.0/16", localhost_node_ports="yes")
    assert n1.ns.run("sysctl", "-n", "net.ipv4.conf.all.route_localnet").stdout == "1\n"
    pod = world.pod({"here": n1, "there": n2}[where], "web")
    start([sys.executable, "-uc", SERVE, "web", "8080"], ns=pod.ns).wait_log("up")
    world.store.apply(*service([pod.ip(4)]))

    wait_for(lambda: ask(n1.ns, "127.0.0.1", 30080), 10, "an answer")
    sees = {"here": {"169.254.1.1", n1.ip4}, "there": {n1.ip4}}[where]
    for ip in ("127.0.0.1", "127.8.9.10", n1.ip4):
        assert ask(n1.ns, ip, 30080)[1] in sees, ip


def test_off_by_default(world, start):  # noqa: F811
    n1, = world.up(10, objects=pools("Direct"), service_cidr="10.96.0.0/16")
    assert n1.ns.run("sysctl", "-n", "net.ipv4.conf.all.route_localnet").stdout == "0\n"
    pod = world.pod(n1, "web")
    start([sys.executable, "-uc", SERVE, "web", "8080"], ns=pod.ns).wait_log("up")
    world.store.apply(*service([pod.ip(4)]))
    wait_for(lambda: ask(n1.ns, n1.ip4, 30080), 10, "the node port is served")
    r = n1.ns.run(sys.executable, "-c", ASK, "127.0.0.1", 30080, "tcp", check=False, timeout=10)
    assert "refused" in r.stderr


def test_loopback_is_not_for_others(world, start):  # noqa: F811
    scapy = pytest.importorskip("scapy.all", reason="not installed: python3-scapy")
    seen = {}

    def send(sender, node, text):
        mac = json.loads(node.ns.run("ip", "-j", "link", "show", "eth0").stdout)[0]["address"]
        frame = (scapy.Ether(src="02:00:00:00:00:77", dst=mac) / scapy.IP(src=sender.ip4, dst="127.0.0.1") /
                 scapy.UDP(sport=9, dport=9999) / scapy.Raw(text))
        sender.ns.run(sys.executable, "-c", SEND_FRAMES, "eth0", bytes(frame).hex())

    def before(node):
        """Without our tables it arrives, once somebody has set route_localnet."""
        node.ns.sysctl("net.ipv4.conf.all.route_localnet", 1)
        node.ns.sysctl("net.ipv4.conf.all.rp_filter", 0)
        node.ns.sysctl("net.ipv4.conf.eth0.rp_filter", 0)
        seen[node.name] = start([sys.executable, "-uc", LISTEN], ns=node.ns)
        seen[node.name].wait_log("ready")
        send(other, node, b"before")
        seen[node.name].wait_log("before")

    world.store.apply(*pools("Direct"))
    other = world.add_node("other")
    node = world.add_node("node", before=before)
    world.store.apply(other.object(), node.object())
    node.wait_serving()
    send(other, node, b"after")

    def dropped():
        o = json.loads(node.ns.run("nft", "-j", "list", "chain", "inet", "fairlead", "service-check-in").stdout)
        rule = next(x["rule"] for x in o["nftables"] if x.get("rule", {}).get("comment", "").startswith("loopback"))
        return next(e["counter"]["packets"] for e in rule["expr"] if "counter" in e)
    wait_for(lambda: dropped() == 1, 10, "it is dropped and counted")
    assert "after" not in seen["node"].log()
    s = "import socket; socket.socket(2, 2).sendto(b'own', ('127.0.0.1', 9999))"
    node.ns.run(sys.executable, "-c", s)  # the node's own is let through
    seen["node"].wait_log("own")
