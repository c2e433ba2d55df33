# SPDX-License-Identifier: Apache-2.0
"""Policies in nftables (core/nft/policies.h) against the kernel: it takes every put of a random cluster's
changes, and holds afterwards what was said; packets of both families through case "policies"
(tests/nft_policy_case.c). What more rules mean is tested in tests/unit/test_nft_policies.c."""
import re
import socket

import pytest
from conntrack import inside
from harness import built, needs, veth

pytestmark = needs("nft")


def policy_kernel(ns, *args):
    return ns.run(built("../tests/integration/helpers/policy_kernel"), *args).stdout


@pytest.mark.parametrize("seed", range(1, 5))
def test_kernel_takes_every_put(netns, seed):
    ns = netns()
    policy_kernel(ns, "random", seed, 300)
    text = ns.run("nft", "-s", "list", "ruleset").stdout
    assert re.search(r"chain (in|e)gress[46]-[abc]/n\d ", text)  # what it compared was not empty
    ns.run("nft", "-c", "-f", "-", input="flush ruleset\n" + text)


def test_change_of_a_label_in_a_large_cluster(netns):
    out = policy_kernel(netns(), "big")
    changed = re.search(r"labels: told ([\d.]+) put ([\d.]+) commit ([\d.]+) us, worst .*, (\d+) elements", out)
    assert float(changed[1]) + float(changed[2]) < 1000
    assert 0 < int(changed[4]) < 20


POD = ["10.244.1.2", "fd00:10::2"]  # shop/web: all-kinds in both directions, and deny
NEAR, FAR, HOLE = "192.0.2.5", "198.51.100.5", "10.1.9.9"
NEAR6, FAR6, HOLE6 = "2001:db8::5", "2001:db9::5", "2001:db8:1::5"
PORTS = [80, 81, 7005]
ALLOWED = {  # whom it may talk with, both ways
    NEAR: {80, 81, 7005}, FAR: {80, 7005}, HOLE: {80, 7005},
    NEAR6: {80, 7005}, FAR6: {7005}, HOLE6: {7005},
}


@pytest.fixture
def path(netns):
    """Somebody outside with many addresses, the pod's node, the pod."""
    outside, node, pod = netns("o"), netns("n"), netns("p")
    veth(outside, "eth0", node, "outer", [f"{NEAR}/24", f"{NEAR6}/64"], ["192.0.2.1/24", "2001:db8::1/64"])
    veth(pod, "eth0", node, "inner", [f"{POD[0]}/24", f"{POD[1]}/64"], ["10.244.1.1/24", "fd00:10::1/64"])
    for ns, gateways in ((outside, ("192.0.2.1", "2001:db8::1")), (pod, ("10.244.1.1", "fd00:10::1"))):
        for gateway in gateways:
            ns.ip("-6" if ":" in gateway else "-4", "route", "add", "default", "via", gateway)
    for addr in (FAR, HOLE, FAR6, HOLE6):
        v6 = ":" in addr
        outside.ip("addr", "add", addr, "dev", "lo")
        node.ip("-6" if v6 else "-4", "route", "add", addr, "via", NEAR6 if v6 else NEAR)
    node.sysctl("net.ipv4.ip_forward", 1)
    node.sysctl("net.ipv6.conf.all.forwarding", 1)
    return outside, node, pod


def listening(ns, address, ports):
    servers = []
    for port in ports:
        with inside(ns):
            s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((address, port))
        s.listen()
        servers.append(s)
    return servers


def connects(ns, source, to, port):
    """A connection, and a byte back: the answer passes as such."""
    with inside(ns):
        s = socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET)
    with s:
        s.settimeout(0.7)
        s.bind((source, 0))
        try:
            s.connect((to, port))
            return True
        except TimeoutError:
            return False


def reached(path, there):
    """By address of the other end: the ports on which it reaches the pod, or the pod it."""
    outside, _, pod = path
    out = {}
    for addr in ALLOWED:
        mine = POD[":" in addr]
        server, client = ((pod, mine), (outside, addr)) if there else ((outside, addr), (pod, mine))
        servers = listening(*server, PORTS)
        out[addr] = {port for port in PORTS if connects(*client, server[1], port)}
        for s in servers:
            s.close()
    return out


@pytest.mark.parametrize("there", [True, False], ids=["ingress", "egress"])
def test_packets(path, there):
    _, node, _ = path
    assert reached(path, there) == {addr: set(PORTS) for addr in ALLOWED}
    node.run(built("../tests/integration/helpers/nft_load"), "load", "policies")
    assert reached(path, there) == ALLOWED
    text = node.run("nft", "list", "ruleset").stdout
    way, peer = ("ingress", "from") if there else ("egress", "to")
    for rule, n in ((f"{way}[0].{peer}[3]", 1), (f"{way}[4].{peer}[0]", 1), (f"{way}[3]", 3)):
        assert f'counter packets {n} bytes {n * 60} accept comment "shop/all-kinds {rule}"' in text
    assert re.search(r'counter packets [1-9]\d* bytes \d+ drop comment "default deny by shop/all-kinds', text)
