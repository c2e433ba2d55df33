# SPDX-License-Identifier: Apache-2.0
"""Nodes without a lab: network namespaces with fairleadd and a dir: store, joined by racks and a
router, and fairlead-cni called as a runtime calls it. What is judged is read by `ip`, `nft`, and
packets; nothing of fairlead's own."""
import json
import os
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest

from harness import NetNS, built, veth, wait_for

POOL4, POOL6 = "10.244.0.0/16", "fd00:244::/48"
NETWORK = "podnet"


def pool(name, cidr, mode="VXLAN", **spec):
    return {"apiVersion": "fairlead.io/v1", "kind": "IPPool", "metadata": {"name": name},
            "spec": {"cidr": cidr, "mode": mode, "natOutgoing": True, **spec}}


def pools(mode="VXLAN", **spec):
    return [pool("pool4", POOL4, mode, **spec), pool("pool6", POOL6, mode, **spec)]


def pod_object(name, node, ns="default", **more):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": ns, **more},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "none"}]}}


class Cni:
    """fairlead-cni in one node's namespace."""

    def __init__(self, ns, sock, network=NETWORK, plugin="fairlead-cni", **conf):
        self.ns, self.plugin = ns, plugin
        self.conf = {"cniVersion": "1.1.0", "name": network, "type": plugin,
                     "socket": str(sock), **conf}

    def start(self, verb, container=None, netns=None, ifname="eth0", args=None, **conf):
        env = {"PATH": os.environ["PATH"], "CNI_COMMAND": verb, "CNI_PATH": "/opt/cni/bin"}
        if container:
            env |= {"CNI_CONTAINERID": container, "CNI_IFNAME": ifname}
        if netns:
            env["CNI_NETNS"] = netns
        if args:
            env["CNI_ARGS"] = "IgnoreUnknown=1;" + ";".join(f"{k}={v}" for k, v in args.items())
        p = subprocess.Popen(self.ns.argv(built(f"bin/{self.plugin}")), stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
        p.stdin.write(json.dumps({**self.conf, **conf}))
        p.stdin.close()
        return p

    def finish(self, p, timeout=40):
        out = p.stdout.read()
        p.stderr.read()
        return p.wait(timeout), json.loads(out) if out.strip() else None

    def __call__(self, verb, *a, **kw):
        """(exit code, decoded standard output or None)"""
        return self.finish(self.start(verb, *a, **kw))


class Pod:
    """A namespace with one attachment."""

    def __init__(self, world, node, container, ns=None, ifname="eth0", cni=None, **kw):
        self.node, self.container, self.ifname = node, container, ifname
        self.cni = cni or node.cni
        self.ns = ns or world.netns(f"p-{container}")
        code, self.result = self.cni("ADD", container, self.ns.path, ifname, **kw)
        if code:
            pytest.fail(f"ADD of {container} on {node.name}: {self.result}")
        self.ips = [i["address"].split("/")[0] for i in self.result["ips"]]
        self.host_if = next(i["name"] for i in self.result["interfaces"]
                            if i["name"].startswith("fl"))

    def ip(self, family):
        return next(i for i in self.ips if (":" in i) == (family == 6))

    def check(self):
        return self.cni("CHECK", self.container, self.ns.path, self.ifname, prevResult=self.result)

    def delete(self, netns=True):
        return self.cni("DEL", self.container, self.ns.path if netns else None, self.ifname)


class Node:
    def __init__(self, world, name, rack, index):
        self.name, self.rack = name, rack
        self.ns = world.netns(name)
        self.ip4, self.ip6 = f"192.168.{rack}.{index}", f"fd00:{rack}::{index}"
        self.strict()
        world.plug(self.ns, rack, f"{self.ip4}/24", f"{self.ip6}/64")

    def strict(self):
        for conf in ("all", "default"):
            self.ns.sysctl(f"net.ipv4.conf.{conf}.rp_filter", 1)
        self.ns.sysctl("net.ipv4.ip_forward", 0)
        self.ns.sysctl("net.ipv6.conf.all.forwarding", 0)

    def object(self):
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name},
                "status": {"addresses": [{"type": "InternalIP", "address": self.ip4},
                                         {"type": "InternalIP", "address": self.ip6}]}}

    def routes(self, family=4):
        """{destination: route} of those that fairlead owns."""
        return {r["dst"]: r for r in self.ns.ip(f"-{family}", "route", "show", "proto", "70")}

    def kill_agent(self):
        os.kill(self.keeper.wait_role("agent"), signal.SIGKILL)

    def restart_agent(self):
        old = self.keeper.wait_role("agent")
        os.kill(old, signal.SIGKILL)
        wait_for(lambda: self.keeper.pid("agent") not in (None, old), 10, "a new agent")
        self.wait_serving()

    def wait_serving(self):
        wait_for(lambda: self.cni("STATUS")[0] == 0, 20, f"{self.name}: STATUS is 0")


class World:
    """Racks are subnets 192.168.R.0/24 and fd00:R::/64 behind one router, which also leads to
    `outside` (203.0.113.9, fd00:ffff::9). `outside` knows no way to pods."""

    def __init__(self, netns, keeper, store, start):
        self.netns, self.keeper, self.store, self.start = netns, keeper, store, start
        self.nodes = []
        self.router = netns("router")
        self.router.sysctl("net.ipv4.ip_forward", 1)
        self.router.sysctl("net.ipv6.conf.all.forwarding", 1)
        # What is switched within a rack is not the router's business, where br_netfilter is there.
        self.router.sh("for f in /proc/sys/net/bridge/bridge-nf-call-*; do"
                       " [ ! -e $f ] || echo 0 > $f; done")
        self.racks, self.ports = set(), 0
        self.outside = netns("outside")
        veth(self.router, "out", self.outside, "eth0", ["203.0.113.1/24", "fd00:ffff::1/64"],
             ["203.0.113.9/24", "fd00:ffff::9/64"])
        for subnet, via in (("192.168.0.0/16", "203.0.113.1"), ("fd00::/20", "fd00:ffff::1")):
            self.outside.run("ip", "route", "add", subnet, "via", via)

    def plug(self, ns, rack, *addrs, default=True, dev="eth0"):
        r = self.router
        if rack not in self.racks:
            self.racks.add(rack)
            r.run("ip", "link", "add", f"rack{rack}", "type", "bridge")
            r.run("ip", "addr", "add", f"192.168.{rack}.1/24", "dev", f"rack{rack}")
            r.run("ip", "addr", "add", f"fd00:{rack}::1/64", "dev", f"rack{rack}", "nodad")
            r.run("ip", "link", "set", f"rack{rack}", "up")
        self.ports += 1
        port = f"port{self.ports}"
        veth(r, port, ns, dev, [], addrs)
        r.run("ip", "link", "set", port, "master", f"rack{rack}")
        if default:
            ns.run("ip", "route", "add", "default", "via", f"192.168.{rack}.1")
            ns.run("ip", "-6", "route", "add", "default", "via", f"fd00:{rack}::1")
        return port

    def add_node(self, name, rack=10, before=None, roles="agent watch", **conf):
        """`before(node)` runs before its keeper does."""
        node = Node(self, name, rack, 11 + len(self.nodes))
        node.uplink_port = f"port{self.ports}"
        if before:
            before(node)
        node.keeper = self.keeper(node.ns, name, self.store, roles, log_level="debug", **conf)
        node.cni = Cni(node.ns, node.keeper.cni_sock)
        self.nodes.append(node)
        return node

    def up(self, *racks, objects=None, **conf):
        """Nodes n1, n2, … in the given racks, all in sync with a store that has `objects`."""
        names = [f"n{i + 1}" for i in range(len(racks))]
        self.store.apply(*(objects if objects is not None else pools()))
        for name, rack in zip(names, racks):
            self.store.apply(self.add_node(name, rack, **conf).object())
        for n in self.nodes:
            n.wait_serving()
        return self.nodes

    def restart(self, node):
        """A new keeper over the same folders."""
        node.keeper.stop()
        node.keeper.program = self.start([built("bin/fairleadd"), "--config", node.keeper.conf],
                                         ns=node.ns)

    def pod(self, node, container, **kw):
        return Pod(self, node, container, **kw)


# ---- packets

# Answers on a port of TCP and UDP, both families: python3 -c SERVE NAME PORT
SERVE = """
import socket, sys, threading
name, port = sys.argv[1], int(sys.argv[2])
t = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
u.bind(("::", port))
def udp():
    while True:
        _, a = u.recvfrom(99)
        u.sendto(f"{name} {a[0]}".encode(), a)
threading.Thread(target=udp, daemon=True).start()
print("up", flush=True)
while True:
    c, a = t.accept()
    c.sendall(f"{name} {a[0]}".encode())
    c.close()
"""
# python3 -c ASK ADDRESS PORT tcp|udp
ASK = """
import socket, sys
kind = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}[sys.argv[3]]
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, kind)
s.settimeout(1)
s.connect((sys.argv[1], int(sys.argv[2])))
if sys.argv[3] == "udp":
    s.send(b"x")
print(s.recv(99).decode())
"""


def ask(ns, host, port, proto="tcp"):
    """(who answered, whom it saw), or None."""
    r = ns.run("python3", "-c", ASK, host, port, proto, check=False)
    if r.returncode:
        return None
    who, _, seen = r.stdout.strip().partition(" ")
    return who, seen.removeprefix("::ffff:")


def ping(ns, to, source=None, count=1, wait=1):
    args = ["ping", "-n", "-c", str(count), "-i", "0.05", "-W", str(wait)]
    if source:
        args += ["-I", source]
    return ns.run(*args, to, check=False).returncode == 0


def wait_ping(ns, to, timeout=5, **kw):
    wait_for(lambda: ping(ns, to, **kw), timeout, f"{ns.name} reaches {to}")


class Capture:
    """Raw frames of one interface, collected in the background by tcpdump and parsed here."""

    def __init__(self, start, scratch, ns, dev):
        self.file = scratch / f"cap-{ns.name}-{dev}-{time.monotonic_ns()}.pcap"
        self.program = start(["tcpdump", "-U", "-n", "-p", "-i", dev, "-w", self.file], ns=ns)
        self.program.wait_log("listening on")

    def frames(self):
        """The frames so far, without Ethernet header: (ethertype, payload)."""
        time.sleep(0.05)
        data, at, out = self.file.read_bytes(), 24, []
        while at + 16 <= len(data):
            n = struct.unpack_from("<I", data, at + 8)[0]
            frame = data[at + 16:at + 16 + n]
            out.append((struct.unpack_from(">H", frame, 12)[0], frame[14:]))
            at += 16 + n
        return out

    def packets(self):
        """(src, dst, vxlan): source and destination of each IP packet, and whether it is VXLAN."""
        out = []
        for kind, p in self.frames():
            if kind == 0x0800:
                hl = (p[0] & 15) * 4
                vx = p[9] == 17 and struct.unpack_from(">H", p, hl + 2)[0] == 4789
                out.append((socket.inet_ntoa(p[12:16]), socket.inet_ntoa(p[16:20]), vx))
            elif kind == 0x86DD:
                vx = p[6] == 17 and struct.unpack_from(">H", p, 42)[0] == 4789
                out.append((socket.inet_ntop(socket.AF_INET6, p[8:24]),
                            socket.inet_ntop(socket.AF_INET6, p[24:40]), vx))
        return out

    def stop(self):
        self.program.stop(signal.SIGINT)


@pytest.fixture
def world(netns, keeper, store, start):
    return World(netns, keeper, store, start)


@pytest.fixture
def capture(start, scratch):
    return lambda ns, dev: Capture(start, scratch, ns, dev)
