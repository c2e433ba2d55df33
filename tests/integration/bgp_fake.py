# SPDX-License-Identifier: Apache-2.0
"""A role bgp without BGP, that tells the agent the routes that the test wants told and notes what the agent wants told; and what
an agent says of its routes."""
import socket
import textwrap

from harness import built, wait_for


def get_routes(node, *args):
    """`fairlead get routes` asks the default place: that is this node's in a mount namespace."""
    at_home = (f"mount --bind {node.keeper.run_dir} /mnt && mount -t tmpfs none /run && mkdir /run/fairlead &&"
               " mount --bind /mnt /run/fairlead && exec \"$@\"")
    return node.ns.run("unshare", "-m", "sh", "-c", at_home, "sh", built("bin/fairlead"), "get", "routes", *args).stdout


SPEAKER = textwrap.dedent(r"""
    import select
    ROUTE, ROUTES, ORIGIN, ORIGINS = range(25, 29)
    stream, pending = None, b""
    node = next(l.split()[1] for l in open(sys.argv[2]) if l.startswith("node "))
    orders = orders_at(f"{out}.{node}")

    def packed(ip):
        return socket.inet_pton(socket.AF_INET6 if ":" in ip else socket.AF_INET, ip)

    def prefix(p):
        ip, _, n = p.partition("/")
        return packed(ip) + bytes([int(n)])

    def prefix_text(b):
        return socket.inet_ntop(socket.AF_INET6 if len(b) > 5 else socket.AF_INET, b[:-1]) + f"/{b[-1]}"

    def route(p, *via, peer="tor", why="only"):
        hops = b"".join(varint(len(packed(v))) + packed(v) for v in via)
        stream.sendall(frame(ROUTE, text(1, prefix(p)) + text(2, varint(len(via)) + hops)
                             + text(3, peer) + text(4, why)))

    def withdraw(p):
        stream.sendall(frame(ROUTE, text(1, prefix(p)) + varint(5 << 1) + b"\1"))

    def end(complete=True):
        stream.sendall(frame(ROUTES, varint(1 << 1) + b"\1" if complete else b""))

    def garbage():
        stream.sendall(frame(ROUTE, text(1, b"xyz")))

    def read():
        global stream, pending
        try:
            data = stream.recv(1 << 16)
        except ConnectionResetError:
            data = b""
        if not data:
            note(node, "eof")
            stream, pending = None, b""
            return
        got, pending = frames(pending + data)
        for kind, f in got:
            if kind == ORIGIN:
                of = "/".join(f.get(i, b"").decode() for i in (2, 3, 4))
                note(node, "origin", prefix_text(f[1]), None if f.get(5) else of)
            elif kind == ORIGINS:
                note(node, "origins", bool(f.get(1)))

    send(READY, text(1, name))
    while True:
        for s in select.select([keeper, orders] + ([stream] if stream else []), [], [])[0]:
            if s is keeper:
                kind, got, fds = receive()
                if kind is None:
                    sys.exit(0)
                if kind == JOIN and got[1] == b"agent":
                    stream, pending = socket.socket(fileno=fds[0]), b""
                    stream.setblocking(True)
                    note(node, "joined")
                else:
                    for fd in fds:
                        os.close(fd)
            elif s is orders:
                take_order(orders)
            elif s is stream:
                read()
    """)


class Speaker:
    """The fake of one node."""

    def __init__(self, fakes, node):
        self.fakes, self.node = fakes, node

    def do(self, *lines):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(10)
        wait_for(lambda: self._connect(s), 10, f"{self.node}: the fake speaker takes orders")
        s.sendall((";".join(lines) + "\n").encode())
        answer = s.makefile().read()
        assert answer == "ok", answer

    def _connect(self, s):
        try:
            s.connect(f"{self.fakes.out}.{self.node}")
        except OSError:
            return False
        return True

    def notes(self, pid=None):
        """What it noted since `pid` began, or at all: rows without the head."""
        return [r[4:] for r in self.fakes.notes("bgp") if r[3] == self.node and pid in (None, r[1])]

    def wait(self, *what, pid=None, timeout=10):
        return wait_for(lambda: list(what) in self.notes(pid), timeout, f"{self.node}: bgp notes {what}")

    def origins(self, pid=None):
        """What is to be told by now: {prefix: whose}."""
        now = {}
        for row in self.notes(pid):
            if row[0] == "joined":
                now = {}
            if row[0] == "origin":
                now[row[1]] = row[2]
        return {p: of for p, of in now.items() if of}
