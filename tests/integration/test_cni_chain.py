# SPDX-License-Identifier: Apache-2.0
"""fairlead-cni beside the reference plugins, as a runtime chains them, and under one of them as
its IPAM plugin. What they did is judged by packets and by the kernel's tables."""
import ipaddress
import os

import pytest

from agent_world import ping, pool, world  # noqa: F401 (a fixture)
from cni import CniError, call
from harness import built, needs, wait_for

REFERENCE = "/usr/lib/cni"

pytestmark = pytest.mark.skipif(
    not os.path.exists(f"{REFERENCE}/portmap"),
    reason="not installed: containernetworking-plugins")


class Chain:
    """A conflist, driven as libcni drives it: each plugin gets the result of the one before, DEL
    goes backwards, capabilities become runtimeConfig."""

    def __init__(self, node, *plugins, version="1.0.0", name="chain"):
        self.node, self.version, self.name = node, version, name
        self.plugins = [{**p} for p in plugins]
        self.results = {}

    def _conf(self, plugin, prev, runtime):
        conf = {"cniVersion": self.version, "name": self.name, **plugin}
        if plugin["type"] == "fairlead-cni":
            conf["socket"] = str(self.node.keeper.cni_sock)
        wanted = {k: v for k, v in (runtime or {}).items()
                  if conf.pop("capabilities", {}).get(k)} if "capabilities" in conf else {}
        if wanted:
            conf["runtimeConfig"] = wanted
        if prev:
            conf["prevResult"] = prev
        return conf

    def _call(self, verb, plugin, container, pod, prev, runtime):
        path = plugin["type"] if plugin["type"].startswith("fairlead") else \
            f"{REFERENCE}/{plugin['type']}"
        return call(verb, self._conf(plugin, prev, runtime), plugin=path, ns=self.node.ns,
                    container=container, ifname="eth0", netns=getattr(pod, "path", pod),
                    env={"CNI_PATH": f"{REFERENCE}:{bin_dir()}"})

    def add(self, container, pod, **runtime):
        prev = None
        for p in self.plugins:
            prev = self._call("ADD", p, container, pod, prev, runtime)
        self.results[container] = prev
        return prev

    def check(self, container, pod, only=None):
        for p in self.plugins:
            if only in (None, p["type"]):
                self._call("CHECK", p, container, pod, self.results[container], None)

    def delete(self, container, pod, **runtime):
        for p in reversed(self.plugins):
            self._call("DEL", p, container, pod, self.results.get(container), runtime)


def bin_dir():
    return os.path.dirname(built("bin/fairlead-cni"))


def ip_of(result, family):
    return next(str(a.ip) for a in (ipaddress.ip_interface(i["address"]) for i in result["ips"])
                if a.version == family)


SERVE = ("import socket,sys\n"
         "s=socket.create_server(('::',80),family=socket.AF_INET6,dualstack_ipv6=True)\n"
         "print('up',flush=True)\n"
         "while True:\n"
         " c,a=s.accept(); c.sendall(a[0].encode()); c.close()\n")


def fetch(ns, host, port):
    """What the server saw as our address, or None."""
    r = ns.run("python3", "-c",
               "import socket,sys\n"
               "s=socket.create_connection((sys.argv[1],int(sys.argv[2])),2)\n"
               "print(s.recv(99).decode())", host, port, check=False)
    return r.stdout.strip() if r.returncode == 0 else None


FAIRLEAD = {"type": "fairlead-cni"}
PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}
BANDWIDTH = {"type": "bandwidth", "ingressRate": 1_000_000, "ingressBurst": 8_000_000,
             "egressRate": 2_000_000, "egressBurst": 8_000_000}
TUNING = {"type": "tuning", "sysctl": {"net.core.somaxconn": "321"}}


@needs("iptables", "python3")
def test_portmap(world, start):
    """A host port leads to the pod, from the node's neighbours, and is gone after DEL."""
    n1, = world.up(10)
    chain, pod = Chain(n1, FAIRLEAD, PORTMAP), world.netns("pod")
    mapping = [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]
    result = chain.add("c1", pod, portMappings=mapping)
    assert {i["name"] for i in result["interfaces"]} >= {"eth0"}
    start(["python3", "-c", SERVE], ns=pod).wait_log("up")
    assert fetch(n1.ns, ip_of(result, 4), 80)
    assert fetch(world.router, n1.ip4, 8080) == "::ffff:192.168.10.1"
    # portmap's own CHECK (1.1.1) looks for the IPv4 rules in ip6tables when there are both.
    chain.check("c1", pod, only="fairlead-cni")
    chain.delete("c1", pod, portMappings=mapping)
    assert fetch(world.router, n1.ip4, 8080) is None
    assert "8080" not in n1.ns.run("iptables-save", check=False).stdout


@needs("iptables", "python3")
def test_portmap_too(world, start):
    """Both have the capability: whoever comes first leads to the pod, and nothing stays of either."""
    n1, = world.up(10)
    chain = Chain(n1, {**FAIRLEAD, "capabilities": {"portMappings": True}}, PORTMAP)
    pod, mapping = world.netns("pod"), [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]
    chain.add("c1", pod, portMappings=mapping)
    start(["python3", "-c", SERVE], ns=pod).wait_log("up")
    rules = n1.ns.run("nft", "list", "map", "inet", "fairlead", "nodeport4").stdout
    assert "8080" in rules and "8080" in n1.ns.run("iptables-save").stdout
    assert fetch(world.router, n1.ip4, 8080) == "::ffff:192.168.10.1"
    assert fetch(pod, n1.ip4, 8080) and fetch(n1.ns, n1.ip4, 8080)
    chain.check("c1", pod, only="fairlead-cni")
    chain.delete("c1", pod, portMappings=mapping)
    assert fetch(world.router, n1.ip4, 8080) is None
    assert "8080" not in n1.ns.run("iptables-save", check=False).stdout
    assert "8080" not in n1.ns.run("nft", "list", "map", "inet", "fairlead", "nodeport4").stdout


def test_bandwidth(world):
    """The plugin finds the node's end of the link in our result and shapes it."""
    n1, = world.up(10)
    chain, pod = Chain(n1, FAIRLEAD, BANDWIDTH), world.netns("pod")
    try:
        result = chain.add("c1", pod)
    except CniError as e:
        if "not supported" in str(e) or "no such file" in str(e):
            pytest.skip(f"this kernel cannot shape: {e.msg}")
        raise
    host = next(i["name"] for i in result["interfaces"] if not i.get("sandbox") and
                i["name"].startswith("fl"))
    tc = n1.ns.ip("link", "show", host)[0]["qdisc"]
    assert tc == "tbf"
    chain.check("c1", pod)
    chain.delete("c1", pod)
    wait_for(lambda: host not in [x["ifname"] for x in n1.ns.ip("link")], 3)
    assert not [x for x in n1.ns.ip("link") if x["ifname"].startswith("bwp")]


def test_tuning(world):
    n1, = world.up(10)
    chain, pod = Chain(n1, FAIRLEAD, TUNING, PORTMAP), world.netns("pod")
    chain.add("c1", pod)
    assert pod.sysctl("net.core.somaxconn") == "321"
    chain.check("c1", pod)
    chain.delete("c1", pod)
    chain.delete("c1", None)  # again, and without a namespace
    assert "eth0" not in [x["ifname"] for x in pod.ip("link")]


@pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0"])
def test_versions_in_a_chain(world, version):
    """The reference plugins read our results of every version they know."""
    n1, = world.up(10)
    chain, pod = Chain(n1, FAIRLEAD, TUNING, version=version), world.netns("pod")
    result = chain.add("c1", pod)
    assert result["cniVersion"] == version and len(result["ips"]) == 2
    chain.delete("c1", pod)


def test_ipam_of_the_reference_bridge(world):
    """bridge makes the interface, fairlead-ipam gives the addresses and takes them back. Of the
    eight addresses of a /29 a subnet has six hosts, one of which is the gateway."""
    n1, = world.up(10, objects=[pool("small", "10.99.0.0/29", "Direct", blockSize=29)])
    bridge = {"type": "bridge", "bridge": "br0", "isGateway": True,
              "ipam": {"type": "fairlead-ipam", "socket": str(n1.keeper.cni_sock)}}
    chain = Chain(n1, bridge)
    pods = [world.netns(f"p{i}") for i in range(6)]
    seen, gateways = [], set()
    for i, pod in enumerate(pods[:5]):
        result = chain.add(f"c{i}", pod)
        seen.append(ip_of(result, 4))
        assert [a["local"] for a in pod.ip("addr", "show", "eth0")[0]["addr_info"]
                if a["family"] == "inet"] == [seen[-1]]
        gateways.add(result["ips"][0]["gateway"])
    assert len(gateways) == 1
    assert {*seen, *gateways} == {f"10.99.0.{i}" for i in range(1, 7)}
    assert all(ping(pods[0], ip) for ip in (*seen, *gateways))
    with pytest.raises(CniError) as e:
        chain.add("c5", pods[5])
    assert "no free IPv4 address" in e.value.msg
    chain.delete("c5", pods[5])  # as a runtime does: bridge leaves its half of the work
    chain.check("c0", pods[0])
    chain.delete("c0", pods[0])
    assert ip_of(chain.add("c5", pods[5]), 4) == seen[0]


def test_a_later_plugin_fails(world):
    """The runtime tears down what came before; nothing stays."""
    n1, = world.up(10)
    chain, pod = Chain(n1, FAIRLEAD, {"type": "tuning", "sysctl": {"net.no.such": "1"}}), \
        world.netns("pod")
    with pytest.raises(CniError):
        chain.add("c1", pod)
    chain.delete("c1", pod)
    assert "eth0" not in [x["ifname"] for x in pod.ip("link")]
    wait_for(lambda: not [x for x in n1.ns.ip("link") if x["ifname"].startswith("fl")], 3)
