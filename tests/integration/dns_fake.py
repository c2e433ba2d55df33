# SPDX-License-Identifier: Apache-2.0
"""An upstream that answers as the name tells it, also wrongly: python3 dns_fake.py [--relay ADDR] ADDR...

The first label up to a dash is what it does before it answers rightly, HONEST; FORGED is in whatever it forges. Each query is a line
`ADDR udp|tcp PORT ID NAME TYPE`, the name as it came, followed by `forged WHAT N`. With --relay it answers nothing and passes all on to that server."""
import heapq
import random
import re
import select
import socket
import struct
import sys
import time

HONEST, FORGED = "192.0.2.1", "203.0.113.66"
TRUE_AFTER_S = 0.05  # so that what is forged is there first
A, NS, CNAME, SOA, AAAA = 1, 2, 5, 6, 28


def packed(ip):
    return socket.inet_pton(socket.AF_INET6 if ":" in ip else socket.AF_INET, ip)


def wire(name):
    return b"".join(bytes([len(part)]) + part for part in name.encode().split(b".") if part) + b"\0"


def record(name, kind, ttl, data):
    return wire(name) + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


class Query:
    def __init__(self, message):
        self.id, self.flags = struct.unpack(">HH", message[:4])
        labels, at = [], 12
        while message[at]:
            labels.append(message[at + 1:at + 1 + message[at]])
            at += 1 + message[at]
        self.name = b".".join(labels).decode()
        self.kind, = struct.unpack(">H", message[at + 1:at + 3])
        self.question = message[12:at + 5]

    def response(self, answer=(), authority=(), additional=(), rcode=0, **other):
        """other: id, flags, name, kind"""
        name, kind = other.get("name", self.name), other.get("kind", self.kind)
        return (struct.pack(">HHHHHH", other.get("id", self.id), other.get("flags", 0x8180) | rcode, 1,
                            len(answer), len(authority), len(additional))
                + wire(name) + struct.pack(">HH", kind, 1) + b"".join([*answer, *authority, *additional]))

    def says(self, ip, ttl=300, **other):
        return self.response([record(other.get("name", self.name), A, ttl, packed(ip))], **other)


class Fake:
    def __init__(self, addresses):
        self.udp = {a: self.socket(a) for a in addresses}
        self.tcp = {}
        for a in addresses:
            s = self.tcp[a] = socket.create_server((a, 53))
            s.setblocking(False)
        self.ports = {a: [] for a in addresses}  # of the one who asks, as they came
        self.later, self.n, self.random = [], 0, random.Random(7)
        self.elsewhere = self.socket("127.0.0.66")
        self.other_port = self.socket(addresses[0], 5353)

    @staticmethod
    def socket(address, port=53):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the forger's own is every fake's
        s.bind((address, port))
        s.setblocking(False)
        return s

    def after(self, seconds, send):
        self.n += 1
        heapq.heappush(self.later, (time.monotonic() + seconds, self.n, send))

    # ---- what is sent first, by the name's first label: (socket, message, port) each

    def forge_id(self, at, q, port):
        return [(self.udp[at], q.says(FORGED, id=q.id ^ self.random.randrange(1, 65536)), port) for _ in range(20)]

    def forge_address(self, at, q, port):
        return [(self.elsewhere, q.says(FORGED), port)]

    def forge_source(self, at, q, port):
        return [(self.other_port, q.says(FORGED), port)]

    def forge_port(self, at, q, port):
        return [(self.udp[at], q.says(FORGED), p) for p in set(self.ports[at]) - {port}]

    def forge_upstream(self, at, q, port):
        return [(self.udp[a], q.says(FORGED), p) for a in self.udp if a != at for p in set(self.ports[a])]

    def forge_question(self, at, q, port):
        return [(self.udp[at], q.says(FORGED, name="victim.bank.test"), port),
                (self.udp[at], q.response([record(q.name, AAAA, 300, packed("2001:db8::66"))], kind=AAAA), port)]

    def forge_case(self, at, q, port):
        return [(self.udp[at], q.says(FORGED, name=q.name.swapcase()), port)]

    def forge_form(self, at, q, port):
        return [(self.udp[at], q.says(FORGED, flags=0x0100), port), (self.udp[at], q.says(FORGED)[:11], port),
                (self.udp[at], q.says(FORGED, flags=0xA180), port)]

    def forge_records(self, at, q, port):
        """Right in all that can be guessed, with a record that ends beyond the message."""
        return [(self.udp[at], q.says(FORGED)[:-2], port)] if at == min(self.udp) else []

    # ---- the true answer

    def true_answer(self, q):
        what, _, arg = q.name.lower().split(".")[0].partition("-")
        if q.kind not in (A, AAAA) or what == "nobody":
            soa = record("test", SOA, 60, wire("ns.test") + wire("who.test") + struct.pack(">IIIII", 1, 60, 60, 60, int(arg or 60)))
            return q.response(authority=[soa], rcode=3 if what == "nobody" else 0)
        if what == "fails":
            return q.response(rcode=2)
        if what == "ttl":
            return q.says(HONEST, int(arg))
        if what == "bailiwick":
            return q.response([record(q.name, A, 300, packed(HONEST)), record("victim.bank.test", A, 300, packed(FORGED))],
                              [record("bank.test", NS, 300, wire("ns.evil.test"))],
                              [record("ns.evil.test", A, 300, packed(FORGED)), record("victim.bank.test", A, 300, packed(FORGED))])
        if what == "alias":
            return q.response([record(q.name, CNAME, 300, wire("other.bank.test")),
                               record("other.bank.test", A, 300, packed(FORGED))])
        if what == "circle":
            return q.response([record(q.name, CNAME, 300, wire("circle.test")), record("circle.test", CNAME, 300, wire(q.name))])
        if what == "junk":
            m = bytearray(q.says(HONEST) * 2)
            for _ in range(self.random.randrange(1, 9)):
                m[self.random.randrange(2, len(m))] = self.random.randrange(256)
            return bytes(m[:self.random.randrange(2, len(m))])
        return q.says(HONEST)

    def on_udp(self, at):
        message, (_, port) = self.udp[at].recvfrom(4096)
        q = Query(message)
        print(at, "udp", port, q.id, q.name, q.kind, flush=True)
        what = q.name.lower().split(".")[0].partition("-")[0]
        forge = getattr(self, f"forge_{what}", None)
        forged = forge(at, q, port) if forge and q.kind == A else ()
        for s, m, to in forged:
            s.sendto(m, ("127.0.0.1", to))
        if forged:
            print("forged", what, len(forged), flush=True)
        self.ports[at].append(port)
        late = 0.5 if what == "late" else TRUE_AFTER_S if forge else 0
        self.after(late, lambda: self.udp[at].sendto(self.true_answer(q), ("127.0.0.1", port)))

    def on_tcp(self, at):
        c, (_, port) = self.tcp[at].accept()
        with c:
            c.settimeout(2)
            f = c.makefile("rb")
            q = Query(f.read(*struct.unpack(">H", f.read(2))))
            print(at, "tcp", port, q.id, q.name, q.kind, flush=True)
            m = self.true_answer(q)
            c.sendall(struct.pack(">H", len(m)) + m)

    def run(self):
        print("begun", flush=True)
        while True:
            wait = max(0, self.later[0][0] - time.monotonic()) if self.later else None
            ready = select.select([*self.udp.values(), *self.tcp.values()], [], [], wait)[0]
            for at in self.udp:
                if self.udp[at] in ready:
                    self.on_udp(at)
                if self.tcp[at] in ready:
                    self.on_tcp(at)
            while self.later and self.later[0][0] <= time.monotonic():
                heapq.heappop(self.later)[2]()


def relay(at, to):
    """Passes on what comes to `at`, under another id, and what comes back."""
    s, out = Fake.socket(at), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.connect((to, 53))
    waiting, n = {}, 0
    print("begun", flush=True)
    while True:
        for ready in select.select([s, out], [], [])[0]:
            if ready is s:
                message, who = s.recvfrom(4096)
                n = (n + 1) % 65536
                waiting[n] = (message[:2], who)
                print("relayed", Query(message).name, flush=True)
                out.send(struct.pack(">H", n) + message[2:])
            else:
                message = out.recv(4096)
                head, who = waiting[struct.unpack(">H", message[:2])[0]]
                s.sendto(head + message[2:], who)


# ---- for tests

class FakeUpstream:
    def __init__(self, start, ns, *addresses, relay_to=None):
        self.addresses = addresses
        way = ["--relay", relay_to] if relay_to else []
        self.program = start([sys.executable, __file__, *way, *addresses], ns=ns)
        self.program.wait_log("begun")

    def queries(self, name):
        """[(address, protocol, port, id, name as it came, type)] of this name"""
        rows = [line.split() for line in self.program.log().splitlines()]
        return [r for r in rows if len(r) == 6 and r[4].lower() == name.lower()]

    def forged(self):
        """{what: how many}"""
        sums = {}
        for what, n in re.findall(r"^forged (\w+) (\d+)$", self.program.log(), re.M):
            sums[what] = sums.get(what, 0) + int(n)
        return sums


if __name__ == "__main__":
    if sys.argv[1] == "--relay":
        relay(sys.argv[3], sys.argv[2])
    Fake(sys.argv[1:]).run()
