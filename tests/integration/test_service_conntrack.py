# SPDX-License-Identifier: Apache-2.0
"""Flows of UDP and SCTP whose clients keep their ports, when what they lead to changes: each scenario sends
real packets from one port of its own before and after, and reads from the kernel's table what is left.
The Services have no selectors: the endpoints are what a test says, and the pods behind them go on
answering, so that a flow that follows a stale entry is seen to arrive where it should not."""
import json
import os
import re
import signal
import subprocess
from types import SimpleNamespace

import pytest

from harness import SEND_FRAMES, built, wait_for
from roles import get
from test_lab_life import RUN
from test_services import FAMILIES, NODES, agent_of, answered, at, cluster_ip, ips, pod, write

OPEN = (("dns", 8053, "UDP"), ("http", 8080, "TCP"))
PORTS = [{"name": "dns", "port": 53, "targetPort": 8053, "protocol": "UDP"}]


def service(name, **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "x"},
            "spec": {"ipFamilyPolicy": "PreferDualStack", "ports": PORTS, **spec}}


@pytest.fixture(scope="module")
def world(module_lab, tmp_path_factory):
    objects = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}},
               *(pod(name, node, name, OPEN) for name, node in
                 (("s1", "n1"), ("s2", "n2"), ("client", "n1"), ("other", "n2")))]
    path = write(tmp_path_factory.mktemp("m") / "m.yaml", objects)
    a = module_lab("--nodes", 2, "--racks", 1, "--mode", "direct", manifests=[path])
    a.ports = iter(range(4700, 4900))
    return a


class Front:
    """One Service, whose endpoints are set by the test, and a client in front of it."""

    def __init__(self, a, tmp_path, name, proto="udp", **spec):
        self.a, self.name, self.proto, self.path = a, name, proto, tmp_path / f"{name}.yaml"
        self.target = 8080 if proto == "tcp" else 8053
        self.spec = {**spec, "ports": [{**p, "protocol": proto.upper()} for p in spec.get("ports", PORTS)]}

    def apply(self, *objects):
        write(self.path, objects)
        self.a.store("apply", "-f", str(self.path), "--wait=20")

    def create(self):
        self.apply(service(self.name, **self.spec))

    def delete(self):
        self.a.store("delete", "service", self.name, "-n", "x", "--wait=20")

    def slices(self, *pods, **conditions):
        return [{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": f"IPv{family}",
                 "metadata": {"name": f"{self.name}-{family}", "namespace": "x",
                              "labels": {"kubernetes.io/service-name": self.name}},
                 "ports": [{"name": "dns", "port": self.target, "protocol": self.proto.upper()}],
                 "endpoints": [{"addresses": [ips(self.a, p, family)], "nodeName": {"s1": "n1", "s2": "n2"}[p],
                                "conditions": {"ready": True, **conditions}} for p in pods]}
                for family in FAMILIES]

    def lead_to(self, *pods, **conditions):
        self.apply(*self.slices(*pods, **conditions))

    def address(self, family):
        return cluster_ip(self.a, self.name, family)


def send(a, source, source_ip, port, ip, to=53, proto="udp"):
    """One datagram from this very port. The pods that answered, or what became of it."""
    got = a.probe(source, at(ip, to), "--proto", proto, "--source", at(source_ip, port), "--timeout", 500)
    return answered(got) or {k for k, n in got["results"].items() if n}


class Flow:
    """A client that keeps its port."""

    def __init__(self, a, source, source_ip, ip, to=53, proto="udp", node="n1"):
        self.args = (a, source, source_ip, next(a.ports), ip, to, proto)
        self.a, self.node, self.port, self.proto = a, node, self.args[3], proto

    def send(self):
        return send(*self.args)

    def entries(self):
        """Where its entries on its node lead, with their ids."""
        r = self.a.node(self.node, built("../tests/integration/helpers/ct"), "list", self.proto)
        lines = [x for x in r.stdout.splitlines() if re.search(rf"[ \]:.\w]:{self.port} > ", x)]
        return sorted(x.partition(" status ")[0] for x in lines)

    def is_cut(self):
        wait_for(lambda: not self.entries(), 10, f"port {self.port}: no entry is left")


def from_pod(front, family, name="client"):
    return Flow(front.a, f"x/{name}", ips(front.a, name, family), front.address(family), proto=front.proto,
                node="n1" if name == "client" else "n2")


@pytest.fixture
def front(world, tmp_path, request):
    made = []

    def make(name, **kw):
        made.append(Front(world, tmp_path, name, **kw))
        return made[-1]
    yield make
    for f in made:
        world.store("delete", "service", f.name, "-n", "x", check=False)
        for family in FAMILIES:
            world.store("delete", "endpointslice", f"{f.name}-{family}", "-n", "x", check=False)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_endpoint_and_back(front, family):
    """kubernetes#139628: scaled to nothing, the flow is refused and not sent to the dead for hours; scaled up
    again, it reaches the new one, though the client never paused."""
    f = front(f"zero{family}")
    f.create()
    f.lead_to("s1")
    flow = from_pod(f, family)
    assert flow.send() == {"x/s1"} and len(flow.entries()) == 1
    assert flow.send() == {"x/s1"} and len(flow.entries()) == 1
    f.lead_to()
    flow.is_cut()
    assert flow.send() == {"refused"}
    f.lead_to("s2")
    wait_for(lambda: flow.send() == {"x/s2"}, 10, "the new endpoint")
    assert len(flow.entries()) == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_service_gone(front, family):
    """kubernetes#141371: what was a deleted Service's does not go on reaching a pod that has the address now."""
    f = front(f"gone{family}")
    f.create()
    f.lead_to("s1")
    flow, direct = from_pod(f, family), Flow(f.a, "x/client", ips(f.a, "client", family), ips(f.a, "s1", family), 8053)
    assert flow.send() == {"x/s1"} and direct.send() == {"x/s1"}
    kept = direct.entries()
    assert len(kept) == 1
    f.delete()
    flow.is_cut()
    assert flow.send() == {"timeout"}
    assert direct.entries() == kept, "a flow to the pod itself is nobody else's"


@pytest.mark.parametrize("family", FAMILIES)
def test_endpoint_replaced(front, family):
    """kubernetes#19029: only the flows of the endpoint that went are cut. One that terminates and still
    serves keeps its flows for as long as it does."""
    f = front(f"replaced{family}")
    f.create()
    f.lead_to("s1")
    old = from_pod(f, family)
    assert old.send() == {"x/s1"}
    f.lead_to("s2")
    old.is_cut()
    assert old.send() == {"x/s2"}
    flows = [from_pod(f, family) for _ in range(3)] + [from_pod(f, family, "other")]
    assert all(x.send() == {"x/s2"} for x in flows)
    entries = [x.entries() for x in flows]
    assert all(len(x) == 1 for x in entries)
    f.lead_to("s1", "s2")
    f.lead_to("s2", ready=False, serving=True, terminating=True)
    f.lead_to("s1", "s2", ready=False, serving=True, terminating=True)
    new = from_pod(f, family)
    assert new.send() <= {"x/s1", "x/s2"}
    assert [x.entries() for x in flows] == entries and all(x.send() == {"x/s2"} for x in flows)
    f.lead_to("s1", ready=False, serving=False, terminating=True)
    for x in flows:
        x.is_cut()
        assert x.send() == {"refused"}


@pytest.mark.parametrize("family", FAMILIES)
def test_local_endpoint_replaced(front, family):
    """Where only the node's own endpoints count, for a pod and for the node itself."""
    f = front(f"mine{family}", internalTrafficPolicy="Local")
    f.create()
    f.lead_to("s1")
    flows = [from_pod(f, family), Flow(f.a, "n1", NODES["n1"][family == 6], f.address(family))]
    for x in flows:
        wait_for(lambda: x.send() == {"x/s1"}, 10, "the endpoint")
    f.lead_to("s2")  # on the other node
    for x in flows:
        x.is_cut()
        assert x.send() == {"timeout"}
    f.lead_to("s1", "s2")
    for x in flows:
        wait_for(lambda: x.send() == {"x/s1"}, 10, "the endpoint")


@pytest.mark.parametrize("family", FAMILIES)
def test_flow_older_than_the_service(front, family):
    """kubernetes#125467: packets that came before the Service was there made entries that lead past it."""
    ip = {4: "198.51.100.33", 6: "2001:db8:51::33"}[family]
    f = front(f"late{family}", externalIPs=[ip])
    flow = Flow(f.a, "x/client", ips(f.a, "client", family), ip)
    assert flow.send() == {"timeout"}
    assert [x.count(">") for x in flow.entries()] == [1], "an entry that translates nothing"
    f.create()
    f.lead_to("s1")
    wait_for(lambda: flow.send() == {"x/s1"}, 10, "the endpoint")
    assert [x.count(">") for x in flow.entries()] == [2]


@pytest.mark.parametrize("family", FAMILIES)
def test_node_port(front, family):
    """kubernetes#59368: the same of node ports, from outside; and another node port's flows stay."""
    f = front(f"np{family}", type="NodePort", ports=[{**PORTS[0], "nodePort": 30153}])
    g = front(f"stays{family}", type="NodePort", ports=[{**PORTS[0], "nodePort": 30154}])
    node = NODES["n1"][family == 6]
    outside = next(ip for ip in outside_ips(f.a) if (":" in ip) == (family == 6))
    flow, stays = (Flow(f.a, "outside", outside, node, port) for port in (30153, 30154))
    g.create()
    g.lead_to("s1")
    wait_for(lambda: stays.send() == {"x/s1"}, 10, "the other node port")
    kept = stays.entries()
    flow.send()  # nobody's, yet
    f.create()
    f.lead_to("s1")
    wait_for(lambda: flow.send() == {"x/s1"}, 10, "the endpoint")
    f.lead_to("s2")
    wait_for(lambda: flow.send() == {"x/s2"}, 10, "the other endpoint")
    f.delete()
    flow.is_cut()
    assert flow.send() != {"x/s2"}
    assert stays.entries() == kept and stays.send() == {"x/s1"}


@pytest.mark.parametrize("family", FAMILIES)
def test_node_port_of_an_address_that_no_node_object_has(front, family):
    """Rules ask the kernel what is local, and so must who looks for what they left behind."""
    f = front(f"more{family}", type="NodePort", ports=[{**PORTS[0], "nodePort": 30155}])
    more = {4: "198.51.100.55", 6: "2001:db8:55::55"}[family]
    f.a.node("n1", "ip", "addr", "add", more, "dev", "lo")
    try:
        flow = Flow(f.a, "x/client", ips(f.a, "client", family), more, 30155)
        flow.send()  # nobody's, yet
        f.create()
        f.lead_to("s1")
        wait_for(lambda: flow.send() == {"x/s1"}, 10, "the endpoint")
        f.lead_to("s2")
        wait_for(lambda: flow.send() == {"x/s2"}, 10, "the other endpoint")
        f.delete()
        flow.is_cut()
    finally:
        f.a.node("n1", "ip", "addr", "del", more, "dev", "lo")


def outside_ips(a):
    r = json.loads(a("node", "outside", "--", "ip", "-j", "addr").stdout)
    return [i["local"] for link in r for i in link["addr_info"] if i["scope"] == "global"]


@pytest.mark.parametrize("family", FAMILIES)
def test_sctp(front, family):
    f = front(f"sctp{family}", proto="sctp")
    f.a.node("n1", "sysctl", "-qw", *(f"net.netfilter.nf_conntrack_sctp_timeout_{x}=300"
                                      for x in ("closed", "cookie_wait", "cookie_echoed")))
    f.create()
    f.lead_to("s1")
    flow = from_pod(f, family)
    first = flow.send()
    assert [ips(f.a, "s1", family) in x for x in flow.entries()] == [True], first
    f.lead_to("s2")
    flow.is_cut()
    flow.send()
    assert [ips(f.a, "s2", family) in x for x in flow.entries()] == [True]


# ---- late segments

TALK = """
import socket, sys
ip, port, own = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
family = socket.AF_INET6 if ":" in ip else socket.AF_INET
sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
sniffer.bind(("eth0", 0))
sniffer.settimeout(5)
s = socket.socket(family, socket.SOCK_STREAM)
s.bind(("", own))
s.connect((ip, port))
print("connected", flush=True)
head = 14 + (40 if family == socket.AF_INET6 else 20)
sources = []
while len(sources) < 3:
    frame, where = sniffer.recvfrom(65535)
    if frame[head + 2:head + 4] == own.to_bytes(2, "big") and b"late" in frame and where[2] != 4:
        source = frame[22:38] if family == socket.AF_INET6 else frame[26:30]
        sources.append(socket.inet_ntop(family, source))
print(*sources, flush=True)
"""


def late_segment(a, client, server, port, family):
    """As the endpoint would send it; of these three at least one is long out of window, and on its lower side:
    kernels let pass what is beyond the upper."""
    from scapy.all import IP, TCP, Ether, IPv6, Raw
    link, = json.loads(a.exec("x/s1", "ip", "-j", "link", "show", "eth0").stdout)
    head = {4: IP, 6: IPv6}[family](src=server, dst=client)
    return [bytes(Ether(src=link["address"], dst="ee:ee:ee:ee:ee:ee") / head /
                  TCP(sport=8080, dport=port, flags="PA", seq=seq, ack=1) / Raw(b"late")).hex()
            for seq in (0x10000000, 0x60000000, 0xb0000000)]


@pytest.mark.parametrize("family", FAMILIES)
def test_late_segments_are_translated(front, family):
    """kubernetes#74839: to conntrack a segment far out of window is INVALID; sent on untranslated, it makes the
    client reset a healthy connection."""
    pytest.importorskip("scapy.all", reason="not installed: python3-scapy")
    f = front(f"late-tcp{family}", proto="tcp", ports=[{"name": "dns", "port": 80, "targetPort": 8080}])
    f.create()
    f.lead_to("s1")
    client, server = (ips(f.a, name, family) for name in ("client", "s1"))
    name, sources = "net.netfilter.nf_conntrack_tcp_be_liberal", []
    assert f.a.node("n1", "sysctl", "-n", name).stdout == "1\n"
    for liberal in "01":
        # What a node without fairlead has, as the control.
        f.a.node("n1", "sysctl", "-qw", f"{name}={liberal}")
        port = next(f.a.ports)
        talk = subprocess.Popen([built("bin/fairlead"), "lab", "exec", "--name", f.a.name, "x/client", "--",
                                 "/usr/bin/python3", "-c", TALK, f.address(family), "80", str(port)],
                                stdout=subprocess.PIPE, text=True)
        try:
            assert talk.stdout.readline() == "connected\n"
            f.a.exec("x/s1", "/usr/bin/python3", "-c", SEND_FRAMES, "eth0", *late_segment(f.a, client, server, port, family))
            sources.append(set(talk.stdout.readline().split()))
        finally:
            talk.kill()
            talk.communicate()
    assert server in sources[0] and sources[1] == {f.address(family)}


# ---- restart

def restart_agent(a, node, meanwhile=lambda: None):
    """The agent stops to follow the store, dies, and its successor finds the rules of before."""
    old = agent_of(a, node)
    os.kill(old, signal.SIGSTOP)
    try:
        meanwhile()
    finally:
        os.kill(old, signal.SIGKILL)
    wait_for(lambda: agent_of(a, node) not in (None, 0, old), 10, "a new agent")


@pytest.mark.parametrize("family", FAMILIES)
def test_restart_cuts_nothing(front, family):
    """kubernetes#122740: entries that still hold are the same ones after a restart, and so are those that
    are no Service's."""
    f = front(f"restart{family}")
    f.create()
    f.lead_to("s1")
    flows = [from_pod(f, family), Flow(f.a, "x/client", ips(f.a, "client", family), ips(f.a, "s2", family), 8053)]
    assert [x.send() for x in flows] == [{"x/s1"}, {"x/s2"}]
    kept = [x.entries() for x in flows]
    assert all(len(x) == 1 for x in kept)
    restart_agent(f.a, "n1")
    stale = front(f"stale{family}")  # that the new one does look
    stale.create()
    stale.lead_to("s1")
    other = from_pod(stale, family)
    assert other.send() == {"x/s1"}
    stale.lead_to("s2")
    other.is_cut()
    assert [x.entries() for x in flows] == kept and [x.send() for x in flows] == [{"x/s1"}, {"x/s2"}]


@pytest.mark.parametrize("family", FAMILIES)
def test_what_went_during_a_restart(front, family):
    """A Service that went, lost its endpoints or has others while no agent followed the store."""
    gone, zero, moved = (front(f"{name}{family}") for name in ("away", "none", "moved"))
    flows = []
    for f in (gone, zero, moved):
        f.create()
        f.lead_to("s1")
        flows.append(from_pod(f, family))
        assert flows[-1].send() == {"x/s1"}

    def meanwhile():
        objects = [o for f, pods in ((zero, []), (moved, ["s2"])) for o in f.slices(*pods)]
        write(zero.path, objects)
        zero.a.store("apply", "-f", str(zero.path), "--wait=0")
        gone.a.store("delete", "service", gone.name, "-n", "x", "--wait=0")
    restart_agent(zero.a, "n1", meanwhile)
    for flow in flows:
        flow.is_cut()
    assert [x.send() for x in flows] == [{"timeout"}, {"refused"}, {"x/s2"}]


def deleted(a, node):
    """The node's counters by reason."""
    ns = SimpleNamespace(run=lambda *argv, **kw: a.node(node, *argv, **kw))
    lines = get(ns, "/metrics")[1].splitlines()
    found = (re.match(r'fairlead_conntrack_deleted_total{because="(.*)"} (\d+)', x) for x in lines)
    return {m[1]: int(m[2]) for m in found if m}


def test_metrics_and_log(front):
    """What was taken out is counted by why, and said."""
    f = front("counted")
    f.create()
    f.lead_to("s1")
    flow = from_pod(f, 4)
    assert flow.send() == {"x/s1"}
    before = deleted(f.a, "n1")
    f.lead_to("s2")
    flow.is_cut()
    why = "what it leads to is no endpoint"
    wait_for(lambda: deleted(f.a, "n1")[why] > before[why], 10, f"it is counted, after {before}")
    log = (RUN / f.a.name / "nodes/n1/log/fairleadd.log").read_text()
    assert re.search(rf"conntrack: udp \S+:{flow.port} > .*, Service x/counted: {why}: deleted", log), log[-2000:]
