# SPDX-License-Identifier: Apache-2.0
"""Role dns beside the agent, which fills the table of names for it: no query is lost while either starts anew or another keeper takes over,
changes are there within milliseconds, and the role holds no second copy of the cluster."""
import json
import os
import re
import signal
import sys
import time

import pytest
from agent_world import pools, world  # noqa: F401
from dns_world import SHOP, Dns, namespace, pod, service, slice_of
from harness import built, needs, wait_for
from roles import fakes  # noqa: F401
from test_dns import HAMMER
from test_takeover import takeover  # noqa: F401

pytestmark = needs("dig")

WEB, DB = "web.shop.svc.cluster.local", "db.shop.svc.cluster.local"


class AgentDns(Dns):
    """The server of a node that has an agent."""

    def __init__(self, node, store, start, scratch):
        self.node, self.ns, self.keeper, self.store, self.start, self.scratch = node, node.ns, node.keeper, store, start, scratch
        wait_for(lambda: (self.keeper.run_dir / "dns.sock").exists(), 20, "role dns answers")

    def status(self):
        return json.loads(self.fairlead("status", "-o", "json").stdout)["servers"][0]

    def kill(self, role, sig=signal.SIGKILL):
        old = self.keeper.wait_role(role)
        os.kill(old, sig)
        return wait_for(lambda: self.keeper.pid(role) not in (None, old) and self.keeper.pid(role), 20, f"a new {role}")

    def hammer(self, seconds, rate=500):
        h = self.start([sys.executable, "-u", "-c", HAMMER, WEB, str(seconds), str(rate)], ns=self.ns)
        h.wait_log("begun")
        return h

    def endpoints(self, *ips):
        self.store.apply(slice_of("db", *ips))
        wait_for(lambda: self.answers(DB) == sorted(ips), 10, f"{DB} has {ips}")

    def maps(self, role):
        return (f"/proc/{self.keeper.pid(role)}/maps", open(f"/proc/{self.keeper.pid(role)}/maps").read())[1]


def all_answered(hammer, least):
    assert hammer.wait(40) == 0
    n, got, slow = map(int, hammer.log().split()[-3:])
    print(f"{n} queries, {got} answers, the slowest after {slow} ms")
    assert n >= least and got == n, hammer.log()


@pytest.fixture
def dns(world, store, start, scratch):  # noqa: F811
    """Factory: a node with these objects; `meanwhile` is called with it before role dns is waited for."""
    def up(*objects, meanwhile=None, **conf):
        conf.setdefault("dns_upstream", "off")
        node, = world.up(10, objects=[*pools(), *objects], roles="agent watch dns health", dns_listen="127.0.0.1",
                         before=lambda n: n.ns.batch("link set lo up"), **conf)
        if meanwhile:
            meanwhile(node)
        return AgentDns(node, store, start, scratch)
    return up


def test_names_are_the_agents(dns):
    d = dns(*SHOP, pod("p", "10.244.9.9"))
    assert d.answers(WEB) == ["10.96.0.1"]
    assert d.answers("10-244-9-9.shop.pod.cluster.local") == ["10.244.9.9"]
    assert d.dig("nobody.shop.svc.cluster.local")[1] == "NXDOMAIN"
    s = d.status()
    assert s["from"] == "agent" and s["known"] is True and 0 <= s["seconds"] < 60
    head, row = d.fairlead("status").stdout.splitlines()[:2]
    assert head.split()[-2:] == ["FROM", "SINCE"] and "agent" in row
    assert re.search(r"r--s .*fairlead-dns \(deleted\)", d.maps("dns")) and "rw-s" in d.maps("agent")
    assert not re.search(r"rw-s .*fairlead-dns \(", d.maps("dns"))
    wait_for(lambda: "fairlead_dns_agent_table 1" in d.metrics() and re.search(r"^fairlead_dns_names [1-9]", d.metrics(), re.M), 20)
    d.endpoints("10.244.1.2", "10.244.2.4")
    d.store.delete(service("web", "10.96.0.1"))
    wait_for(lambda: d.dig(WEB)[1] == "NXDOMAIN", 5)


def test_dns_dies(dns):
    """The next process has the table at once."""
    d = dns(*SHOP)
    h = d.hammer(6)
    for sig in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
        time.sleep(1)  # of answers in between
        d.kill("dns", sig)
    all_answered(h, 2500)
    wait_for(lambda: d.status()["from"] == "agent", 10)
    d.endpoints("10.244.5.5")


def test_agent_dies(dns):
    """What the last agent left is answered, also by a process of dns that goes on, and changes come with the next one."""
    d = dns(*SHOP)
    before = d.keeper.pid("dns")
    h = d.hammer(6)
    for i in range(2):
        d.kill("agent")
        d.node.wait_serving()
        d.endpoints(f"10.244.6.{i + 1}")
    all_answered(h, 2500)
    assert d.keeper.pid("dns") == before and d.status()["from"] == "agent"
    # The tables of the agents before are let go of.
    wait_for(lambda: d.maps("dns").count("fairlead-dns (deleted)") == 1, 10)
    d.kill("dns")
    d.endpoints("10.244.6.9")
    # Both at once.
    agent, role = d.keeper.pid("agent"), d.keeper.pid("dns")
    os.kill(agent, signal.SIGKILL)
    os.kill(role, signal.SIGKILL)
    wait_for(lambda: d.keeper.pid("dns") not in (None, role) and d.keeper.pid("agent") not in (None, agent), 20)
    d.endpoints("10.244.6.10")


def test_agent_stays_away(dns, world):  # noqa: F811
    """A role whose agent cannot give it a table takes the names from the store itself, and drops them when the agent is back."""
    d = dns(*SHOP)
    agent = d.keeper.pid("agent")
    os.kill(agent, signal.SIGSTOP)
    try:
        role = d.kill("dns")
        wait_for(lambda: d.dig(WEB)[1] == "NOERROR", 10)
        assert d.status()["from"] == "store"
        d.endpoints("10.244.7.1")
    finally:
        os.kill(agent, signal.SIGCONT)
    wait_for(lambda: d.status()["from"] == "agent", 10)
    d.endpoints("10.244.7.2")
    assert d.keeper.pid("dns") == role
    assert "rw-p 00000000 00:00 0" in d.maps("dns") and d.maps("dns").count("fairlead-dns (deleted)") == 1


def test_other_zones(dns):
    """After a reload with another zone neither side goes by the other's old configuration."""
    d = dns(*SHOP)
    before = d.keeper.pid("agent"), d.keeper.pid("dns")
    d.keeper.conf.write_text(d.keeper.conf.read_text() + "cluster-domain example.test\n")
    os.kill(d.keeper.program.pid, signal.SIGHUP)
    wait_for(lambda: None not in (now := (d.keeper.pid("agent"), d.keeper.pid("dns"))) and not set(now) & set(before), 20)
    wait_for(lambda: d.dig("web.shop.svc.example.test")[1] == "NOERROR" and d.status()["from"] == "agent", 10)
    assert d.dig(WEB)[1] == "REFUSED"


def test_dead_readers_hold_nothing(dns):
    """Processes that died within a query: their places are the next one's."""
    d = dns(*SHOP, dns_workers=32)
    for _ in range(6):  # 32 of 128 places each
        d.kill("dns")
        wait_for(lambda: d.dig(WEB)[1] == "NOERROR", 10)
    assert d.status()["from"] == "agent"
    assert "readers" not in d.keeper.program.log()


EVIL = r"""
    # A role dns that does with the agent's memory what it likes.
    import mmap, random, select
    def joined():
        while True:
            kind, got, fds = receive()
            if kind is None:
                sys.exit()
            if kind == JOIN and got[1] == b"agent":
                return socket.socket(fileno=fds[0])
    def refused(f):
        try:
            f()
        except (OSError, ValueError) as e:
            return True
        return False
    stream, pending, records, memory = joined(), b"", [], []
    while len(records) < 2:
        select.select([stream], [], [])
        data, fds, _, _ = socket.recv_fds(stream, 65536, 4)
        got, pending = frames(pending + data)
        records, memory = records + got, memory + fds
    (_, area), (_, table) = records
    readers, region = memory
    note("refused", [refused(f) for f in (
        lambda: mmap.mmap(region, table[1], mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE), lambda: os.pwrite(region, b"x", 0),
        lambda: os.ftruncate(region, 0), lambda: os.ftruncate(region, 2 * table[1]), lambda: os.ftruncate(readers, 0))])
    m, r = mmap.mmap(readers, area[1]), random.Random(1)
    stream.sendall(frame(30, r.randbytes(100)) + frame(25, b""))
    note("evil")
    while True:
        for i in range(0, len(m), 8):
            m[i:i + 8] = r.choice((b"\1" + bytes(7), b"\xff" * 8, r.randbytes(8)))
        if select.select([keeper], [], [], .001)[0] and not receive()[0]:
            sys.exit()
    """


def test_evil_reader(dns, fakes, store):  # noqa: F811
    """It cannot write to the table; what it writes where readers say that they read harms nobody, and an honest one has its place afterwards."""
    made = fakes("agent", "watch", "health", dns=EVIL)

    def meanwhile(node):
        agent = node.keeper.wait_role("agent")
        wait_for(lambda: [n for n in made.notes("dns") if n[-1] == "evil"], 20, "the evil one has all")
        assert [n for n in made.notes("dns") if n[-2] == "refused"][0][-1] == [True] * 5
        for i in range(30):
            store.apply(slice_of("db", *[f"10.244.9.{k}" for k in range(1, i + 2)]))
        assert node.keeper.pid("agent") == agent and len([n for n in made.notes("dns") if n[-1] == "evil"]) == 1
        (made.path / "dns").unlink()
        (made.path / "dns").symlink_to(built("libexec/fairlead/dns"))
        os.kill(node.keeper.pid("dns"), signal.SIGKILL)
    d = dns(*SHOP, meanwhile=meanwhile, libexec_dir=made.path)
    wait_for(lambda: len(d.answers(DB)) == 30, 10)
    assert d.status()["from"] == "agent" and d.answers(WEB) == ["10.96.0.1"]
    d.endpoints("10.244.9.99")


def test_takeover_loses_no_query(dns, takeover):  # noqa: F811
    d = dns(*SHOP)
    h = d.hammer(12)
    for _ in range(2):
        before = d.keeper.pid("dns")
        takeover(d.keeper)
        assert d.keeper.pid("dns") != before
        wait_for(lambda: d.status()["from"] == "agent", 10)
    all_answered(h, 5000)
    d.endpoints("10.244.8.1")


ASKER = """
import socket, struct, sys, time
# Asks for a name once and again, and says when the answer became another.
q = struct.pack('>HHHHHH', 7, 0x100, 1, 0, 0, 0) + b''.join(bytes([len(x)]) + x.encode() for x in sys.argv[1].split('.')) + \
    b'\\0' + struct.pack('>HH', 1, 1)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('127.0.0.1', 53)); s.settimeout(5)
last = None
while True:
    s.send(q); m = s.recv(2048)
    if m[6:] != last:
        last = m[6:]
        print(time.time_ns(), *(socket.inet_ntoa(m[i + 12:i + 16]) for i in range(len(q), len(m) - 15, 16)), flush=True)
    time.sleep(.0005)
"""


def test_change_is_seen_soon(dns):
    """From when an object is in the store, by its file's time, to an answer that has it."""
    d = dns(*SHOP)
    d.endpoints("10.244.50.0")
    asker = d.start([sys.executable, "-u", "-c", ASKER, DB], ns=d.ns)
    asker.wait_log("10.244.50.0")
    file, = d.store.path.rglob("shop/db-ipv4.json")
    took = []
    for i in range(1, 21):
        d.store.apply(slice_of("db", f"10.244.50.{i}"))
        written = file.stat().st_ctime_ns
        seen = wait_for(lambda: re.search(rf"^(\d+) 10\.244\.50\.{i}$", asker.log(), re.M), 10)  # noqa: B023
        took.append((int(seen[1]) - written) / 1e6)
    took.sort()
    print(f"an endpoint's change is answered {took[0]:.1f} ms after it is in the store at best, {took[10]:.1f} in the middle, {took[-1]:.1f} at worst")
    assert took[10] < 200


def memory_kb(pid):
    text = open(f"/proc/{pid}/smaps_rollup").read()
    return {k: int(v) for k, v in re.findall(r"^(\w+):\s+(\d+) kB", text, re.M)}


@pytest.mark.slow("loads thousands of Services")
def test_the_role_is_small(dns):
    """Its own memory does not grow with the cluster."""
    d = dns(*SHOP, namespace("many"))
    for _ in range(40):  # each worker has begun
        assert d.answers(WEB)
    small = memory_kb(d.keeper.pid("dns"))
    d.store.apply(*[o for i in range(1000) for o in (service(f"s{i}", f"10.97.{i // 250}.{i % 250 + 1}", ns="many"),
                                                     slice_of(f"s{i}", *[f"10.245.{i // 50}.{i % 50 * 5 + k}" for k in range(5)], ns="many"))])
    wait_for(lambda: d.answers("s999.many.svc.cluster.local") == ["10.97.3.250"], 60)
    for i in range(0, 1000, 20):
        assert d.answers(f"s{i}.many.svc.cluster.local")
    large = memory_kb(d.keeper.pid("dns"))
    own = [m["Private_Dirty"] for m in (small, large)]
    print(f"role dns: {own[0]} kB of its own, {own[1]} kB with 1000 Services more; Pss {small['Pss']} and {large['Pss']} kB; "
          f"the agent {memory_kb(d.keeper.pid('agent'))['Pss']} kB")
    assert own[1] < own[0] + 512 and own[1] < 6144
