# SPDX-License-Identifier: Apache-2.0
"""The agent and role bgp: routes into the kernel and over restarts of both, and what of Services is to be told. The role is a
fake that says what the test wants; what is judged is read by `ip`, and packets."""
import json
import os
import signal
import subprocess

import pytest

from agent_world import ping, pod_object, pool, pools, wait_ping, world  # noqa: F401
from bgp_fake import SPEAKER, Speaker, get_routes
from harness import wait_for
from packet_trace import spec
from roles import fakes  # noqa: F401


@pytest.fixture
def speakers(world, fakes):
    """up(*racks, objects=…) is the nodes; each has .speaker."""
    made = fakes("agent", "watch", bgp=SPEAKER)

    def up(*racks, **kw):
        nodes = world.up(*racks, roles="agent watch bgp", libexec_dir=made.path, **kw)
        for n in nodes:
            n.speaker = Speaker(made, n.name)
            n.speaker.wait("joined")
        return nodes
    return up


def hops(node, dst):
    """{(next hop, device)} of our route; None: there is none."""
    r = node.routes(6 if ":" in dst else 4).get(dst)
    if not r:
        return None
    return {(h.get("gateway"), h["dev"]) for h in r.get("nexthops", [r])}


def wait_hops(node, dst, *want, timeout=5):
    want = {(w, "eth0") if isinstance(w, str) else w for w in want} or None
    wait_for(lambda: hops(node, dst) == want, timeout, f"{node.name}: {dst} by {want}, not {hops(node, dst)}")


def block(cidr, node):
    name = cidr.replace(".", "-").replace("/", "-")
    return {"apiVersion": "fairlead.io/v1", "kind": "IPBlock", "metadata": {"name": name},
            "spec": {"cidr": cidr, "pool": "pool4", "node": node}}


def bgp_pools(mode="Direct"):
    return pools(mode, routes="bgp")


def restart_role(node, role="bgp"):
    old = node.keeper.wait_role(role)
    os.kill(old, signal.SIGKILL)
    new = wait_for(lambda: node.keeper.pid(role) not in (None, old) and node.keeper.pid(role), 10, f"a new {role}")
    if role == "bgp":
        node.speaker.wait("joined", pid=new)
    return new


def told(node):
    """{destination: row} of what BGP told."""
    return {r["dst"]: r for r in json.loads(get_routes(node, "-o", "json"))["items"] if r.get("peer")}


def test_next_hops(speakers):
    n1, = speakers(10, objects=bgp_pools())
    n1.speaker.do("route('172.16.0.0/12', '192.168.10.50')", "route('fd99::/32', 'fd00:10::50')", "end()")
    wait_hops(n1, "172.16.0.0/12", "192.168.10.50")
    wait_hops(n1, "fd99::/32", "fd00:10::50")
    n1.speaker.do("route('172.16.0.0/12', '192.168.10.50', '192.168.10.51')",
                  "route('fd99::/32', 'fd00:10::50', 'fd00:10::51')", "end()")
    wait_hops(n1, "172.16.0.0/12", "192.168.10.50", "192.168.10.51")
    wait_hops(n1, "fd99::/32", "fd00:10::50", "fd00:10::51")
    # A next hop that is on no link is not among them; without one that is there is no route.
    n1.speaker.do("route('172.16.0.0/12', '192.168.10.50', '10.9.9.9')", "route('172.32.0.0/16', '10.9.9.9')", "end()")
    wait_hops(n1, "172.16.0.0/12", "192.168.10.50")
    assert hops(n1, "172.32.0.0/16") is None
    # A second link, and the next hop moves there by itself.
    n1.ns.run("ip", "link", "add", "eth1", "type", "veth", "peer", "eth1p")
    n1.ns.run("ip", "link", "set", "eth1p", "up")
    n1.ns.run("ip", "addr", "add", "10.9.9.1/24", "dev", "eth1")
    n1.ns.run("ip", "link", "set", "eth1", "up")
    wait_hops(n1, "172.16.0.0/12", ("192.168.10.50", "eth0"), ("10.9.9.9", "eth1"))
    wait_hops(n1, "172.32.0.0/16", ("10.9.9.9", "eth1"))
    n1.speaker.do("withdraw('172.16.0.0/12')", "withdraw('fd99::/32')", "end()")
    wait_hops(n1, "172.16.0.0/12")
    wait_hops(n1, "fd99::/32")
    wait_hops(n1, "172.32.0.0/16", ("10.9.9.9", "eth1"))


def test_somebody_else_takes_a_next_hop_out(speakers):
    n1, = speakers(10, objects=bgp_pools())
    n1.speaker.do("route('172.16.0.0/12', '192.168.10.50', '192.168.10.51')",
                  "route('fd99::/32', 'fd00:10::50', 'fd00:10::51')", "end()")
    for dst, a, b in (("172.16.0.0/12", "192.168.10.50", "192.168.10.51"), ("fd99::/32", "fd00:10::50", "fd00:10::51")):
        wait_hops(n1, dst, a, b)
        n1.ns.run("ip", "route", "replace", dst, "proto", "70", "via", a, *(["metric", "1024"] if ":" in dst else []))
        wait_hops(n1, dst, a, b)


def test_pools(speakers, store, world):
    """Blocks of other nodes come by BGP, and by nothing else; own ones and the store's are not BGP's to say."""
    n1, = speakers(10, objects=[*bgp_pools(), pool("other", "10.250.0.0/16", "Direct")])
    n2 = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n2"},
          "status": {"addresses": [{"type": "InternalIP", "address": "192.168.10.77"}]}}
    theirs = block("10.250.0.0/26", "n2")
    theirs["spec"]["pool"] = "other"
    store.apply(n2, block("10.244.64.0/26", "n2"), theirs)
    wait_hops(n1, "10.250.0.0/26", "192.168.10.77")  # the store's; by now it would have the other, too
    assert hops(n1, "10.244.64.0/26") is None
    world.pod(n1, "p")
    own = wait_for(lambda: [d for d, r in n1.routes().items() if r.get("type") == "blackhole"], 5)[0]
    n1.speaker.do("route('10.244.64.0/26', '192.168.10.77', peer='n2', why='shorter')",
                  "route('10.250.0.0/26', '192.168.10.50')", f"route('{own}', '192.168.10.50')",
                  "route('192.168.10.0/24', '192.168.10.50')", "end()")
    wait_hops(n1, "10.244.64.0/26", "192.168.10.77")
    assert hops(n1, "10.250.0.0/26") == {("192.168.10.77", "eth0")}
    assert n1.routes()[own]["type"] == "blackhole" and "gateway" not in n1.routes()[own]
    # The node moves.
    n2["status"]["addresses"][0]["address"] = "192.168.10.78"
    store.apply(n2)
    wait_hops(n1, "10.250.0.0/26", "192.168.10.78")
    wait_hops(n1, "10.244.64.0/26", "192.168.10.77")  # is what BGP says
    # The pool's routes become the store's, and BGP's again.
    store.apply(*pools("Direct", routes="store"))
    wait_hops(n1, "10.244.64.0/26", "192.168.10.78")
    store.apply(*bgp_pools())
    wait_hops(n1, "10.244.64.0/26", "192.168.10.77")


def test_what_is_said_of_routes(speakers):
    n1, = speakers(10, objects=[*bgp_pools(), pool("other", "10.250.0.0/16", "Direct")])
    n1.speaker.do("route('172.16.0.0/12', '192.168.10.50', '192.168.10.51', peer='tor', why='older')",
                  "route('10.250.0.0/26', '192.168.10.50')", "end()")
    wait_hops(n1, "172.16.0.0/12", "192.168.10.50", "192.168.10.51")
    rows = told(n1)
    assert {k: rows["172.16.0.0/12"].get(k) for k in ("peer", "why", "owner", "state", "stale", "hops")} == {
        "peer": "tor", "why": "older", "owner": "bgp/172.16.0.0/12", "state": "installed", "stale": None,
        "hops": "192.168.10.50 dev eth0, 192.168.10.51 dev eth0"}
    assert rows["10.250.0.0/26"]["state"] == "left"
    assert rows["10.250.0.0/26"]["because"] == "in a pool whose routes are the store's"
    restart_role(n1)
    assert told(n1)["172.16.0.0/12"]["stale"] is True
    table = get_routes(n1)
    assert "tor: older (stale) [192.168.10.50 dev eth0, 192.168.10.51 dev eth0]" in table
    assert "tor: in a pool whose routes are the store's" in table


def test_trace_says_who_told(speakers, store, world):
    n1, = speakers(10, objects=bgp_pools())
    n1.speaker.do("route('172.16.0.0/12', '192.168.10.50', peer='tor', why='only path')", "end()")
    wait_hops(n1, "172.16.0.0/12", "192.168.10.50")
    store.apply(pod_object("p", "n1"))
    p = world.pod(n1, "p", args={"K8S_POD_NAME": "p", "K8S_POD_NAMESPACE": "default"})
    source = {"namespace": "default", "pod": "p", "node": "n1", "address": p.ip(4)}
    store.apply({"apiVersion": "fairlead.io/v1", "kind": "PacketTrace", "metadata": {"name": "t"},
                 "spec": spec(source, "172.16.0.1", proto="ICMP", nodes=["n1"], seconds=1)})

    def routes():
        nodes = store.get("packettraces", "t").get("status", {}).get("nodes", [])
        return [o["route"] for n in nodes for o in n.get("observations", []) if o["kind"] == "Route"]
    wait_for(routes, 15, "the trace saw a route")
    assert {r.get("told") for r in routes() if r.get("prefix") == "172.16.0.0/12"} == {"by BGP from tor: only path"}


class Watched:
    """What the kernel says of routes while the block runs."""

    def __init__(self, node):
        self.node = node

    def __enter__(self):
        self.monitor = subprocess.Popen(self.node.ns.argv("ip", "monitor", "route"), stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_):
        self.monitor.terminate()
        self.deleted = [line for line in self.monitor.communicate()[0].splitlines() if line.startswith("Deleted")]


@pytest.mark.parametrize("role", ("bgp", "agent"))
def test_restart_keeps_routes(speakers, world, role):
    """Either side: packets flow, no route goes, and what is not told again goes when all is told."""
    n1, = speakers(10, objects=bgp_pools())
    far = world.netns("far")
    world.plug(far, 10, "192.168.10.50/24", "fd00:10::50/64")
    far.run("ip", "addr", "add", "172.16.0.1/32", "dev", "lo")
    n1.speaker.do("route('172.16.0.0/12', '192.168.10.50')", "route('172.32.0.0/16', '192.168.10.50', '192.168.10.51')",
                  "route('fd99::/32', 'fd00:10::50', 'fd00:10::51')", "route('10.244.64.0/26', '192.168.10.50')", "end()")
    wait_hops(n1, "10.244.64.0/26", "192.168.10.50")
    wait_ping(n1.ns, "172.16.0.1")
    speaker = n1.keeper.pid("bgp")
    flow = subprocess.Popen(n1.ns.argv("ping", "-n", "-q", "-i", "0.02", "-W", "1", "-c", "200", "172.16.0.1"),
                            stdout=subprocess.PIPE, text=True)
    with Watched(n1) as w:
        for _ in range(2):
            if role == "bgp":
                speaker = restart_role(n1)
            else:
                n1.restart_agent()
                # The kernel had routes from before: the speaker is to say so to its peers.
                wait_for(lambda: ["origins", True] in n1.speaker.notes()[-2:], 10)
            n1.speaker.wait("origins", True, pid=speaker)
            n1.speaker.do("route('172.16.0.0/12', '192.168.10.50')", "end(False)")
        assert "200 received" in flow.communicate(timeout=30)[0]
        wait_hops(n1, "172.32.0.0/16", "192.168.10.50", "192.168.10.51")
        wait_hops(n1, "fd99::/32", "fd00:10::50", "fd00:10::51")
        wait_hops(n1, "10.244.64.0/26", "192.168.10.50")
    assert not w.deleted, w.deleted
    n1.speaker.do("route('10.244.64.0/26', '192.168.10.50')", "end()")
    wait_hops(n1, "172.32.0.0/16")
    wait_hops(n1, "fd99::/32")
    wait_hops(n1, "10.244.64.0/26", "192.168.10.50")
    wait_hops(n1, "172.16.0.0/12", "192.168.10.50")


def test_without_the_role_nothing_is_kept(speakers, world):
    n1, = speakers(10, objects=bgp_pools())
    n1.speaker.do("route('172.16.0.0/12', '192.168.10.50')", "end()")
    wait_hops(n1, "172.16.0.0/12", "192.168.10.50")
    n1.keeper.conf.write_text(n1.keeper.conf.read_text().replace("roles agent watch bgp", "roles agent watch"))
    world.restart(n1)
    n1.wait_serving()
    wait_hops(n1, "172.16.0.0/12", timeout=10)


def test_a_bad_record_sweeps_nothing(speakers):
    n1, = speakers(10, objects=bgp_pools())
    n1.speaker.do("route('172.16.0.0/12', '192.168.10.50')", "route('172.32.0.0/16', '192.168.10.50')", "end()")
    wait_hops(n1, "172.32.0.0/16", "192.168.10.50")
    restart_role(n1)
    n1.speaker.do("garbage()", "route('172.16.0.0/12', '192.168.10.50')", "end()", "route('10.7.0.0/16', '192.168.10.50')")
    wait_hops(n1, "10.7.0.0/16", "192.168.10.50")
    assert hops(n1, "172.32.0.0/16")
    # It takes the list again, and believes that one.
    wait_for(lambda: n1.speaker.notes().count(["joined"]) == 3, 10)
    n1.speaker.do("route('172.16.0.0/12', '192.168.10.50')", "end()")
    wait_hops(n1, "172.32.0.0/16")
    wait_hops(n1, "10.7.0.0/16")
    wait_hops(n1, "172.16.0.0/12", "192.168.10.50")


def test_pods_reach_each_other_by_the_tunnel(speakers, world):
    """A next hop that is a node is reached by the pool's mode, over a router that knows no pod."""
    n1, n2 = speakers(10, 20, objects=bgp_pools("VXLAN"))
    p, q = world.pod(n1, "p"), world.pod(n2, "q")
    assert not ping(p.ns, q.ip(4), wait=0.5)
    for a, b in ((n1, n2), (n2, n1)):
        for d, r in {**b.routes(), **b.routes(6)}.items():
            if r.get("type") == "blackhole":
                a.speaker.do(f"route('{d}', '{b.ip6 if ':' in d else b.ip4}', peer='{b.name}')")
        a.speaker.do("end()")
    for f in (4, 6):
        wait_ping(p.ns, q.ip(f))
    # Nothing is lost while both speakers restart.
    flow = subprocess.Popen(p.ns.argv("ping", "-n", "-q", "-i", "0.02", "-W", "1", "-c", "100", q.ip(4)),
                            stdout=subprocess.PIPE, text=True)
    restart_role(n1)
    restart_role(n2)
    assert "100 received" in flow.communicate(timeout=30)[0]


# ---- what is to be told

def service(name, number, policy="Cluster", lb=None):
    s = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
         "spec": {"type": "LoadBalancer", "externalTrafficPolicy": policy, "clusterIP": f"10.96.0.{number}",
                  "clusterIPs": [f"10.96.0.{number}"], "ipFamilies": ["IPv4"], "externalIPs": [f"198.51.100.{number}"],
                  "ports": [{"port": 80, "targetPort": 8080, "nodePort": 30200 + number}]}}
    if lb:
        s["status"] = {"loadBalancer": {"ingress": [{"ip": lb}]}}
    return s


def endpoint(name, node, ready=True):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": f"{name}-1", "namespace": "default", "labels": {"kubernetes.io/service-name": name}},
            "ports": [{"port": 8080, "protocol": "TCP"}],
            "endpoints": [{"addresses": ["10.244.0.9"], "nodeName": node,
                           "conditions": {"ready": ready, "serving": ready, "terminating": False}}]}


def configuration(**spec):
    return {"apiVersion": "fairlead.io/v1", "kind": "BGPConfiguration", "metadata": {"name": "default"}, "spec": spec}


def test_origins(speakers, store):
    cidr = lambda *v: [{"cidr": c} for c in v]  # noqa: E731
    n1, = speakers(10, objects=[*bgp_pools(), service("web", 1, lb="203.0.113.1"),
                                service("near", 2, "Local", lb="203.0.113.2"), endpoint("near", "n2")])
    n1.speaker.wait("origins", False)
    assert n1.speaker.origins() == {}
    told_is = lambda want: wait_for(lambda: n1.speaker.origins() == want, 5,  # noqa: E731
                                    f"{want}, not {n1.speaker.origins()}")
    web, near = "Service/default/web", "Service/default/near"
    store.apply(configuration(serviceLoadBalancerIPs=cidr("203.0.113.0/24")))
    told_is({"203.0.113.1/32": web})
    store.apply(configuration(serviceLoadBalancerIPs=cidr("203.0.113.0/24"), serviceClusterIPs=cidr("10.96.0.0/12"),
                              serviceExternalIPs=cidr("198.51.100.0/31")))
    told_is({"203.0.113.1/32": web, "10.96.0.1/32": web, "198.51.100.1/32": web})
    # Local: while an endpoint is ready here.
    store.apply(endpoint("near", "n1"))
    both = {"203.0.113.1/32": web, "10.96.0.1/32": web, "198.51.100.1/32": web, "203.0.113.2/32": near, "10.96.0.2/32": near}
    told_is(both)
    store.apply(endpoint("near", "n1", ready=False))
    told_is({p: of for p, of in both.items() if of == web})
    store.apply(endpoint("near", "n1"))
    told_is(both)
    # Either side that comes anew hears all of it, once.
    n1.restart_agent()
    wait_for(lambda: n1.speaker.notes()[-1] == ["origins", False], 10)
    told_is(both)
    new = restart_role(n1)
    n1.speaker.wait("origins", False, pid=new)
    assert n1.speaker.origins(new) == both
    assert len([r for r in n1.speaker.notes(new) if r[0] == "origin"]) == len(both)
    # A node that load balancers pass by tells none, and one that lost its configuration.
    node = n1.object()
    node["metadata"]["labels"] = {"node.kubernetes.io/exclude-from-external-load-balancers": ""}
    store.apply(node)
    told_is({})
    store.apply(n1.object())
    told_is(both)
    store.delete(configuration())
    told_is({})
