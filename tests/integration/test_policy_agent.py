# SPDX-License-Identifier: Apache-2.0
"""NetworkPolicies in the life of a node: connections that live when something changes, agents that die,
rulesets that somebody flushes, stores that are away, pods whose addresses nobody wrote down yet. What
policies mean is test_policies.py's."""
import ipaddress
import itertools
import json
import os
import re
import select
import signal
import socket
import subprocess

import pytest

from agent_world import Cni, pod_object, pools, world  # noqa: F401
from conntrack import inside
from harness import built, needs, wait_for
from roles import status_of
from test_snapshot import kill_everything, lose, snapshot

PORT = 8080

# Holds connections to ADDRESS: of each word that it reads it says whether something came back within
# a second. tcp, udp, icmp: an answer to what it sends; push: what the server sends by itself.
HOLD = """
import os, socket, struct, sys
ip, port = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if ":" in ip else socket.AF_INET
def made(kind, proto=0, port=port):
    s = socket.socket(family, kind, proto)
    s.settimeout(5)
    s.connect((ip, port))
    s.settimeout(1)
    return s
v6 = family == socket.AF_INET6
held = {"tcp": made(socket.SOCK_STREAM), "udp": made(socket.SOCK_DGRAM), "push": made(socket.SOCK_STREAM, port=port + 1),
        "icmp": made(socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP, 0)}
echo = struct.pack("!BBHHH", 128, 0, 0, os.getpid() & 65535, 1) if v6 else None
if not v6:
    head = struct.pack("!BBHHH", 8, 0, 0, os.getpid() & 65535, 1)
    total = sum(struct.unpack("!4H", head))
    total = (total >> 16) + (total & 65535)
    echo = head[:2] + struct.pack("!H", ~total & 65535) + head[4:]
def said(name):
    s = held[name]
    try:
        if name == "push":
            s.setblocking(False)
            try:
                while s.recv(65536):
                    pass
            except BlockingIOError:
                pass
            s.settimeout(1)
        else:
            s.send(echo if name == "icmp" else b"x")
        while True:
            got = s.recv(65536)
            if name != "icmp" or got[0 if v6 else (got[0] & 15) * 4] == (129 if v6 else 0):
                return bool(got)
    except OSError:
        return False
print("held", flush=True)
for line in sys.stdin:
    print("yes" if said(line.strip()) else "no", flush=True)
"""

# The other end: echoes TCP and UDP at PORT, sends without being asked at PORT + 1.
SINK = """
import socket, sys, threading, time
port = int(sys.argv[1])
u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
u.bind(("::", port))
def each(server, fn):
    while True:
        c = server.accept()[0]
        threading.Thread(target=fn, args=(c,), daemon=True).start()
def echo(c):
    while data := c.recv(99):
        c.sendall(data)
def push(c):
    while True:
        c.sendall(b"x")
        time.sleep(0.01)
def udp():
    while True:
        data, a = u.recvfrom(99)
        u.sendto(data, a)
for offset, fn in ((0, echo), (1, push)):
    t = socket.create_server(("::", port + offset), family=socket.AF_INET6, dualstack_ipv6=True)
    threading.Thread(target=each, args=(t, fn), daemon=True).start()
print("up", flush=True)
udp()
"""
ALL = ("tcp", "udp", "push", "icmp")


class Held:
    """Connections that stay open, from a pod to an address."""

    def __init__(self, ns, ip, port=PORT):
        self.p = subprocess.Popen(ns.argv("python3", "-c", HOLD, ip, port), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  text=True, bufsize=1)
        assert self.p.stdout.readline() == "held\n"

    def live(self, *which):
        """Those of `which` that are answered."""
        out = set()
        for name in which or ALL:
            self.p.stdin.write(name + "\n")
            if self.p.stdout.readline() == "yes\n":
                out.add(name)
        return out

    def close(self):
        self.p.kill()
        self.p.wait()
        self.p.stdin.close()
        self.p.stdout.close()


@pytest.fixture
def hold():
    made = []

    def make(*a):
        made.append(Held(*a))
        return made[-1]
    yield make
    for h in made:
        h.close()


def namespace(name, **labels):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def policy(name, pods=None, ns="x", on_change=None, **spec):
    meta = {"name": name, "namespace": ns, **({"annotations": {"fairlead.io/on-change": on_change}} if on_change else {})}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta,
            "spec": {"podSelector": {"matchLabels": pods or {}}, **spec}}


def peers(**labels):
    return [{"podSelector": {"matchLabels": labels}}]


def run(world, node, name, ns="x", cni=None, **labels):  # noqa: F811
    """A pod with its object."""
    world.store.apply(pod_object(name, node.name, ns, labels=labels))
    p = world.pod(node, name, cni=cni or node.cni, args={"K8S_POD_NAMESPACE": ns, "K8S_POD_NAME": name})
    p.object = lambda **labels: pod_object(name, node.name, ns, labels=labels)
    return p


def serve(start, p):
    start(["python3", "-c", SINK, PORT], ns=p.ns).wait_log("up")


def connects(ns, ip, port=PORT, wait=0.5):
    """A new connection: the handshake alone."""
    r = ns.run("python3", "-c", f"import socket; socket.create_connection(('{ip}', {port}), {wait})", check=False)
    return r.returncode == 0


def entries(node, ip, port=PORT):
    """Lines of the node's connection table of clients of this port of this address."""
    with inside(node.ns), open("/proc/thread-self/net/nf_conntrack") as f:
        return [x for x in f if f"dport={port} " in x and re.search(rf"dst={re.escape(long(ip))} ", x)]


def long(ip):
    return ipaddress.ip_address(ip).exploded


def service(name, cluster_ip, ip, family):
    ports = [{"name": n, "port": p, "protocol": t} for n, p, t in
             (("echo", PORT, "TCP"), ("push", PORT + 1, "TCP"), ("dgram", PORT, "UDP"))]
    return [{"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "x"},
             "spec": {"clusterIP": cluster_ip, "clusterIPs": [cluster_ip], "ipFamilies": [f"IPv{family}"], "ports": ports}},
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": f"IPv{family}",
             "metadata": {"name": name, "namespace": "x", "labels": {"kubernetes.io/service-name": name}}, "ports": ports,
             "endpoints": [{"addresses": [ip], "conditions": {"ready": True}}]}]


# ---- connections that live

@pytest.fixture
def shop(world, start):  # noqa: F811
    """One node; a client and a friend of one server."""
    n1, = world.up(10)
    world.store.apply(namespace("x"))
    world.server, world.client, world.friend = (run(world, n1, name, app=name) for name in ("server", "client", "friend"))
    serve(start, world.server)
    return world


def deny(**kw):
    return policy("deny", {"app": "server"}, ingress=[{"from": peers(app="friend")}], **kw)


@pytest.mark.parametrize("family", [4, 6])
def test_what_is_forbidden_is_cut(shop, hold, family):
    """Direct or through a Service, whatever it is made of, by whichever end; the friend's, and what goes
    elsewhere, are not touched."""
    node, ip = shop.nodes[0], shop.server.ip(family)
    front = {4: "10.96.0.10", 6: "fd00:10:96::10"}[family]
    shop.store.apply(*service("front", front, ip, family), wait=20)
    direct, translated, friend = hold(shop.client.ns, ip), hold(shop.client.ns, front), hold(shop.friend.ns, ip)
    back = hold(shop.server.ns, ip)  # with itself
    for h in (direct, friend, back):
        assert h.live() == set(ALL)
    assert translated.live("tcp", "udp", "push") == {"tcp", "udp", "push"}
    assert len(entries(node, ip)) == 4 and len(entries(node, front)) == 2
    shop.store.apply(deny(), wait=20)
    wait_for(lambda: len(entries(node, ip)) + len(entries(node, front)) == 2, 10, "the entries of the client are gone")
    assert direct.live() == set() and translated.live("tcp", "udp", "push") == set()
    assert not connects(shop.client.ns, ip) and not connects(shop.client.ns, front)
    assert direct.live("push") == set(), "the server's own segments open nothing"
    assert friend.live() == set(ALL) and back.live() == set(ALL)
    assert connects(shop.friend.ns, ip)
    log = node.keeper.program.log()
    assert re.search(r"conntrack: tcp \S+ > \S+ > \S+, Pod x/server, ingress: default deny by x/deny: deleted", log)
    assert re.search(r"conntrack: icmp \S+ > \S+, Pod x/server, ingress: default deny by x/deny: deleted", log)
    assert re.search(r"policy: ingress denied: tcp x/server \S+ > x/client \S+: in the middle of a connection that no longer is, by x/deny$",
                     log, re.M), "what the server pushed"
    assert not [x for x in entries(node, ip) if long(shop.client.ip(family)) in x], "not made anew by the other end"
    shop.store.delete(deny(), wait=20)
    assert connects(shop.client.ns, ip)


@needs("strace")
def test_looks_open_no_sockets(shop, hold, scratch):
    """While one of nftables' family is closed, the kernel lets nobody change the ruleset, up to 100 ms."""
    trace = scratch / "sockets"
    for again in (False, True):
        held = hold(shop.client.ns, shop.server.ip(4))
        if again:
            agent = str(shop.nodes[0].keeper.pid("agent"))
            tracer = subprocess.Popen(["strace", "-f", "-qq", "-p", agent, "-o", trace, "-e", "trace=socket,socketpair"])
            wait_for(lambda: status_of(agent)["TracerPid"] != "0")
        shop.store.apply(deny(), wait=20)
        wait_for(lambda: held.live("tcp") == set(), 10, "it is cut")
        shop.store.delete(deny(), wait=20)
    tracer.terminate()
    tracer.wait()
    assert "socketpair(" in trace.read_text() and "NETLINK_NETFILTER" not in trace.read_text()


def test_grandfathered(shop, hold):
    """Lives on until it ends, and nothing new begins; unless one of the policies that isolate says otherwise."""
    ip = shop.server.ip(4)
    held = hold(shop.client.ns, ip)
    assert held.live() == set(ALL)
    shop.store.apply(deny(on_change="grandfather"), wait=20)
    assert not connects(shop.client.ns, ip) and connects(shop.friend.ns, ip)
    assert held.live() == set(ALL)
    other = policy("other", {"app": "server"}, ingress=[{"from": peers(app="client")}])
    shop.store.apply(other, wait=20)
    assert connects(shop.client.ns, ip)
    shop.store.delete(other, wait=20)
    assert not connects(shop.client.ns, ip) and held.live() == set(ALL)
    shop.store.apply(other, wait=20)
    shop.store.apply(policy("other", {"app": "server"}, ingress=[{"from": peers(app="nobody")}]), wait=20)
    wait_for(lambda: held.live("tcp") == set(), 10, "it is cut")
    assert held.live() == set()


@pytest.mark.parametrize("family, on_change", [(4, "enforce"), (6, None)])
def test_strict_from_now_on(shop, hold, family, on_change):
    """What was grandfathered is cut when the policy no longer says so, of which nothing but its annotation changed."""
    ip = shop.server.ip(family)
    held, friend = hold(shop.client.ns, ip), hold(shop.friend.ns, ip)
    assert held.live() == friend.live() == set(ALL)
    shop.store.apply(deny(on_change="grandfather"), wait=20)
    assert not connects(shop.client.ns, ip) and held.live() == set(ALL)
    shop.store.apply(deny(on_change=on_change), wait=20)
    wait_for(lambda: held.live("tcp") == set(), 10, "it is cut")
    assert held.live() == set() and friend.live("tcp", "push") == {"tcp", "push"}


def test_grandfathered_by_configuration(world, start, hold):  # noqa: F811
    n1, = world.up(10, policy_on_change="grandfather")
    server, client = run(world, n1, "server", app="server"), run(world, n1, "client", app="client")
    serve(start, server)
    held = hold(client.ns, server.ip(6))
    assert held.live() == set(ALL)
    world.store.apply(deny(), wait=20)
    assert not connects(client.ns, server.ip(6)) and held.live() == set(ALL)
    world.store.apply(policy("strict", {"app": "client"}, on_change="enforce", policyTypes=["Egress"]), wait=20)
    wait_for(lambda: held.live("tcp") == set(), 10, "it is cut")


def test_labels_and_namespaces_decide_at_once(shop, hold):
    """Every change counts when apply --wait returns: for new connections, and for those that live."""
    ip, client, ticks = shop.server.ip(4), shop.client, itertools.count()

    def relabel(p, **labels):
        """And waits for the nodes; nobody makes these pods Ready."""
        shop.store.apply(p.object(**labels))
        shop.store.apply(namespace("tick", n=str(next(ticks))), wait=20)
    rules = [{"from": [{"namespaceSelector": {"matchLabels": {"team": "a"}}, "podSelector": {"matchLabels": {"role": "in"}}}]}]
    shop.store.apply(policy("p", {"app": "server"}, ingress=rules), wait=20)
    assert not connects(client.ns, ip)
    shop.store.apply(namespace("x", team="a"), wait=20)
    assert not connects(client.ns, ip)
    for _ in range(3):
        relabel(client, role="in")
        assert connects(client.ns, ip)
        held = hold(client.ns, ip)
        relabel(client, role="out")
        assert not connects(client.ns, ip)
        wait_for(lambda: held.live("tcp", "udp") == set(), 10, "cut with the label")
    relabel(client, role="in")
    held = hold(client.ns, ip)
    shop.store.apply(namespace("x", team="b"), wait=20)
    assert not connects(client.ns, ip)
    wait_for(lambda: held.live("tcp", "udp") == set(), 10, "cut with the namespace's label")
    relabel(shop.server, app="other")  # no longer the policy's
    assert connects(client.ns, ip)
    shop.store.apply(policy("p", {"app": "other"}, ns="y", policyTypes=["Ingress"]), wait=20)
    assert connects(client.ns, ip), "another namespace's"


# ---- across nodes

@pytest.mark.parametrize("attachment", ["routed", "bridge"])
def test_a_new_pod_is_known_everywhere(world, start, attachment):  # noqa: F811
    """Nobody writes its status here: the nodes tell each other what addresses it got. Nodes are judged as
    addresses, but for the pod's own."""
    n1, n2 = world.up(10, 10, objects=pools("Direct"))
    cnis = {n: Cni(n.ns, n.keeper.cni_sock, network="net", attachment=attachment) for n in (n1, n2)}
    world.store.apply(namespace("x"), policy("deny", {"app": "server"}, ingress=[{"from": peers(role="in")}]), wait=20)
    server = run(world, n1, "server", cni=cnis[n1], app="server")
    serve(start, server)
    for family in (4, 6):
        for node in (n1, n2):
            name = f"{node.name}-{family}"
            out = run(world, node, f"out-{name}", cni=cnis[node], role="out")
            p = run(world, node, f"in-{name}", cni=cnis[node], role="in")
            wait_for(lambda: connects(p.ns, server.ip(family)), 5, f"{name} is let in")
            assert not connects(out.ns, server.ip(family))
        assert connects(n1.ns, server.ip(family)), "its own node"
        assert not connects(n2.ns, server.ip(family)), "another one"
    blocks = [{"ipBlock": {"cidr": f"{n2.ip4}/32"}}, {"ipBlock": {"cidr": f"{n2.ip6}/128"}}]
    world.store.apply(policy("node", {"app": "server"}, ingress=[{"from": blocks}]), wait=20)
    assert connects(n2.ns, server.ip(4)) and connects(n2.ns, server.ip(6))


# ---- agents that die, rules that others take away

def rules(node, *flags):
    return node.ns.run("nft", *flags, "list", "table", "inet", "fairlead", check=False).stdout


def ruleset(node):
    """All of it but handles and counters, elements sorted, as the kernel has them in no order."""
    def plain(x):
        if isinstance(x, dict):
            return {k: plain(v) for k, v in x.items() if k not in ("handle", "packets", "bytes", "elem")} | \
                ({"elem": sorted(json.dumps(plain(e)) for e in x["elem"])} if "elem" in x else {})
        return [plain(v) for v in x] if isinstance(x, list) else x
    text = rules(node, "-s", "-j")
    return sorted(json.dumps(plain(o)) for o in json.loads(text)["nftables"]) if text else None


def policed(node):
    """The part of the ruleset that policies make, with handles, which tell what was made anew."""
    text = re.sub(r"packets \d+ bytes \d+|expires \S+|\n}", "", rules(node, "-a"))
    blocks = re.split(r"\n(?=\t(?:map|set|chain) )", text)
    return {b.split()[1]: b for b in blocks if "ingress" in b or "egress" in b or re.match(r"\s*set (pods|blocks|named|ports)", b)}


class Storm:
    """Datagrams from a pod, as many as it can, for as long as the block runs."""

    FLOOD = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print("up", flush=True)
while True:
    for _ in range(20):
        s.sendto(b"x", (sys.argv[1], 9))
    time.sleep(0.002)
"""

    def __init__(self, start, src, dst, ip):
        with inside(dst.ns):
            self.eye = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.eye.bind((ip, 9))
        self.eye.setblocking(False)
        self.flood = start(["python3", "-c", self.FLOOD, ip], ns=src.ns)
        self.flood.wait_log("up")

    def got(self):
        """Since the last time: at most a thousand, which is more than the socket holds, as a storm that passes has no end."""
        n = 0
        while n < 1000 and select.select([self.eye], [], [], 0)[0]:
            self.eye.recv(9)
            n += 1
        return n

    def close(self):
        self.flood.stop(signal.SIGKILL)
        self.eye.close()


def test_no_window_when_agents_die(shop, start, hold):
    """kill -9 of the agent and of all roles: the rules stay what they were, handle by handle, and not one
    forbidden datagram passes."""
    node, ip = shop.nodes[0], shop.server.ip(4)
    storm = Storm(start, shop.client, shop.server, ip)
    wait_for(lambda: storm.got() > 100, 10, "it would be seen")
    shop.store.apply(deny(), wait=20)
    wait_for(lambda: not entries(node, ip, 9), 10, "the flow is cut")
    storm.got()
    held, before = hold(shop.friend.ns, ip), policed(node)
    assert any("x/deny" in b for b in before.values())
    for _ in range(3):
        node.restart_agent()
        wait_for(lambda: shop.store.apply(namespace("z"), wait=20), 20)
        assert policed(node) == before
    kill_everything(shop, node)
    node.wait_serving()
    shop.store.apply(namespace("zz"), wait=20)
    assert policed(node) == before
    assert storm.got() == 0 and held.live() == set(ALL)
    # what went while no agent ran
    os.kill(node.keeper.program.proc.pid, signal.SIGKILL)
    node.keeper.program.wait()
    shop.store.delete(deny())
    node.keeper.program = shop.start([built("bin/fairleadd"), "--config", node.keeper.conf], ns=node.ns)
    wait_for(lambda: storm.got() > 0, 20, "nothing forbids it any more")
    assert not any("x/deny" in b for b in policed(node).values())
    storm.close()


def test_what_changed_while_no_agent_ran_is_cut(shop, hold):
    node, ip = shop.nodes[0], shop.server.ip(4)
    held, friend = hold(shop.client.ns, ip), hold(shop.friend.ns, ip)
    assert held.live() == set(ALL)
    os.kill(node.keeper.program.proc.pid, signal.SIGKILL)
    node.keeper.program.wait()
    shop.store.apply(deny())
    node.keeper.program = shop.start([built("bin/fairleadd"), "--config", node.keeper.conf], ns=node.ns)
    wait_for(lambda: held.live("tcp") == set(), 20, "it is cut")
    assert held.live() == set() and friend.live() == set(ALL)


def test_a_flush_is_repaired(shop):
    node, ip = shop.nodes[0], shop.server.ip(4)
    shop.store.apply(deny(), wait=20)
    assert not connects(shop.client.ns, ip)
    before = ruleset(node)
    for harm in (["flush", "ruleset"], ["delete", "table", "inet", "fairlead"]):
        node.ns.run("nft", *harm)
        wait_for(lambda: ruleset(node) == before, 10, "all is back")
        assert not connects(shop.client.ns, ip) and connects(shop.friend.ns, ip)
    with_sets = [n for n in policed(node) if n.startswith("policy_ingress4")]
    assert with_sets
    node.ns.run("nft", "flush", "map", "inet", "fairlead", with_sets[0])
    wait_for(lambda: ruleset(node) == before, 10, "the pod is isolated again")
    assert not connects(shop.client.ns, ip)


# ---- without a store

def test_a_store_that_is_away(shop, start):
    """New agents leave what is enforced as it is; a pod that starts is isolated by what was kept, others' rules know it, and
    when it ends nothing of it stays."""
    node, ip = shop.nodes[0], shop.server.ip(4)
    shop.store.apply(deny(), wait=20)
    labels = {"db": "server", "mate": "friend", "free": "none"}
    shop.store.apply(*(pod_object(name, "n1", "x", labels={"app": app}) for name, app in labels.items()))
    wait_for(lambda: all(x in snapshot(node.keeper).read_bytes() for x in (b"deny", b"db", b"mate", b"free")), 10)
    before = policed(node)
    give_back = lose(shop.store)
    kill_everything(shop, node)
    node.wait_serving()
    assert policed(node) == before and not connects(shop.client.ns, ip) and connects(shop.friend.ns, ip)
    db, mate, free = (shop.pod(node, name, args={"K8S_POD_NAMESPACE": "x", "K8S_POD_NAME": name}) for name in labels)
    serve(start, db)
    assert all(f"{x} : jump" in rules(node) for x in db.ips)
    for family in (4, 6):
        for p in (shop.server, db):
            assert connects(mate.ns, p.ip(family)) and not connects(free.ns, p.ip(family)), (p.container, family)
        assert connects(shop.friend.ns, db.ip(family)) and not connects(shop.client.ns, db.ip(family))
    for p in (mate, db):
        assert p.delete() == (0, None)
        assert not any(re.search(rf"(?<![\w:.]){re.escape(x)}(?![\w:.])", rules(node)) for x in p.ips)
    assert policed(node) == before
    give_back()
    shop.store.apply(namespace("tick"), wait=20)
    assert policed(node) == before


def with_roles(shop, roles):
    """Another keeper, with these roles alone."""
    node = shop.nodes[0]
    os.kill(node.keeper.program.proc.pid, signal.SIGKILL)
    node.keeper.program.wait()
    text = re.sub(r"(?m)^roles .*", f"roles {roles}", node.keeper.conf.read_text())
    node.keeper.conf.write_text(text)
    node.keeper.program = shop.start([built("bin/fairleadd"), "--config", node.keeper.conf], ns=node.ns)


def test_what_was_kept_may_be_older_or_newer(shop, start):
    """It counts for pods that start by then, and for nobody else."""
    node, ip = shop.nodes[0], shop.server.ip(4)
    args = {name: {"K8S_POD_NAMESPACE": "x", "K8S_POD_NAME": name} for name in ("db", "late")}
    shop.store.apply(pod_object("db", "n1", "x", labels={"app": "server"}), pod_object("late", "n1", "x", labels={"app": "late"}))
    wait_for(lambda: b"late" in snapshot(node.keeper).read_bytes(), 10)
    old = snapshot(node.keeper).read_bytes()
    shop.store.apply(deny(), wait=20)
    wait_for(lambda: b"deny" in snapshot(node.keeper).read_bytes(), 10)
    # While no agent runs watch hears of one more policy.
    with_roles(shop, "watch")
    shop.store.apply(policy("later", {"app": "late"}, policyTypes=["Ingress"]),
                     policy("open", {"app": "server"}, ingress=[{}]))
    wait_for(lambda: b"later" in snapshot(node.keeper).read_bytes() and b"open" in snapshot(node.keeper).read_bytes(), 10)
    before = policed(node)
    give_back = lose(shop.store)
    with_roles(shop, "agent watch")
    node.wait_serving()
    late = shop.pod(node, "late", args=args["late"])
    serve(start, late)
    assert not connects(shop.friend.ns, late.ip(4)) and not connects(shop.client.ns, ip) and connects(shop.friend.ns, ip)
    assert late.delete() == (0, None)
    after = policed(node)
    assert {n: after[n] for n in before} == before, "of the others nothing changed"
    # And now what is older.
    os.kill(node.keeper.program.proc.pid, signal.SIGKILL)
    node.keeper.program.wait()
    snapshot(node.keeper).write_bytes(old)
    node.keeper.program = shop.start([built("bin/fairleadd"), "--config", node.keeper.conf], ns=node.ns)
    node.wait_serving()
    db = shop.pod(node, "db", args=args["db"])
    serve(start, db)
    assert connects(shop.client.ns, db.ip(4)) and not connects(shop.client.ns, ip) and connects(shop.friend.ns, ip)
    give_back()
    shop.store.delete(policy("open", {"app": "server"}), wait=20)
    wait_for(lambda: not connects(shop.client.ns, db.ip(4)), 10, "as the store says")
    assert connects(shop.friend.ns, db.ip(4)) and not connects(shop.client.ns, ip)


NO_POD = "its Pod is not in the store"


def test_a_pod_that_was_deleted_by_force(shop, start, hold):
    """Its object is gone, it runs on: where policies of its namespace isolate anybody nothing new passes, whoever it was to
    them, now and by the next agent; what lives goes on."""
    node, ip = shop.nodes[0], shop.server.ip(4)
    serve(start, shop.client)
    for what in ("udp_timeout", "udp_timeout_stream", "icmp_timeout"):
        node.ns.sysctl(f"net.netfilter.nf_conntrack_{what}", 600)
    held = hold(shop.friend.ns, ip)
    assert held.live() == set(ALL)
    shop.store.delete(shop.server.object(), wait=20)
    assert connects(shop.client.ns, ip), "no policy isolates anybody"
    shop.store.apply(deny(), wait=20)
    for _ in range(2):
        for family in (4, 6):
            assert not connects(shop.friend.ns, shop.server.ip(family)), family
            assert connects(shop.friend.ns, shop.client.ip(family)) and connects(node.ns, shop.server.ip(family))
        assert connects(shop.server.ns, shop.client.ip(4)), "the other direction"
        assert held.live() == set(ALL)
        assert f'comment "{NO_POD}"' in rules(node) and "x/deny" not in rules(node)
        wait_for(lambda: re.search(rf"policy: ingress denied: tcp x/friend .* > x/server {ip}:{PORT}: {NO_POD}", node.keeper.program.log()), 10)
        why = shop.store.fairlead("why", "x/friend", f"{ip}:{PORT}", check=False)
        assert why.returncode == 1 and NO_POD in why.stdout, why
        kill_everything(shop, node)
        node.wait_serving()
        shop.store.apply(namespace("tick"), wait=20)
    # As somebody that others let in it is gone, too.
    shop.store.apply(shop.server.object(app="server"))
    wait_for(lambda: connects(shop.friend.ns, ip), 10)
    shop.store.delete(shop.friend.object())
    wait_for(lambda: not connects(shop.friend.ns, ip), 10)
    assert shop.server.delete() == (0, None) and shop.friend.delete() == (0, None)
    assert not re.search(rf"(?<![\w:.]){re.escape(ip)}(?![\w:.])", rules(node))


def test_a_pod_that_ends_leaves_nothing(shop):
    node = shop.nodes[0]
    shop.store.apply(deny(), wait=20)
    before = ruleset(node)
    p = run(shop, node, "late", app="server")
    assert all(f"{ip} : jump" in rules(node) for ip in p.ips), "isolated when ADD answers"
    friend = run(shop, node, "late-friend", app="friend")
    assert all(re.search(rf"\b{re.escape(ip)}\b", "".join(b for n, b in policed(node).items() if n.startswith("pods")))
               for ip in friend.ips), "let in when ADD answers"
    for q in (p, friend):
        assert q.delete() == (0, None)
        assert not any(re.search(rf"(?<![\w:.]){re.escape(ip)}(?![\w:.])", rules(node)) for ip in q.ips)
    assert ruleset(node) == before
