# SPDX-License-Identifier: Apache-2.0
"""Running flows, and what became of them: one TCP connection that sends a record every 10 ms, each after
the answer to the one before, and a UDP stream of 1000 numbered datagrams a second.

    flow = Flows(start, source_ns, target_ns, target_ip)
    ...                             # the change under test
    seen = flow.stop()

A machine that is too busy to let these programs run is neither loss nor a stall: loss is told by
numbers, retransmissions by the kernel that makes them. Nor is one that is so quick that the change is
over at once: stop() lets both flows send ENOUGH first, so that silence never passes for a whole flow. With one record in flight and tail loss
probes (RFC 8985) off, each retransmission is a timeout (RFC 6298; 200 ms here, doubled each time),
so `most` = 1 says that the way was back when the first one came by.

The rest of this file is what runs in the two namespaces: `flows.py sink` and `flows.py send`."""
import json
import select
import signal
import socket
import struct
import sys
import time
from pathlib import Path

RECORD = struct.Struct("!Q")  # its number
TCP_EVERY, UDP_EVERY = 0.010, 0.001
BURST = 50  # datagrams at once, when this program did not get to run for a while
ENOUGH = {"records": 30, "datagrams": 600}
SO_RCVBUFFORCE, RCVBUF = 33, 8 << 20


class Flows:
    """From `src` to `dst` (NetNS), where `ip` answers. Runs when the constructor returns."""

    def __init__(self, start, src, dst, ip, port=9100):
        script = [sys.executable, "-uB", Path(__file__)]
        self.sink = start([*script, "sink", str(port)], ns=dst)
        self.sink.wait_log("listening")
        self.sender = start([*script, "send", ip, str(port)], ns=src)
        self.sender.wait_log("sending", timeout=20)

    def alive(self):
        return self.sender.alive() and self.sink.alive()

    def stop(self):
        """{"tcp": {records, retransmits, most (retransmissions of one record), ms (the longest until an
        answer), at (s since the start, of that one)},
        "udp": {sent, lost, twice, runs: [[first number = ms since the start, datagrams]]}}"""
        self.sender.wait_log("enough", timeout=30)
        sent, got = self._end(self.sender), self._end(self.sink)
        tail = sent["udp"]["sent"] - 1 - got["last"]
        runs = got["runs"] + ([[got["last"] + 1, tail]] if tail > 0 else [])
        return {"tcp": sent["tcp"], "udp": {"sent": sent["udp"]["sent"], "twice": got["twice"],
                                            "lost": sum(n for _, n in runs), "runs": runs}}

    @staticmethod
    def _end(program):
        assert program.alive(), program.log()
        program.proc.send_signal(signal.SIGTERM)
        program.wait(15)
        return json.loads(program.log().splitlines()[-1])


# ---- in the namespaces

class Ended(Exception):
    pass


def on_term(*_):
    raise Ended


class Numbers:
    """Which datagrams came: the first number that has not, and what was left out before it."""

    def __init__(self):
        self.last, self.missing, self.twice = -1, set(), 0

    def add(self, n):
        if n > self.last:
            self.missing.update(range(self.last + 1, n))
            self.last = n
        elif n in self.missing:
            self.missing.remove(n)
        else:
            self.twice += 1

    def runs(self):
        out = []
        for n in sorted(self.missing):
            if out and out[-1][0] + out[-1][1] == n:
                out[-1][1] += 1
            else:
                out.append([n, 1])
        return out


def listen(port):
    tcp = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    udp.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RCVBUF)
    udp.bind(("::", port))
    return tcp, udp


def echo(conn):
    """False where the connection ended. A sender that is told to stop may leave an answer unread, and
    its end is a reset then; one on the way is the sender's to tell."""
    try:
        data = conn.recv(64)
        conn.sendall(data)
    except ConnectionError:
        return False
    return bool(data)


def sink(port):
    server, udp = listen(port)
    numbers, conns = Numbers(), []
    print("listening")
    try:
        while True:
            for s in select.select([server, udp, *conns], [], [])[0]:
                if s is server:
                    conns.append(server.accept()[0])
                    conns[-1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                elif s is udp:
                    numbers.add(RECORD.unpack(udp.recv(64))[0])
                elif not echo(s):
                    conns.remove(s)
    except Ended:
        pass
    print(json.dumps({"last": numbers.last, "twice": numbers.twice, "runs": numbers.runs()}))


class Records:
    """The sender's end of the TCP connection."""

    def __init__(self, ip, port):
        Path("/proc/sys/net/ipv4/tcp_early_retrans").write_text("0")
        self.socket = s = socket.create_connection((ip, port), timeout=10)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.setblocking(False)
        self.begun = self.written = time.monotonic()
        self.waiting = False
        self.seen = {"records": 0, "retransmits": 0, "most": 0, "ms": 0.0, "at": 0.0}

    def due(self):
        return float("inf") if self.waiting else self.written + TCP_EVERY

    def write(self, now):
        self.socket.send(RECORD.pack(self.seen["records"]))
        self.written, self.waiting = now, True

    def answered(self):
        assert self.socket.recv(64) == RECORD.pack(self.seen["records"])
        self.waiting = False
        # tcpi_total_retrans
        total = struct.unpack_from("I", self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 100)[0]
        ms = (time.monotonic() - self.written) * 1e3
        self.seen["records"] += 1
        self.seen["most"] = max(self.seen["most"], total - self.seen["retransmits"])
        self.seen["retransmits"] = total
        if ms > self.seen["ms"]:
            self.seen["ms"], self.seen["at"] = round(ms, 1), round(self.written - self.begun, 3)


def send_due(udp, number, due, now):
    """The datagrams that are due; one that the own kernel refuses was sent all the same: the
    receiver misses it. Returns the next number and when it is due."""
    for _ in range(BURST):
        if due > now:
            break
        try:
            udp.send(RECORD.pack(number))
        except OSError:
            pass
        number += 1
        due += UDP_EVERY
    return number, max(due, now - BURST * UDP_EVERY)


def send(ip, port):
    tcp = Records(ip, port)
    udp = socket.socket(tcp.socket.family, socket.SOCK_DGRAM)
    udp.connect((ip, port))
    number, udp_due, enough = 0, time.monotonic(), False
    print("sending")
    try:
        while True:
            now = time.monotonic()
            if now >= tcp.due():
                tcp.write(now)
            number, udp_due = send_due(udp, number, udp_due, now)
            wait = max(0.0, min(tcp.due(), udp_due) - time.monotonic())
            if select.select([tcp.socket], [], [], wait)[0]:
                tcp.answered()
            if not enough and tcp.seen["records"] >= ENOUGH["records"] and number >= ENOUGH["datagrams"]:
                print("enough")
                enough = True
    except Ended:
        pass
    if tcp.waiting and select.select([tcp.socket], [], [], 10)[0]:
        tcp.answered()
    print(json.dumps({"tcp": tcp.seen, "udp": {"sent": number}}))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, on_term)
    if sys.argv[1] == "sink":
        sink(int(sys.argv[2]))
    else:
        send(sys.argv[2], int(sys.argv[3]))
