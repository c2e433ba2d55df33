# SPDX-License-Identifier: Apache-2.0
"""SCTP associations when policies change. No socket of this kernel speaks it: both ends put their packets
together (RFC 9260, section 3), with the tags and checksums that conntrack follows."""
import re
import socket
import struct

import pytest

from agent_world import world  # noqa: F401 (a fixture)
from conntrack import inside
from harness import wait_for
from test_policy_agent import long, namespace, peers, policy, run

PORT, CLIENT_TAG, SERVER_TAG = 36412, 11, 22
INIT, INIT_ACK, DATA, HEARTBEAT, HEARTBEAT_ACK, COOKIE_ECHO, COOKIE_ACK = 1, 2, 0, 4, 5, 10, 11


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def packet(sport, dport, tag, kind, body):
    p = bytearray(struct.pack(">HHII", sport, dport, tag, 0) + struct.pack(">BBH", kind, 3 if kind == DATA else 0, 4 + len(body)) + body)
    p[8:12] = struct.pack("<I", crc32c(p))
    return bytes(p)


class End:
    """One of the two, by a raw socket, which gets all SCTP of the pod."""

    def __init__(self, pod, ip):
        self.ip = ip
        with inside(pod.ns):
            self.socket = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_SCTP)
        self.socket.bind((ip, 0))


class Association:
    """From a pod to the server: set up when the constructor returns."""

    made = 0

    def __init__(self, client, server, family):
        Association.made += 1
        self.port, self.serial = 20000 + Association.made, 0
        self.ends = [End(p, p.ip(family)) for p in (client, server)]

    def open(self):
        init = struct.pack(">IHHI", 1 << 16, 1, 1, 1)
        return self.said(0, 0, INIT, struct.pack(">I", CLIENT_TAG) + init) and \
            self.said(1, CLIENT_TAG, INIT_ACK, struct.pack(">I", SERVER_TAG) + init + struct.pack(">HHI", 7, 8, 99)) and \
            self.said(0, SERVER_TAG, COOKIE_ECHO, bytes(4)) and self.said(1, CLIENT_TAG, COOKIE_ACK, b"")

    def said(self, who, tag, kind, body):
        """Did the other end get it?"""
        ports = (self.port, PORT) if who == 0 else (PORT, self.port)
        p = packet(*ports, tag, kind, body)
        me, other = self.ends[who], self.ends[1 - who]
        me.socket.sendto(p, (other.ip, 0))
        other.socket.settimeout(0.5)
        try:
            while not other.socket.recv(2048).endswith(p):
                pass
        except TimeoutError:
            return False
        return True

    def data(self, who):
        self.serial += 1
        body = struct.pack(">IHHI", self.serial, 0, 0, 0) + struct.pack(">I", self.serial)
        return self.said(who, CLIENT_TAG if who else SERVER_TAG, DATA, body)

    def heartbeat(self, who):
        """As idle associations have them, and the answer, were it let through."""
        tags, path = (SERVER_TAG, CLIENT_TAG), struct.pack(">HHI", 1, 8, 7)
        self.said(who, tags[who], HEARTBEAT, path)
        self.said(1 - who, tags[1 - who], HEARTBEAT_ACK, path)

    def entries(self, node):
        with inside(node.ns), open("/proc/thread-self/net/nf_conntrack") as f:
            return [x for x in f if " sctp " in x and f"port={self.port} " in x and re.search(rf"dst={re.escape(long(self.ends[1].ip))} ", x)]

    def close(self):
        for e in self.ends:
            e.socket.close()


@pytest.fixture
def associate():
    made = []

    def make(*args, opens=True):
        made.append(Association(*args))
        assert made[-1].open() is opens
        return made[-1]
    yield make
    for a in made:
        a.close()


@pytest.fixture
def shop(world):  # noqa: F811
    n1, = world.up(10)
    world.store.apply(namespace("x"))
    world.server, world.client, world.friend = (run(world, n1, name, app=name) for name in ("server", "client", "friend"))
    return world


def deny(**kw):
    return policy("deny", {"app": "server"}, ingress=[{"from": peers(app="friend")}], **kw)


@pytest.mark.parametrize("family", [4, 6])
def test_what_is_forbidden_is_cut(shop, associate, family):
    """And stays cut: chunks of the server, which may send, open nothing to the client."""
    node = shop.nodes[0]
    held, friend = (associate(p, shop.server, family) for p in (shop.client, shop.friend))
    for a in (held, friend):
        assert a.data(0) and a.data(1) and "ESTABLISHED" in a.entries(node)[0]
    shop.store.apply(deny(), wait=20)
    wait_for(lambda: not held.entries(node), 10, "its entry is gone")
    assert not held.data(0)
    held.data(1)
    held.heartbeat(1)
    assert not held.data(0) and not held.entries(node)
    assert friend.data(0) and friend.data(1)
    associate(shop.client, shop.server, family, opens=False)
    associate(shop.friend, shop.server, family)
    assert re.search(r"conntrack: sctp \S+ > \S+, Pod x/server, ingress: default deny by x/deny: deleted", node.keeper.program.log())
    shop.store.delete(deny(), wait=20)
    associate(shop.client, shop.server, family)


@pytest.mark.parametrize("family", [4, 6])
def test_a_pod_that_may_not_send(shop, associate, family):
    """The same where the client is isolated, for egress: what others send it opens no way out."""
    held = associate(shop.client, shop.server, family)
    shop.store.apply(policy("quiet", {"app": "client"}, policyTypes=["Egress"], egress=[{"to": peers(app="friend")}]), wait=20)
    wait_for(lambda: not held.entries(shop.nodes[0]), 10, "its entry is gone")
    held.data(1)
    held.heartbeat(1)
    assert not held.data(0) and not held.entries(shop.nodes[0])


@pytest.mark.parametrize("family", [4, 6])
def test_grandfathered(shop, associate, family):
    held = associate(shop.client, shop.server, family)
    shop.store.apply(deny(on_change="grandfather"), wait=20)
    associate(shop.client, shop.server, family, opens=False)
    assert held.data(0) and held.data(1) and held.data(0)
    for app in ("client", "nobody"):  # one that is strict lets in less than before
        shop.store.apply(policy("other", {"app": "server"}, ingress=[{"from": peers(app=app)}]), wait=20)
    wait_for(lambda: not held.data(0), 10, "it is cut")
    assert not held.entries(shop.nodes[0])
