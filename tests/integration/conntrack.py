# SPDX-License-Identifier: Apache-2.0
"""Entries of a namespace's connection table: made by netlink messages put together here, read from
/proc/net/nf_conntrack. Nothing of src/ is in it, so that it can judge src/."""
import contextlib
import ipaddress
import os
import re
import socket
import struct

from harness import libc

CLONE_NEWNET = 0x40000000
NETLINK_NETFILTER = 12
CT_NEW = 1 << 8
REQUEST, ACK, EXCL, CREATE = 0x1, 0x4, 0x200, 0x400
ORIG, REPLY, STATUS, PROTOINFO, TIMEOUT, NAT_DST, ZONE = 1, 2, 3, 4, 7, 13, 18
SEEN_REPLY, ASSURED, CONFIRMED = 2, 4, 8
PROTOS = {"tcp": 6, "udp": 17, "sctp": 132}
SCTP_ESTABLISHED = 4


@contextlib.contextmanager
def inside(ns):
    """This thread in the network namespace, for as long as it opens sockets or reads /proc/thread-self/net."""
    with open("/proc/thread-self/ns/net") as back, open(ns.path) as there:
        if libc.setns(there.fileno(), CLONE_NEWNET):
            raise OSError("setns")
        try:
            yield
        finally:
            libc.setns(back.fileno(), CLONE_NEWNET)


def _attr(kind, payload):
    raw = struct.pack("=HH", 4 + len(payload), kind) + payload
    return raw + bytes(-len(raw) % 4)


def _nest(kind, *attrs):
    return _attr(kind | 0x8000, b"".join(attrs))


def _tuple(kind, proto, src, sport, dst, dport):
    src, dst = ipaddress.ip_address(src), ipaddress.ip_address(dst)
    ips = (1, 2) if src.version == 4 else (3, 4)
    return _nest(kind, _nest(1, _attr(ips[0], src.packed), _attr(ips[1], dst.packed)),
                 _nest(2, _attr(1, bytes([proto])), _attr(2, struct.pack(">H", sport)),
                       _attr(3, struct.pack(">H", dport))))


def entry(proto, src, dst, to=None, zone=0, state=None, status=SEEN_REPLY | ASSURED):
    """The message that makes one; addresses as ("10.0.0.1", 53). to: whom the packets go to. state:
    SCTP's, and TCP's. NAT is the kernel's to do, so that status says DNAT where `to` differs."""
    n = PROTOS[proto]
    to = to or dst
    body = _tuple(ORIG, n, *src, *dst) + _tuple(REPLY, n, *to, *src)
    body += _attr(TIMEOUT, struct.pack(">I", 3600))
    body += _attr(STATUS, struct.pack(">I", status | CONFIRMED))
    if zone:
        body += _attr(ZONE, struct.pack(">H", zone))
    if proto == "tcp":
        body += _nest(PROTOINFO, _nest(1, _attr(1, bytes([state or 3]))))
    if proto == "sctp" and state is not None:
        body += _nest(PROTOINFO, _nest(3, _attr(1, bytes([state])), _attr(2, struct.pack(">I", 1)),
                                       _attr(3, struct.pack(">I", 1))))
    family = socket.AF_INET if ipaddress.ip_address(src[0]).version == 4 else socket.AF_INET6
    return struct.pack("=IHHII", 20 + len(body), CT_NEW, REQUEST | CREATE | EXCL, 1, 0) + \
        struct.pack("=BBH", family, 0, 0) + body


def make(ns, messages):
    """Puts the entries into the table; a message that the kernel refuses is an error."""
    messages = list(messages)
    with inside(ns):
        s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    with s:
        s.bind((0, 0))
        s.settimeout(10)
        for i in range(0, len(messages), 50):
            some = messages[i:i + 50]
            some[-1] = some[-1][:6] + struct.pack("=H", REQUEST | CREATE | EXCL | ACK) + some[-1][8:]
            s.send(b"".join(some))
            while True:
                answer = s.recv(65536)
                code, = struct.unpack_from("=i", answer, 16)
                if code:
                    raise OSError(-code, f"conntrack entry: {os.strerror(-code)}")
                if struct.unpack_from("=H", answer, 4)[0] == 2:
                    break


def table(ns, proto=None):
    """What the kernel shows, sorted: (proto, src, sport, dst, dport, to, its port, zone) each. A
    large table takes long: /proc walks it from the start for each page."""
    with inside(ns):
        with open("/proc/thread-self/net/nf_conntrack") as f:
            text = f.read()
    out = []
    for line in text.splitlines():
        words = line.split()
        if proto and words[2] != proto:
            continue
        v = re.findall(r"\b(src|dst|sport|dport)=(\S+)", line)
        if len(v) != 8:
            continue  # ICMP
        flat = [ipaddress.ip_address(x).compressed if k in ("src", "dst") else int(x) for k, x in v]
        zone = re.search(r"\bzone(?:-orig)?=(\d+)", line)
        out.append((words[2], flat[0], flat[2], flat[1], flat[3], flat[4], flat[6],
                    int(zone[1]) if zone else 0))
    return sorted(out)
