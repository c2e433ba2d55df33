# SPDX-License-Identifier: Apache-2.0
"""What no DNS client sends. 2000 messages are made by scapy, wrong in counts, lengths, options, types and directions; the others
are these with octets changed, by a random generator of fixed seed. Whether one is owed an answer is judged by its first octets alone."""
import random
import struct
import sys
import time

import pytest
from dns_world import SHOP, dns  # noqa: F401
from harness import needs
from roles import status_of

pytestmark = needs("dig")

MADE, SENT = 2000, 100_000
QUERY_MAX = 1500  # longer ones are cut by the socket, and dropped


def made_by_scapy(r):
    pytest.importorskip("scapy.all", reason="not installed: python3-scapy")
    from scapy.all import DNS, DNSQR, DNSRR, DNSRROPT, EDNS0TLV, raw
    names = ["web.shop.svc.cluster.local", "db.shop.svc.cluster.local", "ext.shop.svc.cluster.local", "1.0.96.10.in-addr.arpa", "a" * 63 + ".x",
             ".".join(["abcdefg"] * 31), ".", "_http._tcp.web.shop.svc.cluster.local", "10-244-1-2.shop.pod.cluster.local", "www.example.com"]

    def number(*likely, most=65535):
        return r.choice(likely) if r.random() < 0.8 else r.randrange(most + 1)

    def opt():
        options = [EDNS0TLV(optcode=number(3, 8, 10, 12), optdata=r.randbytes(r.randrange(40)),
                            **({"optlen": number(0, 1, 8, 255)} if r.random() < 0.3 else {})) for _ in range(r.randrange(4))]
        return DNSRROPT(rrname=r.choice([".", ".", ".", "opt.test"]), rclass=number(0, 512, 1232, 4096), version=number(0, 1, most=255),
                        z=number(0, 0x8000), rdata=options, **({"rdlen": number(0, 5, 200)} if r.random() < 0.2 else {}))

    def records(most):
        made = None
        for _ in range(r.randrange(most)):
            one = opt() if r.random() < 0.5 else DNSRR(rrname=r.choice(names), type=1, rdata="192.0.2.1")
            made = one if made is None else made / one
        return made

    for _ in range(MADE):
        question = DNSQR(qname=r.choice(names), qtype=number(1, 28, 33, 12, 255, 41, 251, 252), qclass=number(1, 1, 1, 3, 254, 255))
        counts = {k: number(0, 1, 2, 40, 65535) for k in ("qdcount", "ancount", "nscount", "arcount") if r.random() < 0.15}
        yield raw(DNS(id=0, qr=int(r.random() < 0.1), opcode=number(0, 0, 0, 1, 2, 4, 5, 6, most=15), aa=r.randrange(2), tc=r.randrange(2),
                      rd=r.randrange(2), ra=r.randrange(2), z=r.randrange(2), ad=r.randrange(2), cd=r.randrange(2), rcode=number(0, most=15),
                      qd=question / question if r.random() < 0.05 else question, an=records(2), ns=records(2), ar=records(4), **counts))


def mutated(r, base):
    m = bytearray(r.choice(base))
    for _ in range(r.randrange(1, 5)):
        at, way = r.randrange(len(m)), r.randrange(8)
        if way < 3:
            m[at] = r.randrange(256)
        elif way == 3:
            m[at:at + 2] = bytes([0xC0 | r.randrange(64), r.randrange(256)])  # a pointer
        elif way == 4:
            del m[max(1, at):]
        elif way == 5:
            m += r.randbytes(r.randrange(60))
        elif way == 6:
            m[at:] = r.choice(base)[at:]
        elif len(m) >= 12:
            struct.pack_into(">H", m, r.choice([4, 6, 8, 10]), r.choice([0, 1, 2, 3, 65535]))
    if r.random() < 0.002:
        m += r.randbytes(r.randrange(1400, 4000))
    return bytes(m) or b"\0"


# Sends a file of messages (a length before each) from 16 sockets, each under an id that is its own there; at most 100 owed answers are
# out. Every 250th is a true query. Prints how many were owed an answer, had it, had more or had one unowed, and the true answers.
FLOOD = """
import select, socket, struct, sys
data, queue = open(sys.argv[1], 'rb').read(), int(sys.argv[2])
socks = []
for _ in range(16):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('127.0.0.1', 53)); s.setblocking(False); socks.append(s)
true = b'\\0\\0\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0' + b''.join(bytes([len(l)]) + l for l in b'web.shop.svc.cluster.local'.split(b'.')) + b'\\0\\0\\1\\0\\1'
messages, at = [], 0
while at < len(data):
    n, = struct.unpack_from('>H', data, at)
    messages.append(data[at + 2:at + 2 + n]); at += 2 + n
    if len(messages) % 250 == 0: messages.append(true)
owed, truth, answered = set(), set(), {}
right = 0
def take():
    global right
    for k, s in enumerate(socks):
        while True:
            try: m = s.recv(4096)
            except BlockingIOError: break
            key = k, m[:2]
            answered[key] = answered.get(key, 0) + 1
            if key in truth and m[3] & 15 == 0 and m[-4:] == bytes([10, 96, 0, 1]): right += 1
def wait(most):
    while len(owed) - len(answered) > most and select.select(socks, [], [], 3)[0]: take()
for i, m in enumerate(messages):
    k, number = i % 16, struct.pack('>H', i // 16)
    if len(m) >= 2:
        if m is true: truth.add((k, number))
        if 12 <= len(m) <= queue and not m[2] & 0x80: owed.add((k, number))
        m = number + m[2:]
    socks[k].send(m)
    if i % 16 == 15: wait(100)
wait(0); take()
print(len(owed), sum(k in answered for k in owed), sum(n > 1 for n in answered.values()), sum(k not in owed for k in answered), len(truth), right)
"""


def flood(d, path, messages):
    path.write_bytes(b"".join(struct.pack(">H", len(m)) + m for m in messages))
    begun = time.monotonic()
    r = d.ns.run(sys.executable, "-c", FLOOD, path, str(QUERY_MAX), timeout=120)
    print(f"{len(messages)} messages in {time.monotonic() - begun:.1f} s: {r.stdout}")
    return dict(zip(("owed", "answered", "twice", "unowed", "true", "right"), map(int, r.stdout.split())))


def memory_kib(pid):
    return int(status_of(pid)["VmRSS"].split()[0])


def test_malformed_messages(dns, scratch):  # noqa: F811
    r = random.Random(11)
    base = list(made_by_scapy(r))
    d = dns(*SHOP)
    pid = d.keeper.pid("dns")
    flood(d, scratch / "some", [mutated(r, base) for _ in range(2000)])  # what a process has once it was used
    before = memory_kib(pid)
    got = flood(d, scratch / "all", base + [mutated(r, base) for _ in range(SENT - MADE)])
    assert got["owed"] > SENT / 2 and got["answered"] == got["owed"], got
    assert got["twice"] == got["unowed"] == 0, got
    assert got["true"] >= SENT / 250 and got["right"] == got["true"], got
    assert d.answers("web.shop.svc.cluster.local") == ["10.96.0.1"]
    assert d.keeper.pid("dns") == pid and memory_kib(pid) < before + 2048, (before, memory_kib(pid))


# ---- by TCP

STREAMS = """
import os, random, select, socket, struct, sys, time
r = random.Random(3)
true = b'\\0\\7\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0' + b''.join(bytes([len(l)]) + l for l in b'web.shop.svc.cluster.local'.split(b'.')) + b'\\0\\0\\1\\0\\1'
def frame(m, n=None): return struct.pack('>H', len(m) if n is None else n) + m
def connect():
    s = socket.create_connection(('127.0.0.1', 53), 10); s.settimeout(10); return s
def ends(s):
    # The server closes, which a reset says as well.
    try:
        while s.recv(65536): pass
    except ConnectionResetError: pass
def answers(s, n):
    f = s.makefile('rb')
    return [f.read(*struct.unpack('>H', f.read(2))) for _ in range(n)]
"""

# Each prints "right".
STREAM_CASES = {
    # Messages that are no queries, as many as a connection may wait for answers, and one that is.
    "no queries": "s = connect(); s.sendall((frame(b'') + frame(b'x') + frame(true[:2] + b'\\x80' + true[3:])) * 60 + frame(true));"
                  "a, = answers(s, 1); print('right' * (a[:2] == true[:2] and a[-4:] == bytes([10, 96, 0, 1])))",
    # After which the client is done, and the server too, at once.
    "nothing owed": "s = connect(); s.sendall(frame(b'x' * 5)); s.shutdown(socket.SHUT_WR); t = time.monotonic(); ends(s);"
                    "print('right' * (time.monotonic() - t < 3))",
    "lengths too long": "for n in (45, 58, 500, 65535):\n s = connect(); s.sendall(frame(true, n)); s.shutdown(socket.SHUT_WR); ends(s)\n"
                        "print('right')",
    "a length too short": "s = connect(); s.sendall(frame(true, 20)); a, = answers(s, 1); print('right' * (a[3] & 15 == 1))",
    "octet by octet": "s = connect(); s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)\n"
                      "for o in frame(true): s.send(bytes([o]))\na, = answers(s, 1); print('right' * (a[-4:] == bytes([10, 96, 0, 1])))",
    "half a length": "s = connect(); s.send(b'\\0'); s.shutdown(socket.SHUT_WR); ends(s); print('right')",
    "resets": "for _ in range(300):\n s = connect(); s.sendall(frame(true) * 10)\n"
              " s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); s.close()\nprint('right')",
    "junk": "for _ in range(200):\n s = connect(); s.sendall(r.randbytes(r.randrange(1, 3000))); s.close()\nprint('right')",
    "one queries, the other way": "s = connect(); s.sendall(frame(true) * 200); a = answers(s, 200); print('right' * (len(set(a)) == 1))",
}


@pytest.fixture
def served(dns):  # noqa: F811
    d = dns(*SHOP, dns_workers=1)
    d.pid = d.keeper.pid("dns")
    yield d
    assert d.answers("web.shop.svc.cluster.local", "A", "+tcp", "+time=10") == ["10.96.0.1"]
    assert d.keeper.pid("dns") == d.pid


@pytest.mark.parametrize("case", STREAM_CASES, ids=lambda c: c.replace(" ", "-"))
def test_streams(served, case):
    r = served.ns.run(sys.executable, "-c", STREAMS + STREAM_CASES[case], timeout=60)
    assert r.stdout.strip() == "right", r.stdout + r.stderr


HOLD = STREAMS + """
# Connections of each sort that stay open and are never read: silent, half a message, half a length, queries whose answers nobody takes.
held = []
for i in range(400):
    s = socket.socket(); s.setblocking(False); s.connect_ex(('127.0.0.1', 53)); held.append(s)
for i, s in enumerate(held):
    try: s.send([b'', frame(true)[:20], b'\\0', frame(true) * 500][i % 4])
    except OSError: pass
print('held', flush=True)
time.sleep(60)
"""


def test_connections_that_wait(served, start):
    """More than a worker has room for: others are answered meanwhile, by UDP as ever, by TCP in some seconds."""
    before = memory_kib(served.pid)
    hold = start([sys.executable, "-c", HOLD], ns=served.ns)
    hold.wait_log("held", 60)
    for _ in range(3):
        assert served.answers("web.shop.svc.cluster.local", "A", "+notcp") == ["10.96.0.1"]
    begun = time.monotonic()
    assert served.answers("web.shop.svc.cluster.local", "A", "+tcp", "+time=15") == ["10.96.0.1"]
    print(f"by TCP after {time.monotonic() - begun:.1f} s, {memory_kib(served.pid) - before} KiB more")
    assert memory_kib(served.pid) < before + (32 << 10)
