# SPDX-License-Identifier: Apache-2.0
"""Servers that end as a pod does, and callers that count what fails.

    server = Server(start, pod_ns, "w1")           # listens on both families, answers with its name
    calls = Calls(start, client_ns, ["10.96.0.9:80", "[fd00:96::9]:80"])
    ...                                            # the change under test
    server.end()                                   # its connections are still served, then told so
    seen = calls.stop()

A caller has, for each address, connections that it holds and one after another of short ones. A held
one sends a record, waits for the answer, and so on; it ends only with the server's farewell, and is
made again then. Everything else counts as failed: a refusal, a reset, an end without farewell, an
answer to another record, silence. A SYN that had to be sent again (RFC 6298: after a second) was
lost: that counts too, as `late`, told by the kernel and not by a clock.

The rest of this file is what runs in the namespaces: `callers.py serve` and `callers.py call`."""
import asyncio
import json
import signal
import socket
import struct
import sys
from collections import Counter
from pathlib import Path

QUESTION, ANSWER = struct.Struct("!Q"), struct.Struct("!Q?23s")  # number; number, farewell?, name
AFTER_END = 10    # records of each held connection that a server answers after it was told to end
SILENCE_S = 10    # after this a call has failed
ACCEPT_S = 0.1    # that a server which ends goes on accepting: what waits for it was not refused


class Server:
    def __init__(self, start, ns, name, port=8000):
        self.name = name
        self.program = start([sys.executable, "-uB", Path(__file__), "serve", name, str(port)], ns=ns)
        self.program.wait_log("listening")

    def wait_asked(self):
        self.program.wait_log("asked", 20)

    def end(self):
        self.program.proc.send_signal(signal.SIGTERM)
        assert self.program.wait(30) == 0, self.program.log()


class Calls:
    """held: connections per address, a record every `every` seconds; pause: between short ones. Runs,
    with all held ones made, when the constructor returns."""

    def __init__(self, start, ns, addresses, held=1, every=0.02, pause=0.02):
        script = [sys.executable, "-uB", Path(__file__), "call", str(held), str(every), str(pause)]
        self.program = start([*script, *addresses], ns=ns)
        self.program.wait_log("calling", 60)

    def stop(self):
        """{"servers": {name: short connections}, "failed": [text], "late": n, "farewells": [name],
        "held": [records of each that is held], "retransmits": of those}"""
        assert self.program.alive(), self.program.log()
        self.program.proc.send_signal(signal.SIGTERM)
        self.program.wait(SILENCE_S + 5)
        return json.loads(self.program.log().splitlines()[-1])


# ---- in the namespaces: the server

class Serving(asyncio.Protocol):
    name, open, asked, ending = b"", set(), False, None

    def connection_made(self, transport):
        self.transport, self.left, self.buffer = transport, AFTER_END, b""
        self.open.add(self)

    def connection_lost(self, exc):
        self.open.discard(self)
        if self.ending and not self.open:
            self.ending.set()

    def data_received(self, data):
        self.buffer += data
        while len(self.buffer) >= QUESTION.size:
            number, = QUESTION.unpack_from(self.buffer)
            self.buffer = self.buffer[QUESTION.size:]
            self.answer(number)

    def answer(self, number):
        self.left -= bool(self.ending)
        self.transport.write(ANSWER.pack(number, not self.left, self.name))
        if not self.left:
            self.transport.close()
        if not Serving.asked:
            Serving.asked = True
            print("asked")


async def serve(name, port):
    told = asyncio.Event()
    Serving.name = name.encode()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024)
    server = await asyncio.get_running_loop().create_server(Serving, sock=listener)
    print("listening")
    await told.wait()
    await asyncio.sleep(ACCEPT_S)
    server.close()
    Serving.ending = asyncio.Event()
    if Serving.open:
        await Serving.ending.wait()


# ---- in the namespaces: the caller

class Seen:
    def __init__(self):
        self.servers, self.failed, self.late, self.farewells, self.held = Counter(), [], 0, [], {}
        self.over = False

    def fail(self, what, e):
        self.failed.append(f"{what}: {type(e).__name__} {e}")

    def all(self):
        return {"servers": self.servers, "failed": self.failed, "late": self.late, "farewells": self.farewells,
                "held": [n for n, _ in self.held.values()], "retransmits": sum(map(retransmits, self.writers()))}

    def writers(self):
        return [w for _, w in self.held.values()]


def retransmits(writer):
    """tcpi_total_retrans"""
    s = writer.get_extra_info("socket")
    return struct.unpack_from("I", s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 100)[0]


async def connect(seen, address):
    ip, _, port = address.rpartition(":")
    reader, writer = await asyncio.wait_for(asyncio.open_connection(ip.strip("[]"), int(port)), SILENCE_S)
    seen.late += bool(retransmits(writer))
    return reader, writer


async def ask(reader, writer, number):
    """Name of the server, and whether this was its farewell."""
    writer.write(QUESTION.pack(number))
    data = await asyncio.wait_for(reader.readexactly(ANSWER.size), SILENCE_S)
    got, farewell, name = ANSWER.unpack(data)
    if got != number:
        raise ValueError(f"{got} answers {number}")
    return name.rstrip(b"\0").decode(), farewell


async def hold(seen, address, place, every, begun):
    """One held connection after the other."""
    while not seen.over:
        name = "nobody"
        try:
            reader, writer = await connect(seen, address)
            farewell, n = False, 0
            while not farewell and not seen.over:
                name, farewell = await ask(reader, writer, n)
                n += 1
                seen.held[place] = n, writer
                begun.set()
                await asyncio.sleep(every)
            if farewell:
                seen.farewells.append(name)
                writer.close()
        except (OSError, EOFError, ValueError, asyncio.TimeoutError) as e:
            seen.fail(f"held, {address}, {name}", e)
            seen.held.pop(place, None)
            begun.set()
            await asyncio.sleep(every)


async def call_again_and_again(seen, address, pause):
    while not seen.over:
        try:
            reader, writer = await connect(seen, address)
            name, _ = await ask(reader, writer, 0)
            seen.servers[name] += 1
            writer.close()
        except (OSError, EOFError, ValueError, asyncio.TimeoutError) as e:
            seen.fail(f"short, {address}", e)
        await asyncio.sleep(pause)


async def call(held, every, pause, addresses):
    seen, told = Seen(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    tasks = []
    for address in addresses:
        for i in range(held):
            begun = asyncio.Event()
            tasks.append(asyncio.create_task(hold(seen, address, (address, i), every, begun)))
            if i % 20 == 19:  # a listener's queue of half-open ones is short
                await begun.wait()
        await begun.wait()
    tasks += [asyncio.create_task(call_again_and_again(seen, a, pause)) for a in addresses]
    print("calling")
    await told.wait()
    seen.over = True
    await asyncio.gather(*tasks)
    print(json.dumps(seen.all()))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(serve(sys.argv[2], int(sys.argv[3])))
    else:
        asyncio.run(call(int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]), sys.argv[5:]))
