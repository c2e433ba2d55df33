# SPDX-License-Identifier: Apache-2.0
"""Ports of a node that lead to its pods (CNI's portMappings), without the portmap plugin: packets from
outside, from the node, from pods and from the pod itself; what ends and what survives. Servers answer
with the source address that they see."""
import json

import pytest
import yaml

from agent_world import world  # noqa: F401 (a fixture)
from agent_world import SERVE, ask, pod_object, pools
from conntrack import table
from harness import wait_for

FAMILIES = [4, 6]


def mapping(host, container=80, proto="tcp", ip=None):
    m = {"hostPort": host, "containerPort": container, "protocol": proto}
    return {**m, "hostIP": ip} if ip is not None else m


def ports(*mappings):
    return {"runtimeConfig": {"portMappings": list(mappings)}}


def args(name, ns="default"):
    return {"K8S_POD_NAMESPACE": ns, "K8S_POD_NAME": name}


@pytest.fixture
def serve(world, start):
    def serve(node, name, *mappings, **kw):
        p = world.pod(node, name, **ports(*mappings), **kw)
        start(["python3", "-c", SERVE, name, "80"], ns=p.ns).wait_log("up")
        return p
    return serve


def node_ip(node, family):
    return node.ip6 if family == 6 else node.ip4


def outside_ip(family):
    return "fd00:ffff::9" if family == 6 else "203.0.113.9"


def fronts(node):
    """Keys of what the kernel holds, with whose they are."""
    out = {}
    t = json.loads(node.ns.run("nft", "-j", "list", "table", "inet", "fairlead").stdout)["nftables"]
    for m in (o["map"] for o in t if "map" in o):
        if m["name"] in ("nodeport4", "nodeport6", "vip4", "vip6"):
            for key, _ in m.get("elem", []):
                e = key["elem"]
                out[m["name"][-1], tuple(map(str, e["val"]["concat"]))] = e.get("comment")
    return out


def test_packets(world, serve):
    """From everywhere, both families, TCP and UDP; the client's address stays its own but for the pod itself."""
    n1, n2 = world.up(10, 20)
    web = serve(n1, "web", mapping(8080), mapping(8053, 80, "UDP"))
    near, far = world.pod(n1, "near"), world.pod(n2, "far")
    for family in FAMILIES:
        ip, out = node_ip(n1, family), outside_ip(family)
        for port, proto in ((8080, "tcp"), (8053, "udp")):
            assert ask(world.outside, ip, port, proto) == ("web", out)
            assert ask(near.ns, ip, port, proto) == ("web", near.ip(family))
            assert ask(n1.ns, ip, port, proto)[0] == "web"
            assert ask(n2.ns, ip, port, proto) == ("web", node_ip(n2, family))
            who, seen = ask(web.ns, ip, port, proto)
            assert who == "web" and seen != web.ip(family), "it reaches itself by the node's address"
            assert ask(far.ns, ip, port, proto)[0] == "web"
        assert ask(world.outside, ip, 8081) is None and ask(world.outside, ip, 8080, "udp") is None
        assert ask(world.outside, ip, 8053) is None
    assert fronts(n1)["4", ("tcp", "8080")] == "(hostPort)/web:8080"
    assert fronts(n1)["6", ("udp", "8053")] == "(hostPort)/web:8053"
    assert web.check()[0] == 0
    assert web.delete() == (0, None)
    assert not fronts(n1)
    assert ask(world.outside, n1.ip4, 8080) is None and ask(n1.ns, n1.ip6, 8053, "udp") is None


def test_host_ip(world, serve):
    """With a hostIP just that address has the port, and only if it is the node's own."""
    n1, = world.up(10)
    n1.ns.run("ip", "addr", "add", "192.168.10.99/24", "dev", "eth0")
    serve(n1, "one", mapping(8080, ip="192.168.10.99"), mapping(8081, ip="0.0.0.0"), mapping(8082, ip=n1.ip6))
    assert ask(world.outside, "192.168.10.99", 8080) == ("one", "203.0.113.9")
    assert ask(world.outside, n1.ip4, 8080) is None and ask(world.outside, n1.ip6, 8080) is None
    assert ask(world.outside, n1.ip4, 8081) == ("one", "203.0.113.9") and ask(world.outside, n1.ip6, 8081) is None
    assert ask(world.outside, n1.ip6, 8082) == ("one", "fd00:ffff::9") and ask(world.outside, n1.ip4, 8082) is None
    # The same port of another address is another port.
    serve(n1, "two", mapping(8080, ip=n1.ip4))
    assert ask(world.outside, n1.ip4, 8080)[0] == "two" and ask(world.outside, "192.168.10.99", 8080)[0] == "one"
    for ip, why in (("192.0.2.7", "none of this node's addresses"), ("127.0.0.1", "localhost-node-ports"),
                    ("::1", "loopback")):
        code, doc = n1.cni("ADD", "c", world.netns(f"x{len(why)}").path, **ports(mapping(9000, ip=ip)))
        assert code and doc["code"] == 7 and why in doc["msg"]


def refused(node, pod_ns, container, *mappings, **kw):
    code, doc = node.cni("ADD", container, pod_ns.path, **ports(*mappings), **kw)
    assert code and doc["code"] == 103, doc
    return doc["msg"]


def test_collisions(world, serve):
    """Whose it is stands in the error; nothing of the one that was refused stays."""
    objects = pools() + [pod_object("a", "n1"), pod_object("b", "n1"), {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "svc", "namespace": "default"},
        "spec": {"type": "NodePort", "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"],
                 "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}]}}]
    n1, = world.up(10, objects=objects)
    a = serve(n1, "sandbox1", mapping(8080), args=args("a"))
    ns = world.netns("b")
    assert "host port 8080/TCP is Pod default/a's" in refused(n1, ns, "b1", mapping(8080), args=args("b"))
    assert "default/a" in refused(n1, ns, "b1", mapping(8080, ip=n1.ip4), args=args("b"))
    assert "host port 30080/TCP is Service default/svc's" in refused(n1, ns, "b1", mapping(30080))
    assert not [x for x in n1.ns.ip("link") if x["ifname"].startswith("fl")][1:], "only a's link"
    assert world.pod(n1, "b1", ns=ns, args=args("b"), **ports(mapping(8080, proto="udp"))).ips
    # A new sandbox of the same pod may: its own ports lead to the new one, also once the old one ends.
    serve(n1, "sandbox2", mapping(8080), args=args("a"))
    assert ask(world.outside, n1.ip4, 8080)[0] == "sandbox2"
    assert a.delete() == (0, None)
    assert ask(world.outside, n1.ip4, 8080)[0] == "sandbox2"


def test_check_and_gc(world, serve):
    n1, = world.up(10)
    web = serve(n1, "web", mapping(8080))
    check = {"prevResult": web.result, **ports(mapping(8080))}
    assert n1.cni("CHECK", "web", web.ns.path, **check)[0] == 0
    code, doc = n1.cni("CHECK", "web", web.ns.path, **{**check, **ports(mapping(8080), mapping(8081))})
    assert code and doc["code"] == 102 and "8081" in doc["msg"]
    n1.kill_agent()  # nobody repairs what is taken out, until it is back
    n1.wait_serving()
    n1.ns.run("nft", "delete", "element", "inet", "fairlead", "nodeport4", "{", "tcp", ".", "8080", "}")
    wait_for(lambda: ("4", ("tcp", "8080")) in fronts(n1), 5, "the audit repairs it")
    assert n1.cni("GC", **{"cni.dev/valid-attachments": [{"containerID": "web", "ifname": "eth0"}]})[0] == 0
    assert ask(world.outside, n1.ip4, 8080)
    assert n1.cni("GC", **{"cni.dev/valid-attachments": []})[0] == 0
    assert not fronts(n1) and ask(world.outside, n1.ip4, 8080) is None


def test_restart(world, serve, start):
    """An agent that is killed, and one that starts anew on rules that somebody flushed."""
    n1, = world.up(10)
    serve(n1, "web", mapping(8080), mapping(8080, proto="udp"))
    before = n1.ns.run("nft", "-s", "list", "table", "inet", "fairlead").stdout
    n1.restart_agent()
    assert ask(world.outside, n1.ip4, 8080) and ask(world.outside, n1.ip6, 8080, "udp")
    wait_for(lambda: n1.ns.run("nft", "-s", "list", "table", "inet", "fairlead").stdout == before, 10, "the same rules")
    n1.ns.run("nft", "flush", "ruleset")
    n1.restart_agent()
    wait_for(lambda: ask(world.outside, n1.ip4, 8080), 10, "it leads there again")
    assert ask(world.outside, n1.ip6, 8080, "udp") == ("web", "fd00:ffff::9")


CLIENT = """
import socket, sys, time
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 5353))
s.settimeout(0.05)
last = None
print("up", flush=True)
while True:
    s.sendto(b"x", (sys.argv[1], int(sys.argv[2])))
    try:
        now = s.recv(99).decode()
    except OSError:
        continue
    if now != last:
        print(now, flush=True)
    last = now
    time.sleep(0.05)
"""


@pytest.mark.parametrize("family", FAMILIES)
def test_conntrack(world, serve, start, family):
    """kubernetes#59368, #66651: a client that never pauses and never changes its port reaches the pod that came
    after it, and the next one after that, though conntrack knew another way for the flow."""
    n1, = world.up(10)
    world.pod(n1, "other", **ports(mapping(9000)))  # conntrack is on, and the flow below is known to it
    client = start(["python3", "-c", CLIENT, node_ip(n1, family), "8053"], ns=world.outside)
    client.wait_log("up")
    wait_for(lambda: "dport=8053" in n1.ns.run("cat", "/proc/net/nf_conntrack").stdout, 5)
    first = serve(n1, "first", mapping(8053, proto="udp"))
    client.wait_log(f"first {'' if family == 6 else '::ffff:'}{outside_ip(family)}", 10)
    assert first.delete() == (0, None)
    second = serve(n1, "second", mapping(8053, proto="udp"))
    client.wait_log("second", 10)
    assert second.delete() == (0, None)
    wait_for(lambda: not [e for e in table(n1.ns, "udp") if e[5] in (first.ip(family), second.ip(family))], 10,
             "nothing leads to pods that are gone")


def test_localhost(world, serve):
    """On loopback where localhost-node-ports allows it: its clients cannot be shown to the pod."""
    n1, = world.up(10, localhost_node_ports="yes")
    web = serve(n1, "web", mapping(8080), mapping(8081, ip="127.0.0.1"))
    for port in (8080, 8081):
        who, seen = wait_for(lambda: ask(n1.ns, "127.0.0.1", port), 5)
        assert who == "web" and not seen.startswith("127.")
    assert ask(world.outside, n1.ip4, 8080) == ("web", "203.0.113.9")
    assert ask(world.outside, n1.ip4, 8081) is None and ask(n1.ns, n1.ip4, 8081) is None
    assert web.delete() == (0, None) and ask(n1.ns, "127.0.0.1", 8080) is None


def test_lab(lab, tmp_path):
    """hostPort in a manifest, SCTP too: the lab's runtime hands it on, the store and `why` know whose it is."""
    pods = [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
             "spec": {"nodeName": "n1", "containers": [{"name": "c", "ports": ports}]}}
            for name, ports in (("client", []), ("web", [
                {"containerPort": 80, "hostPort": 8080},
                {"containerPort": 9, "hostPort": 8009, "protocol": "SCTP", "hostIP": "172.18.1.11"}]))]
    manifest = tmp_path / "pods.yaml"
    manifest.write_text(yaml.safe_dump_all(pods))
    a = lab("--nodes", 1, "--racks", 1, "--mode", "direct", manifests=[manifest])
    for source in ("outside", "default/client", "n1"):
        for target, proto in (("172.18.1.11:8080", "tcp"), ("[fd00:18:1::11]:8080", "tcp"), ("172.18.1.11:8009", "sctp")):
            got = wait_for(lambda: (r := a.probe(source, target, "--proto", proto)) and r["code"] == 0 and r, 10, target)
            assert [x.split("@")[0] for x in got["servers"]] == ["default/web"], (source, target)
    shown = json.loads(a.store("get", "workloadendpoints", "web-eth0", "-o", "json").stdout)
    assert [(p["hostPort"], p["protocol"], p.get("hostIP")) for p in shown["spec"]["ports"]] == \
        [(8080, "TCP", None), (8009, "SCTP", "172.18.1.11")]
    why = json.loads(a.store("why", "default/client", "n1:8080", "-o", "json").stdout)["service"]
    assert (why["name"], why["kind"], why["action"], why["masquerade"]) == ("default/web", "HostPort", "DNAT", False)
    a.store("delete", "pod", "web")
    wait_for(lambda: a.probe("outside", "172.18.1.11:8080")["code"] == 1, 20, "the port ends with the pod")
