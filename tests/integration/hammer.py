# SPDX-License-Identifier: Apache-2.0
"""A prober that never rests: to each address that it is told, every millisecond (EVERY) a new TCP connection, a
datagram and an echo request. It begins before anybody has the address and tells when first a connection
was made.

    h = Hammer(start, ns)
    h.at("10.0.0.7", "fd00::7")
    wait_for(h.connected)      # to all of them
    seen = h.rest()            # {"sent": packets, "failed": could not be sent, "connected": {address: time}}

Times are of time.monotonic(). The rest of this file is what runs in the namespace."""
import json
import select
import socket
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

PORT, EVERY, PATIENCE = 80, 0.001, 0.1
ECHO = {4: bytes.fromhex("0800f7ff00000000"), 6: bytes.fromhex("8000000000000000")}


class Hammer:
    def __init__(self, start, ns, every=EVERY):
        self.program = start([sys.executable, "-uB", Path(__file__), every], ns=ns, stdin=subprocess.PIPE)
        self.program.wait_log("ready", timeout=20)
        self.rounds = 0

    def at(self, *addresses):
        self.say(" ".join(addresses))

    def connected(self):
        return f"\nround {self.rounds + 1}: connected\n" in self.program.log()

    def rest(self):
        self.say("rest")
        self.rounds += 1
        self.program.wait_log(f"\nround {self.rounds} ", timeout=20)
        line, = (l for l in self.program.log().splitlines() if l.startswith(f"round {self.rounds} "))
        return json.loads(line.split(" ", 2)[2])

    def say(self, line):
        self.program.proc.stdin.write(f"{line}\n".encode())
        self.program.proc.stdin.flush()


# ---- in the namespace

class Target:
    def __init__(self, address, poll):
        self.address, self.family = address, 6 if ":" in address else 4
        af, icmp = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if self.family == 6 else (socket.AF_INET, socket.IPPROTO_ICMP)
        self.af, self.poll, self.tries = af, poll, deque()
        self.udp, self.echo = socket.socket(af, socket.SOCK_DGRAM), socket.socket(af, socket.SOCK_RAW, icmp)
        self.sent = self.failed = 0
        self.connected = None

    def attempt(self, send):
        try:
            send()
            self.sent += 1
        except BlockingIOError:
            self.sent += 1
        except OSError:  # no route yet, or somebody says that nobody is there
            self.failed += 1

    def connect(self):
        s = socket.socket(self.af, socket.SOCK_STREAM)
        s.setblocking(False)
        self.tries.append((time.monotonic(), s))
        self.poll.register(s, select.EPOLLOUT)
        s.connect((self.address, PORT))

    def hammer(self):
        self.attempt(self.connect)
        self.attempt(lambda: self.udp.sendto(b"x", (self.address, PORT)))
        self.attempt(lambda: self.echo.sendto(ECHO[self.family], (self.address, 0)))
        while self.tries and time.monotonic() - self.tries[0][0] > PATIENCE:
            self.tries.popleft()[1].close()

    def look(self, fd):
        """One of its sockets is ready: is it the first connection?"""
        for _, s in self.tries:
            if s.fileno() == fd:
                self.poll.unregister(s)
                if not s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) and not self.connected:
                    self.connected = time.monotonic()
                    return True
        return False

    def close(self):
        for s in (self.udp, self.echo, *(s for _, s in self.tries)):
            s.close()


def rest(targets, number):
    for t in targets:
        t.close()
    told = json.dumps({
        "sent": sum(t.sent for t in targets), "failed": sum(t.failed for t in targets),
        "connected": {t.address: t.connected for t in targets if t.connected}})
    print(f"round {number} {told}")  # in one piece: whoever reads finds all of it, or nothing


def main():
    poll, targets, rounds, every = select.epoll(), [], 0, float(sys.argv[1])
    poll.register(0, select.EPOLLIN)
    print("ready")
    due = 0.0
    while True:
        wait = max(0.0, due - time.monotonic()) if targets else -1
        for fd, _ in poll.poll(wait):
            if fd:
                if any([t.look(fd) for t in targets]) and all(t.connected for t in targets):
                    print(f"round {rounds + 1}: connected")
                continue
            line = sys.stdin.readline()
            if not line:
                return
            if line.strip() == "rest":
                rounds += 1
                rest(targets, rounds)
                targets = []
            else:
                targets = [Target(a, poll) for a in line.split()]
        if targets and time.monotonic() >= due:
            due = time.monotonic() + every
            for t in targets:
                t.hammer()


if __name__ == "__main__":
    main()
