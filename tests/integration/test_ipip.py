# SPDX-License-Identifier: Apache-2.0
"""IP-in-IP where the kernel has no driver for it: whose packets are taken, what is too long on the way, aggregates, a new
agent in the middle of a flow, and the end of it all. (Who reaches whom: test_lab_matrix.py; the driver: test_vm_ipip.py.)"""
import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from harness import ROOT, needs, wait_for

pytestmark = needs("nft", "tc", "ping")

INJECT = "import socket, sys; s = socket.socket(17, 3); s.bind((sys.argv[1], 0)); s.send(bytes.fromhex(sys.argv[2]))"
SOURCE = """
import socket
s = socket.create_server(("0.0.0.0", 7777), family=socket.AF_INET)
print("ready", flush=True)
c, _ = s.accept()
n = 0
while True:
    b = c.recv(1 << 20)
    if not b:
        break
    n += len(b)
print(n, flush=True)
"""
SINK = """
import socket, sys
s = socket.create_connection((sys.argv[1], 7777), 10)
s.sendall(b"x" * (32 << 20))
"""
LONGEST = """
import socket, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
s.bind(("eth0", 0))
s.settimeout(0.2)
print("ready", flush=True)
longest = 0
until = time.monotonic() + 60
while time.monotonic() < until:
    try:
        b, _ = s.recvfrom(1 << 17)
        if b[9:10] == b"\\x04" and b[0] == 0x45:
            longest = max(longest, len(b))
    except TimeoutError:
        if longest > 1500:
            break
print(longest, flush=True)
"""


@pytest.fixture(scope="module")
def lab(module_lab):
    return module_lab("--nodes", 2, "--racks", 2, "--mode", "ipip", manifests=[ROOT / "examples/plain-30.yaml"])


@pytest.fixture(scope="module")
def ends(lab):
    """A pod of each node."""
    pods = {p["node"]: p for p in lab.status()["pods"] if p["name"].startswith(("tcp-", "ordered-"))}
    return pods["n1"], pods["n2"]


def name(pod):
    return f"{pod['namespace']}/{pod['name']}"


def v4(of):
    return next(a for a in of if "." in a)


def pid_of(lab, what):
    lines = Path(f"/run/fairlead-lab/{lab.name}/state").read_text().splitlines()
    return next(int(x.split()[2]) for x in lines if x.split()[1] == what)


def inside(pid, *argv, **kw):
    return subprocess.run(["nsenter", "-n", "-t", str(pid), *argv], capture_output=True, text=True, check=True, **kw)


def counts(lab, node):
    text = lab.node(node, "curl", "-s", "http://127.0.0.1:9099/metrics").stdout
    return {w: int(n) for w, n in re.findall(r'fairlead_ipip_packets_total\{[^}]*what="([a-z-]+)"[^}]*\} (\d+)', text)}


def programs(lab, node):
    return re.findall(r"fairlead-ipip .* id (\d+)", lab.node(node, "sh", "-c",
                      "tc filter show dev tunl0 egress; tc filter show dev eth0 ingress").stdout)


def test_status_says_how(lab):
    status = json.loads(lab.fairlead("node", "status", "--lab", lab.name, "-o", "json").stdout)
    n1 = next(n for n in status["nodes"] if n["name"] == "n1")
    assert n1["ipip"] == "ebpf" and n1["podMTU"] == 1450  # IPv6 is in VXLAN
    assert {(p["pool"], p["way"]) for p in n1["peers"]} == {("default-ipv4", "ipip"), ("default-ipv6", "vxlan")}


def test_only_nodes_are_heard(lab, ends):
    from scapy.all import IP, UDP, Ether
    a, b = ends
    nodes = {n["name"]: v4(n["addresses"]) for n in lab.status()["nodes"]}
    router = pid_of(lab, "router")
    rack = inside(router, "ip", "-j", "route", "get", nodes["n2"]).stdout
    dev = json.loads(rack)[0]["dev"]
    mac = lab.node("n2", "cat", "/sys/class/net/eth0/address").stdout.strip()
    lab.exec(name(b), "nft", "add table ip seen; add chain ip seen c { type filter hook input priority 0; }; "
             "add rule ip seen c udp dport 9999 counter; add rule ip seen c udp dport 9998 counter")

    def send(source, port):
        f = Ether(src="02:00:00:00:00:99", dst=mac) / IP(src=source, dst=nodes["n2"]) / \
            IP(src=v4(a["ips"]), dst=v4(b["ips"])) / UDP(sport=9, dport=port) / b"in a tunnel"
        inside(router, "/usr/bin/python3", "-c", INJECT, dev, bytes(f).hex())

    def arrived():
        return [int(n) for n in re.findall(r"counter packets (\d+)", lab.exec(name(b), "nft", "list", "table", "ip", "seen").stdout)]
    wait_for(lambda: "stranger" in counts(lab, "n2"), 10, "the counters are reported")
    was = counts(lab, "n2")["stranger"]
    send("203.0.113.10", 9999)
    send(nodes["n1"], 9998)
    wait_for(lambda: arrived() == [0, 1], 5, "the node's packet arrives")
    wait_for(lambda: counts(lab, "n2")["stranger"] == was + 1, 10, "the stranger's is counted")
    assert arrived() == [0, 1]


def test_aggregates_stay_whole(lab, ends):
    a, b = ends
    server = subprocess.Popen(["nsenter", "-n", "-t", str(b["pid"]), "/usr/bin/python3", "-u", "-c", SOURCE], stdout=subprocess.PIPE,
                              text=True)
    wire = subprocess.Popen(["nsenter", "-n", "-t", str(pid_of(lab, "n1")), "/usr/bin/python3", "-u", "-c", LONGEST],
                            stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline() == wire.stdout.readline() == "ready\n"
        inside(a["pid"], "/usr/bin/python3", "-c", SINK, v4(b["ips"]), timeout=60)
        assert int(server.stdout.readline()) == 32 << 20
        assert int(wire.stdout.readline()) > 9000
    finally:
        server.kill()
        wire.kill()


def test_a_new_agent_loses_nothing(lab, ends):
    a, b = ends
    old = programs(lab, "n1")
    assert len(old) == 2
    flow = subprocess.Popen(["nsenter", "-n", "-t", str(a["pid"]), "ping", "-n", "-q", "-i", "0.01", "-w", "60", "-c", "300", v4(b["ips"])],
                            stdout=subprocess.PIPE, text=True)
    try:
        agent = next(n["roles"]["agent"] for n in lab.status()["nodes"] if n["name"] == "n1")
        os.kill(agent, signal.SIGKILL)
        wait_for(lambda: len(set(programs(lab, "n1")) - set(old)) == 2, 15, "the next agent's programs are there")
        out, _ = flow.communicate(timeout=60)
    finally:
        flow.kill()
    assert "300 packets transmitted, 300 received" in out
    assert len(programs(lab, "n1")) == 2


def test_programs_and_device_come_back(lab, ends):
    a, b = ends
    lab.node("n1", "tc", "qdisc", "del", "dev", "eth0", "clsact")
    lab.node("n1", "ip", "link", "del", "tunl0")
    wait_for(lambda: len(programs(lab, "n1")) == 2, 40, "the audit repairs both")
    wait_for(lambda: lab.probe(name(a), f"{v4(b['ips'])}:80")["code"] == 0, 10, "pods talk again")


def test_trace_of_what_is_too_long(lab, ends):
    """Longer than the pod's device, nothing is sent; longer than the fabric takes with 20 bytes around it, the router says so, and the story
    goes on to the pod, which hears of it from its node."""
    from test_trace_stories import Story, into, node_ip, out_of
    a, b = ends
    nodes = {n: node_ip(lab, n) for n in ("n1", "n2")}
    router = pid_of(lab, "router")
    to = lambda dst: json.loads(inside(router, "ip", "-j", "route", "get", dst).stdout)[0]  # noqa: E731
    dev = to(nodes["n2"])["dev"]
    story = lambda size, code: Story(lab, name(a), v4(b["ips"]), "--proto", "icmp", "--size", size, "--timeout", 1, code=code)  # noqa: E731
    there = out_of(name(a), "n1") + ["route n1", "tunnel-in n1", "leave-node n1"]
    s = story(1451, 1)  # pods have IPv6 in VXLAN, too
    assert s.way() == [f"send {name(a)}", f"refuse {name(a)}"] and s.at("refuse", name(a))["mtu"] == 1450
    s = story(1450, 0)
    assert s.way() == there + ["enter-node n2", "tunnel-out n2"] + into(name(b), "n2")
    assert s.at("route", "n1")["where"]["device"] == s.at("tunnel-out", "n2")["where"]["device"] == "tunl0" and s.at("route", "n1")["mtu"] == 1480
    inside(router, "ip", "link", "set", dev, "mtu", "1400")
    try:
        assert story(1380, 0).all["verdict"] == "answered"
        s = story(1381, 1)
        assert s.way() == there + ["drop None"] and s.all["verdict"] == "dropped"
        h = s.hops[len(there)]
        gateway = json.loads(lab.node("n1", "ip", "-j", "route", "get", nodes["n2"]).stdout)[0]["gateway"]
        assert s.end()[1] == f"Address {gateway}" and h["mtu"] == 1400
        assert h["why"] == "1381 bytes, and the next link there, tunnel's header included, takes 1400 at most"
        assert "MTU" in s.all["advice"]
        # The same error, as if it were of the pod's packet.
        assert s.way("reply")[0] == "enter-node n1" and s.way("reply")[-1] == f"deliver {name(a)}"
    finally:
        inside(router, "ip", "link", "set", dev, "mtu", "1500")
        inside(a["pid"], "ip", "route", "flush", "cache")


def test_too_long_for_the_path(lab, ends):
    """The fabric takes less than the uplinks say: the pod hears of it from the router, 20 bytes less."""
    a, b = ends
    nodes = {n["name"]: v4(n["addresses"]) for n in lab.status()["nodes"]}
    router = pid_of(lab, "router")
    dev = json.loads(inside(router, "ip", "-j", "route", "get", nodes["n2"]).stdout)[0]["dev"]
    ping = ["ping", "-n", "-c", "1", "-W", "5", "-M", "do", "-s", "1400", v4(b["ips"])]
    assert subprocess.run(["nsenter", "-n", "-t", str(a["pid"]), *ping], capture_output=True).returncode == 0
    inside(router, "ip", "link", "set", dev, "mtu", "1400")
    try:
        r = subprocess.run(["nsenter", "-n", "-t", str(a["pid"]), *ping], capture_output=True, text=True)
        assert r.returncode == 1 and "mtu = 1380" in r.stdout + r.stderr, r
        assert "mtu 1380" in inside(a["pid"], "ip", "route", "get", v4(b["ips"])).stdout
    finally:
        inside(router, "ip", "link", "set", dev, "mtu", "1500")
