# SPDX-License-Identifier: Apache-2.0
"""Roles that are scripts, speaking the wire format of model/record.h by hand, in the place of
the real ones; and what tests ask of a running keeper from outside."""
import json
import os
import socket
import textwrap
from pathlib import Path

import pytest

from harness import built, wait_for

ROLE_PRELUDE = textwrap.dedent(r"""
    #!/usr/bin/python3
    import array, json, os, signal, socket, struct, sys, time, traceback
    BIND, BOUND, JOIN, READY = 1, 2, 3, 4
    keeper = socket.socket(fileno=3)
    out = os.environ["FAKE_OUT"]
    name = sys.argv[0].rpartition("/")[2]

    def varint(n):
        b = b""
        while n > 127:
            b, n = b + bytes([n & 127 | 128]), n >> 7
        return b + bytes([n])

    def number(field, n):
        return varint(field << 1) + varint((n << 1) ^ (n >> 63))

    def text(field, s):
        s = s if isinstance(s, bytes) else s.encode()
        return varint(field << 1 | 1) + varint(len(s)) + s

    def frame(kind, body):
        return struct.pack(">IHH", len(body) + 4, kind, 1) + body

    def send(kind, body):
        keeper.send(frame(kind, body))

    def fields(body):
        got, i = {}, 0
        def take():
            nonlocal i
            n = shift = 0
            while True:
                b = body[i]; i += 1
                n |= (b & 127) << shift; shift += 7
                if b < 128:
                    return n
        while i < len(body):
            tag = take()
            if tag & 1:
                n = take(); got[tag >> 1] = body[i:i + n]; i += n
            else:
                n = take(); got[tag >> 1] = (n >> 1) ^ -(n & 1)
        return got

    def frames(pending):
        # Those that a stream's bytes begin with, and the bytes after them.
        got = []
        while len(pending) >= 8:
            size, kind, _ = struct.unpack(">IHH", pending[:8])
            if len(pending) < size + 4:
                break
            got.append((kind, fields(pending[8:size + 4])))
            pending = pending[size + 4:]
        return got, pending

    def receive():
        data, fds, flags, _ = socket.recv_fds(keeper, 65536, 4)
        if not data:
            return None, None, []
        size, kind, version = struct.unpack(">IHH", data[:8])
        assert size == len(data) - 4 and version == 1
        return kind, fields(data[8:]), fds

    def bind(proto, addr=None, port=0, path=None):
        body = number(1, 7) + text(2, proto)
        if addr:
            family = socket.AF_INET6 if ":" in addr else socket.AF_INET
            body += text(3, socket.inet_pton(family, addr))
        if port:
            body += number(4, port)
        if path:
            body += text(5, path)
        send(BIND, body)
        while True:
            kind, got, fds = receive()
            if kind == BOUND:
                assert got[1] == 7
                return got.get(2, 0), got.get(3, b"").decode(), fds

    def orders_at(path):
        # Each connection there sends one line of Python, for take_order() to run.
        s = socket.socket(socket.AF_UNIX)
        if os.path.exists(path):
            os.unlink(path)
        s.bind(path)
        s.listen()
        return s

    def take_order(orders):
        c, _ = orders.accept()
        line = b""
        while not line.endswith(b"\n"):
            line += c.recv(65536)
        try:
            exec(line.decode(), globals())
            c.sendall(b"ok")
        except Exception:
            c.sendall(traceback.format_exc().encode())
        c.close()

    def note(*what):
        with open(out, "a") as f:
            f.write(json.dumps([name, os.getpid(), time.monotonic(), *what]) + "\n")
    """).lstrip()


@pytest.fixture
def fakes(scratch):
    """Factory: fakes("watch", agent="python code", …) is a libexec folder with the real watch and
    that program; what it note()s is read with .notes()."""
    class Fakes:
        path = scratch / "libexec"
        out = scratch / "notes"

        def __init__(self, *real, **roles):
            self.path.mkdir()
            self.out.touch()
            for name in real:
                (self.path / name).symlink_to(built(f"libexec/fairlead/{name}"))
            for name, code in roles.items():
                p = self.path / name
                p.write_text(ROLE_PRELUDE.replace('os.environ["FAKE_OUT"]', repr(str(self.out)))
                             + textwrap.dedent(code))
                p.chmod(0o755)

        def notes(self, role=None):
            rows = [json.loads(line) for line in self.out.read_text().splitlines()]
            return [r for r in rows if role in (None, r[0])]

        def wait(self, role, what, timeout=10):
            return wait_for(lambda: [r for r in self.notes(role) if r[3] == what], timeout,
                            f"{role} notes {what}")
    return Fakes


def get(ns, path, port=9099, host="127.0.0.1", timeout=10, method="GET", raw=None):
    """Status and body of an HTTP request from inside of the namespace, over a plain socket."""
    request = raw or f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n"
    code = ("import socket,sys\n"
            f"s=socket.create_connection(({host!r},{port}),{timeout})\n"
            f"s.sendall({request!r}.encode())\n"
            "data=b''\n"
            "while True:\n"
            "    d=s.recv(65536)\n"
            "    if not d: break\n"
            "    data+=d\n"
            "sys.stdout.buffer.write(data)\n")
    r = ns.run("/usr/bin/python3", "-c", code, check=False, timeout=timeout + 20)
    if r.returncode:
        raise OSError(r.stderr.strip().splitlines()[-1])
    head, _, body = r.stdout.partition("\r\n\r\n" if "\r\n\r\n" in r.stdout else "\n\n")
    return int(head.split()[1]), body


def metric(ns, name, labels="", **kw):
    status, body = get(ns, "/metrics", **kw)
    assert status == 200
    key = f"{name}{{{labels}}}" if labels else name
    for line in body.splitlines():
        if line.startswith(key + " "):
            return float(line.split()[-1])
    return None


def status_of(pid):
    return dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
                if ":\t" in line)


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


# A subscriber of watch that takes its orders from the test: each connection to its socket sends
# one line of Python, which is run; everything that watch says is noted.
SUBSCRIBER = textwrap.dedent(r"""
    import select
    HELLO, PUT, DELETE, SYNC, WRITE, WRITTEN = range(5, 11)
    NODE, NAMESPACE, POD, NODESTATE = 1, 2, 3, KIND_NODESTATE
    stream, pending, reading, kinds = None, b"", True, [NODE, NAMESPACE, POD]
    orders = orders_at(out + ".orders")

    def zigzag(n):
        return varint((n << 1) ^ (n >> 63))

    def hello():
        items = b"".join(varint(len(zigzag(k))) + zigzag(k) for k in kinds)
        stream.sendall(frame(HELLO, text(1, name) + text(2, varint(len(kinds)) + items)))

    def meta(ns, obj, labels={}):
        m = text(1, obj) + (text(2, ns) if ns else b"")
        if labels:
            words = [w.encode() for pair in sorted(labels.items()) for w in pair]
            m += text(4, varint(len(labels)) + b"".join(varint(len(w)) + w for w in words))
        return m

    def write(id, op, kind, ns, obj, expect=0, body=None):
        b = number(1, id) + varint(2 << 1) + varint(op)
        if expect:
            b += number(3, expect)
        b += number(4, kind) + (text(5, ns) if ns else b"") + text(6, obj)
        if body is not None:
            b += text(7, body)
        stream.sendall(frame(WRITE, b))

    def obj_of(body):
        m = fields(fields(body)[1])
        return [m.get(2, b"").decode() or None, m[1].decode()]

    def on_frame(kind, f):
        if kind == PUT:
            note("put", f[1], *obj_of(f[3]), f[2])
        elif kind == DELETE:
            note("del", f[1], f.get(3, b"").decode() or None, f[4].decode(), f.get(2, 0))
        elif kind == SYNC:
            if f.get(5):
                note("incomplete")
            note("sync", f.get(1, 0), bool(f.get(2)), bool(f.get(3)), f.get(4, b"").decode())
        elif kind == WRITTEN:
            note("written", f[1], f.get(2, 0), f.get(3, 0), f.get(4, b"").decode())

    def take_stream():
        global stream, pending
        try:
            data = stream.recv(1 << 16)
        except ConnectionResetError:
            data = b""
        if not data:
            note("eof")
            stream, pending = None, b""
            return
        got, pending = frames(pending + data)
        for kind, f in got:
            on_frame(kind, f)

    send(READY, text(1, name))
    while True:
        sources = [keeper, orders] + ([stream] if stream and reading else [])
        for s in select.select(sources, [], [])[0]:
            if s is keeper:
                kind, got, fds = receive()
                if kind is None:
                    sys.exit(0)
                if kind == JOIN and got[1] == b"watch":
                    stream, pending = socket.socket(fileno=fds[0]), b""
                    stream.setblocking(True)
                    note("joined")
                    hello()
                else:
                    for fd in fds:
                        os.close(fd)
            elif s is orders:
                take_order(orders)
            elif s is stream:
                take_stream()
    """)


# A watch with a store of its own, in which a ReplicaSet waits for its pod. When it has made the
# pod the ReplicaSet goes, and at once the stream. The next stream says nothing for a while, then
# gives the list: without the ReplicaSet, or with it where BACK, and with another one.
FORGETFUL_WATCH = textwrap.dedent(r"""
    import select
    HELLO, PUT, DELETE, SYNC, WRITE, WRITTEN = range(5, 11)
    OPS = "none", "create", "update", "delete", "status"
    NODE, POD, REPLICASET = 1, 3, 6
    SILENCE = 2.5  # longer than a write that failed waits for its next try
    objects, rev, stream, pending, streams, speak_at = {}, 0, None, b"", 0, None

    def join(fd):
        global stream, pending, streams
        stream, pending, streams = socket.socket(fileno=fd), b"", streams + 1

    def put(kind, ns, obj, body=None):
        global rev
        rev += 1
        meta = text(1, obj) + (text(2, ns) if ns else b"")
        objects[kind, ns, obj] = rev, body or text(1, meta)
        return told(kind, ns, obj)

    def told(*key):
        return frame(PUT, number(1, key[0]) + number(2, objects[key][0]) + text(3, objects[key][1]))

    def take(kind, ns, obj):
        global rev
        rev += 1
        objects.pop((kind, ns, obj), None)
        return frame(DELETE, number(1, kind) + number(2, rev) + (text(3, ns) if ns else b"")
                     + text(4, obj))

    def sync():
        return frame(SYNC, number(1, rev) + varint(2 << 1) + varint(1))

    def list_all():
        note("list")
        stream.sendall(b"".join(told(*key) for key in objects) + sync())

    def on_write(f):
        global stream
        op = OPS[f[2] << 1 ^ f[2] >> 63]
        key = f[4], f.get(5, b"").decode() or None, f[6].decode()
        note("write", op, *key)
        change = take(*key) if op == "delete" else put(*key, f[7])
        stream.sendall(change + sync() + frame(WRITTEN, number(1, f[1]) + number(3, rev)))
        if op == "create" and key[0] == POD and streams == 1:
            stream.sendall(take(REPLICASET, "shop", "web") + sync())
            stream.close()
            stream = None
            if BACK:
                put(REPLICASET, "shop", "web")
            put(REPLICASET, "shop", "more")

    put(NODE, None, "n1")
    put(REPLICASET, "shop", "web")
    send(READY, text(1, name))
    while True:
        wait = max(0, speak_at - time.monotonic()) if speak_at else None
        ready = select.select([keeper] + ([stream] if stream else []), [], [], wait)[0]
        if speak_at and time.monotonic() >= speak_at:
            speak_at = None
            list_all()
        if keeper in ready:
            kind, got, fds = receive()
            if kind is None:
                sys.exit(0)
            if kind == JOIN and got[1] == b"controller":
                join(fds[0])
        if stream and stream in ready:
            data = stream.recv(1 << 16)
            got, pending = frames(pending + data)
            for kind, f in got:
                if kind == HELLO and streams == 1:
                    list_all()
                elif kind == HELLO:
                    note("silent")
                    speak_at = time.monotonic() + SILENCE
                elif kind == WRITE and stream:
                    on_write(f)
    """)


class Subscriber:
    """The test's hand on a SUBSCRIBER."""

    def __init__(self, fakes, role="agent"):
        self.fakes, self.role = fakes, role

    def order(self, line):
        with socket.socket(socket.AF_UNIX) as c:
            wait_for(lambda: c.connect(str(self.fakes.out) + ".orders") is None)
            c.sendall(line.encode() + b"\n")
            answer = c.recv(65536).decode()
        assert answer == "ok", answer

    def heard(self, what=None, since=0):
        rows = [n[3:] for n in self.fakes.notes(self.role)][since:]
        return [r for r in rows if what in (None, r[0])]

    def mark(self):
        return len(self.fakes.notes(self.role))

    def wait(self, what, test=lambda *a: True, since=0, timeout=10):
        return wait_for(lambda: next((r for r in self.heard(what, since) if test(*r[1:])), None),
                        timeout, f"{self.role} hears {what}")

    def write(self, id, op, kind, ns, name, expect=0, body="None"):
        """The answer: code, revision, text."""
        since = self.mark()
        self.order(f"write({id}, {op}, {kind}, {ns!r}, {name!r}, {expect}, {body})")
        return self.wait("written", lambda i, *_: i == id, since)[2:]
