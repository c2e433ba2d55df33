# SPDX-License-Identifier: Apache-2.0
"""What role dns takes from those it asks, on the wire: forged answers, loops, upstreams that are silent, slow or back again. The upstream
(dns_fake.py) does as the name that it is asked for says."""
import re
import signal
import sys
import time

import pytest
from dns_fake import FORGED, HONEST, FakeUpstream
from dns_world import SHOP, dns, others  # noqa: F401
from harness import needs, wait_for

pytestmark = needs("dig", "curl")

TWO = ("127.0.0.2", "127.0.0.3")


@pytest.fixture
def faked(dns, others, start):  # noqa: F811
    """(Dns, FakeUpstream): a server of one worker that asks 127.0.0.2, then 127.0.0.3, which are the fake's"""
    def make(*addresses, **settings):
        ns, _ = others
        fake = FakeUpstream(start, ns, *(addresses or TWO))
        settings.setdefault("dns_upstream", list(fake.addresses))
        return dns(*SHOP, ns=ns, **({"dns_workers": 1} | settings)), fake
    return make


def figure(d, name, **labels):
    """A metric's value, 0 where it has none yet."""
    for line in d.metrics().splitlines():
        if re.match(rf"{name}[{{ ]", line) and all(f'{k}="{v}"' in line for k, v in labels.items()):
            return float(line.split()[-1])
    return 0


def told(d, name, value, **labels):
    """Waits until the metric is that: roles report every 2 s, workers a turn later."""
    wait_for(lambda: figure(d, name, **labels) == value, 10, f"{name} {labels} is {value}", every=0.2)


# ---- forged answers

# What is forged, and as what each is counted; None: the kernel drops it, as our sockets are connected.
FORGERIES = {"id": "id", "address": None, "source": None, "port": "port", "upstream": "upstream", "question": "question", "case": "case",
             "form": "form", "records": "records"}


def test_forged_answers(faked):
    """Each is dropped and counted as what it is, the true answer is the client's, and nothing of the forged one is kept."""
    d, fake = faked()
    for i in range(8):  # the true answer alone, by sockets that the forger now knows
        assert d.answers(f"right-{i}.forged.test") == [HONEST]
    for what in FORGERIES:
        name = f"{what}-1.forged.test"
        assert d.answers(name) == [HONEST], what
        asked = len(fake.queries(name))
        for way in ("+notcp", "+tcp"):
            assert d.answers(name, "A", way) == [HONEST], what
        assert len(fake.queries(name)) == asked >= 1, "it was not kept"
    assert d.answers("victim.bank.test") == [HONEST]  # of which a wrong question spoke
    assert d.answers("question-1.forged.test", "AAAA") == []
    assert [q[1] for q in fake.queries("case-1.forged.test")] == ["udp", "tcp"]  # where nobody else can write

    sent = fake.forged()
    assert set(sent) == set(FORGERIES) and sent["id"] == 20 and sent["port"] > 1, sent
    for what, kind in FORGERIES.items():
        if kind:
            told(d, "fairlead_dns_odd_answers_total", sent[what], wrong=kind)
    assert d.dig("right-1.forged.test")[1] == "NOERROR"


def test_records_that_nobody_asked_for(faked):
    """They come with a true answer, and are neither passed on nor kept."""
    d, fake = faked()
    rows, status, text = d.dig("bailiwick-1.forged.test", "A", "+additional")
    assert [r[2] for r in rows] == [HONEST] and FORGED not in text and "bank" not in text and "evil" not in text, text
    assert d.answers("victim.bank.test") == [HONEST] and len(fake.queries("victim.bank.test")) == 1
    told(d, "fairlead_dns_dropped_records_total", 4)
    rows, status, text = d.dig("alias-1.forged.test")  # at the end of an alias an upstream says what it likes, of that alias alone
    assert [(r[1], r[2]) for r in rows] == [("CNAME", "other.bank.test."), ("A", FORGED)], text
    assert d.answers("other.bank.test") == [HONEST] and len(fake.queries("other.bank.test")) == 1
    rows, status, text = d.dig("circle-1.forged.test")
    assert status == "SERVFAIL" and not rows, text


def test_queries_cannot_be_guessed(faked):
    """Ids, ports and letters of 300 queries."""
    d, fake = faked(dns_cache="off")
    ask = "import socket,struct\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);s.connect(('127.0.0.1',53));s.settimeout(5)\n" \
        "for i in range(300):\n s.send(struct.pack('>HHHHHH',i,0x100,1,0,0,0)+b'\\x09manyasked\\x05after\\x04test\\0\\0\\1\\0\\1');s.recv(512)\n"
    d.ns.run(sys.executable, "-c", ask)
    queries = [q for q in fake.queries("manyasked.after.test") if q[1] == "udp"]
    assert len(queries) == 300
    ids, ports, names = ({q[k] for q in queries} for k in (3, 2, 4))
    assert len(ids) > 290 and len(ports) > 48 and len(names) > 290, (len(ids), len(ports), len(names))
    steps = sum(1 for a, b in zip(queries, queries[1:]) if 0 < int(b[3]) - int(a[3]) < 256)
    assert steps < 15, steps


@pytest.mark.slow("a thousand answers with faults, some of which are waited for")
def test_junk_from_upstreams(faked):
    """1000 answers with random octets wrong: each query has one answer, and all goes on."""
    d, fake = faked(dns_cache="off")
    pid = d.keeper.pid("dns")
    ask = """
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('127.0.0.1', 53)); s.settimeout(10)
got = {}
def take():
    m = s.recv(4096); k = struct.unpack('>H', m[:2])[0]; got.setdefault(k, []).append(m[3] & 15)
for i in range(1000):
    label = f'junk-{i}'.encode()
    s.send(struct.pack('>HHHHHH', i, 0x100, 1, 0, 0, 0) + bytes([len(label)]) + label + b'\\4test\\0\\0\\1\\0\\1')
    if i >= 100: take()
try:
    while len(got) < 1000: take()
    s.settimeout(.5); take()
except TimeoutError: pass
print(len(got), max(map(len, got.values())), sorted({c for v in got.values() for c in v}))
"""
    r = d.ns.run(sys.executable, "-c", ask, timeout=60)
    answered, most, codes = r.stdout.split(maxsplit=2)
    assert (answered, most) == ("1000", "1") and re.match(r"\[0, 2, ", codes), r.stdout
    assert d.answers("right-1.after.test") == [HONEST] and d.keeper.pid("dns") == pid


# ---- loops

def test_upstream_that_leads_back(dns, others, start):  # noqa: F811
    """Through somebody else's server: found out, said, no longer asked; what is asked meanwhile does not go round."""
    ns, _ = others
    relay = FakeUpstream(start, ns, "127.0.0.2", relay_to="127.0.0.1")
    d = dns(*SHOP, ns=ns, dns_upstream="127.0.0.2")
    d.keeper.program.wait_log("upstream 127.0.0.2 port 53 leads back to this server")
    for i in range(20):
        assert d.dig(f"q{i}.example.com")[1] == "SERVFAIL"
    names = re.findall(r"^relayed (\S+)", relay.program.log(), re.M)
    assert sum(n.startswith("loop-") for n in names) <= 4 and len(names) < 20, names
    assert d.answers("web.shop.svc.cluster.local") == ["10.96.0.1"]


def test_two_servers_that_ask_each_other(dns, others, keeper, store):  # noqa: F811
    ns, _ = others
    keeper(ns, "n2", store, roles="dns", dns_listen="127.0.0.5", dns_upstream="127.0.0.1")
    d = dns(*SHOP, ns=ns, dns_upstream="127.0.0.5")
    d.keeper.program.wait_log("upstream 127.0.0.5 port 53 leads back to this server")
    assert d.dig("www.example.com")[1] == "SERVFAIL"
    assert d.answers("web.shop.svc.cluster.local", server="127.0.0.5") == ["10.96.0.1"]
    begun = time.monotonic()
    assert d.dig("www.example.com", server="127.0.0.5")[1] in ("REFUSED", "SERVFAIL") and time.monotonic() - begun < 1


# ---- upstreams' lives

def ms_of(d, name):
    begun = time.monotonic()
    assert d.answers(name) == [HONEST]
    return (time.monotonic() - begun) * 1e3


def test_silent_upstream(dns, others, start):  # noqa: F811
    """One that takes queries and says nothing is waited for once, then passed over, and asked again when it speaks."""
    ns, _ = others
    first, second = (FakeUpstream(start, ns, a) for a in TWO)
    d = dns(*SHOP, ns=ns, dns_upstream=list(TWO), dns_workers=1)
    assert ms_of(d, "right-1.silent.test") < 1000 and len(first.queries("right-1.silent.test")) == 1
    first.program.proc.send_signal(signal.SIGSTOP)
    slow = ms_of(d, "right-2.silent.test")
    assert 1000 < slow < 2000, slow  # attempt_ms
    wait_for(lambda: ms_of(d, f"right-{time.monotonic_ns()}.silent.test") < 1000, 10)
    for i in range(20):
        assert ms_of(d, f"right-{i}.passed.test") < 1000
        assert len(second.queries(f"right-{i}.passed.test")) == 1
    first.program.proc.send_signal(signal.SIGCONT)

    def asked_again():
        name = f"right-{time.monotonic_ns()}.again.test"
        d.answers(name)
        return first.queries(name)
    wait_for(asked_again, 10)
    wait_for(lambda: figure(d, "fairlead_dns_odd_answers_total", wrong="id") >= 1, 10)  # what it said in the end


def test_answers_past_their_time(faked):
    """Where nobody answers, what is known is given, and soon; once somebody does, that."""
    d, fake = faked("127.0.0.2")
    assert d.answers("ttl-1.stale.test") == [HONEST]
    time.sleep(1.2)  # of its life
    fake.program.proc.send_signal(signal.SIGSTOP)
    assert ms_of(d, "ttl-1.stale.test") < 2500
    told(d, "coredns_cache_served_stale_total", 1)
    rows, status, text = d.dig("right-1.unknown.test", "A", "+time=7")
    assert status == "SERVFAIL", text
    fake.program.proc.send_signal(signal.SIGCONT)
    asked = len(fake.queries("ttl-1.stale.test"))
    wait_for(lambda: d.answers("ttl-1.stale.test") and len(fake.queries("ttl-1.stale.test")) > asked, 10)


def test_answers_live_as_long_as_they_say(faked):
    d, fake = faked("127.0.0.2")
    for name, status, life in (("ttl-2.lives.test", "NOERROR", 2), ("nobody-2.lives.test", "NXDOMAIN", 2), ("ttl-0.lives.test", "NOERROR", 0)):
        begun = time.monotonic()
        assert d.dig(name)[1] == status and d.dig(name)[1] == status
        if time.monotonic() - begun < 1:  # else the machine is busy, and this says nothing
            assert len(fake.queries(name)) == (1 if life else 2), name
        if life:
            wait_for(lambda: d.dig(name)[1] == status and len(fake.queries(name)) > 1, 5)  # noqa: B023
            assert time.monotonic() - begun > 1.5  # prefetched at the earliest
    rows, status, text = d.dig("ttl-300.lives.test")
    assert re.search(r"\s300\s+IN\s+A", text), text
    wait_for(lambda: int(re.search(r"\s(\d+)\s+IN\s+A", d.dig("ttl-300.lives.test")[2])[1]) < 300, 5, "its time runs")
    assert len(fake.queries("ttl-300.lives.test")) == 1


def test_failures_are_remembered(faked):
    """For a second: a client that insists does not have the upstreams asked each time."""
    d, fake = faked("127.0.0.2")
    begun = time.monotonic()
    for _ in range(5):
        assert d.dig("fails-1.some.test")[1] == "SERVFAIL"
    took = time.monotonic() - begun
    assert len(fake.queries("fails-1.some.test")) <= 2 * (1 + took), took
    asked = len(fake.queries("fails-1.some.test"))
    wait_for(lambda: d.dig("fails-1.some.test")[1] and len(fake.queries("fails-1.some.test")) > asked, 5)


def test_equal_questions_are_asked_once(faked):
    d, fake = faked("127.0.0.2")
    ask = """
import socket, struct
socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(50)]
for i, s in enumerate(socks):
    s.connect(('127.0.0.1', 53)); s.settimeout(5)
    s.send(struct.pack('>HHHHHH', i, 0x100, 1, 0, 0, 0) + b'\\x06late-1\\x04once\\x04test\\0\\0\\1\\0\\1')
print(sum(s.recv(512)[3] & 15 == 0 for s in socks))
"""
    assert d.ns.run(sys.executable, "-c", ask).stdout.strip() == "50"
    assert len(fake.queries("late-1.once.test")) == 1
    told(d, "fairlead_dns_joined_total", 49)


def test_upstreams_in_turn(faked, scratch):
    resolv = scratch / "resolv.conf"
    resolv.write_text("".join(f"nameserver {a}\n" for a in TWO) + "options rotate\n")
    d, fake = faked(dns_upstream=resolv)
    for i in range(20):
        assert d.answers(f"right-{i}.turn.test") == [HONEST]
    first = sum(fake.queries(f"right-{i}.turn.test")[0][0] == TWO[0] for i in range(20))
    assert 8 <= first <= 12, first
