# SPDX-License-Identifier: Apache-2.0
"""The agent's hands on the connection table (sys/ctnl), through helpers/ct: entries are made by
netlink messages of our own (conntrack.py) and by real packets, what is left is read from /proc."""
import json
import re
import socket
import subprocess

from conntrack import SCTP_ESTABLISHED, entry, inside, make, table
from harness import built, needs


def ct(ns, *args, check=True, **kw):
    return ns.run(built("../tests/integration/helpers/ct"), *args, check=check, **kw)


def listed(ns, *protos):
    return sorted(ct(ns, "list", *protos).stdout.splitlines())


CLIENT, FRONT, POD = ("10.244.1.5", 4711), ("10.96.0.10", 53), ("10.244.2.7", 5353)
CLIENT6, FRONT6, POD6 = ("fd00:244::5", 4711), ("fd00:96::a", 53), ("fd00:244::7", 5353)


def test_list_says_what_is_there(netns):
    ns = netns()
    make(ns, [entry("udp", CLIENT, FRONT, POD),
              entry("udp", CLIENT6, FRONT6, POD6),
              entry("udp", ("10.244.1.5", 4712), FRONT, zone=7, status=0),
              entry("tcp", CLIENT, FRONT, POD),
              entry("sctp", CLIENT, FRONT, POD, state=SCTP_ESTABLISHED)])
    assert len(table(ns)) == 5
    lines = [line.partition(" id ")[0] for line in listed(ns, "udp", "sctp")]
    assert lines == ["sctp 10.244.1.5:4711 > 10.96.0.10:53 > 10.244.2.7:5353",
                     "udp 10.244.1.5:4711 > 10.96.0.10:53 > 10.244.2.7:5353",
                     "udp 10.244.1.5:4712 > 10.96.0.10:53",
                     "udp [fd00:244::5]:4711 > [fd00:96::a]:53 > [fd00:244::7]:5353"]
    details = {line.partition(" id ")[0]: line.split(" status ")[1] for line in listed(ns, "udp", "sctp")}
    assert details[lines[0]].split()[2] == "ESTABLISHED"
    assert details[lines[1]].split()[2:] == ["NONE", "zone", "0", "0"]
    assert details[lines[2]].split()[2:] == ["NONE", "zone", "7", "7"]
    assert ct(ns, "count").stdout == "5\n"
    assert listed(ns, "tcp") and ct(netns(), "count").stdout == "0\n"  # a namespace has its own


def test_of_an_address(netns):
    """Whichever end it is, and nobody else's. Of IPv6 the kernel is asked once, so that none comes twice."""
    ns = netns()
    other, other6 = ("10.244.9.9", 9), ("fd00:244::99", 9)
    make(ns, [entry("udp", CLIENT, FRONT, POD), entry("tcp", CLIENT, FRONT, POD), entry("udp", CLIENT, other), entry("udp", other, FRONT),
              entry("udp", CLIENT6, FRONT6, POD6), entry("tcp", CLIENT6, FRONT6, POD6), entry("udp", CLIENT6, other6), entry("udp", other6, FRONT6)])

    def found(*a):
        return sorted(line.partition(" id ")[0] for line in ct(ns, "with", *a).stdout.splitlines())
    via6 = " [fd00:244::5]:4711 > [fd00:96::a]:53 > [fd00:244::7]:5353"
    assert found("all", POD6[0]) == ["tcp" + via6, "udp" + via6]
    assert found("udp", POD6[0]) == ["udp" + via6]
    assert found("all", other6[0]) == ["udp [fd00:244::5]:4711 > [fd00:244::99]:9", "udp [fd00:244::99]:9 > [fd00:96::a]:53"]
    assert len(found("all", CLIENT6[0])) == 3 and len(found("all", FRONT6[0])) == 3
    via = " 10.244.1.5:4711 > 10.96.0.10:53 > 10.244.2.7:5353"
    assert set(found("all", POD[0])) == {"tcp" + via, "udp" + via}
    assert set(found("all", other[0])) == {"udp 10.244.1.5:4711 > 10.244.9.9:9", "udp 10.244.9.9:9 > 10.96.0.10:53"}
    assert len(set(found("all", CLIENT[0]))) == 3 and found("all", "10.244.1.6") == found("all", "fd00::1") == []


def test_delete_takes_just_those(netns):
    """Another destination, port, protocol, family or zone stays."""
    ns = netns()
    stay = [entry("tcp", CLIENT, FRONT, POD),
            entry("udp", CLIENT, (FRONT[0], 54), ("10.244.2.8", 5353)),
            entry("udp", ("10.244.1.6", 4711), ("10.96.0.11", 53), ("10.244.2.9", 5353)),
            entry("udp", CLIENT6, FRONT6, POD6)]
    make(ns, stay)
    kept = table(ns)
    make(ns, [entry("udp", CLIENT, FRONT, POD), entry("udp", ("10.244.1.6", 4711), FRONT, POD)])
    assert len(table(ns)) == 6
    assert ct(ns, "delete", "udp", *FRONT).stdout == "2\n"
    assert table(ns) == kept
    assert ct(ns, "delete", "udp", *FRONT6).stdout == "1\n"
    assert ct(ns, "delete", "udp", *FRONT).stdout == "0\n"  # nothing to delete is not everything
    assert len(table(ns)) == 3


def test_delete_in_a_zone(netns):
    """The same tuple in two zones: each is found and deleted as its own."""
    ns = netns()
    make(ns, [entry("udp", CLIENT, FRONT, POD), entry("udp", CLIENT, FRONT, POD, zone=7)])
    assert sorted(line.split(" zone ")[1] for line in listed(ns, "udp")) == ["0 0", "7 7"]
    assert ct(ns, "delete", "udp", *FRONT).stdout == "2\n"
    assert not table(ns)


TRACK = "table inet t { chain c { type filter hook output priority 0; ct state new counter; }; }"


@needs("nft", "ping")
def test_icmp(netns):
    """Entries without ports: the two pings of each family are told apart, and one goes by itself."""
    ns = netns()
    for a in ("10.244.1.5/32", "10.244.1.6/32", "fd00:244::5/128", "fd00:244::6/128"):
        ns.run("ip", "addr", "add", a, "dev", "lo", *(["nodad"] if ":" in a else []))
    ns.nft(TRACK)
    make(ns, [entry("udp", CLIENT, FRONT, POD)])
    for a in ("10.244.1.5", "10.244.1.6", "fd00:244::5", "fd00:244::6"):
        ns.run("ping", "-c1", "-W2", a)

    def left():
        with inside(ns), open("/proc/thread-self/net/nf_conntrack") as f:
            return sorted(set(re.findall(r" icmp\S* .*? dst=(\S+)", f.read())))
    full = "fd00:0244:0000:0000:0000:0000:0000:000"
    assert left() == ["10.244.1.5", "10.244.1.6", f"{full}5", f"{full}6"]
    assert [x.partition(" id ")[0] for x in listed(ns, "icmp", "icmp6")] == [
        f"icmp {a} > {a}" for a in ("10.244.1.5", "10.244.1.6", "fd00:244::5", "fd00:244::6")]
    assert len(listed(ns, "all")) == 5
    assert ct(ns, "delete", "icmp", "10.244.1.5", 0).stdout == "1\n"
    assert ct(ns, "delete", "icmp6", "fd00:244::6", 0).stdout == "1\n"
    assert left() == ["10.244.1.6", f"{full}5"]
    assert len(table(ns, "udp")) == 1


def test_delete_of_what_went_meanwhile(netns):
    """Gone since it was seen: no failure."""
    ns = netns()
    make(ns, [entry("udp", CLIENT, FRONT, POD)])
    p = subprocess.Popen(ns.argv(built("../tests/integration/helpers/ct"), "late", "udp", *FRONT),
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert p.stdout.readline() == "found 1\n"
    assert ct(ns, "delete", "udp", *FRONT).stdout == "1\n"
    out, _ = p.communicate("go\n", timeout=10)
    assert (out, p.returncode) == ("0\n", 0)


def test_delete_knows_entries_by_id(netns):
    """One that has the tuple but not the id is another, that came since, and stays."""
    ns = netns()
    make(ns, [entry("udp", CLIENT, FRONT, POD)])
    assert ct(ns, "other", "udp", *FRONT).stdout == "0\n"
    assert len(table(ns)) == 1
    assert ct(ns, "delete", "udp", *FRONT).stdout == "1\n"


def test_no_rights(netns):
    ns = netns()
    for verb in (["count"], ["list", "udp"]):
        r = ns.run("setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin", "--",
                   built("../tests/integration/helpers/ct"), *verb, check=False)
        assert r.returncode == 1 and "Operation not permitted" in r.stderr, r.stderr


def test_large_table_keeps_nobody_waiting(netns):
    """50 000 entries come in reads of 128 at most; the caller's loop is never kept for long, neither
    where the entries are its own nor where the kernel walks over those of others."""
    ns, other = netns(), netns()
    make(ns, (entry("udp", (f"10.{i // 50000}.0.1", 10000 + i % 50000), FRONT, POD) for i in range(50000)))
    make(ns, [entry("tcp", CLIENT, FRONT, POD)])
    assert ct(ns, "count").stdout == "50001\n"
    for where, entries in ((ns, 50000), (other, 0)):
        best = min((json.loads(ct(where, "steps", "udp").stdout) for _ in range(3)),
                   key=lambda s: s["longest_us"])
        assert best["entries"] == entries
        assert best["reads"] > entries / 128
        assert best["longest_us"] < 3000, best
    ct(ns, "leave", "udp")  # a dump that nobody reads to its end leaves nothing behind
    assert ct(ns, "delete", "udp", *FRONT, timeout=60).stdout == "50000\n"
    assert ct(ns, "count").stdout == "1\n"


DNAT = """table ip t {{ chain c {{ type nat hook output priority -100
ip daddr 10.96.0.10 udp dport 53 dnat to {}:5353
}}
}}
"""


@needs("nft")
def test_packets_take_the_new_way(netns):
    """What the clean-up is for, with real packets: a client that keeps its port follows its entry to
    where the rules led once, until that entry, and no other, is deleted."""
    ns = netns()
    for address in ("10.244.1.5", "10.244.2.7", "10.244.2.8", "10.96.0.10"):
        ns.run("ip", "addr", "add", f"{address}/32", "dev", "lo")
    with inside(ns):
        client, first, second = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3))
    with client, first, second:
        client.bind(CLIENT)
        first.bind(POD)
        second.bind(("10.244.2.8", 5353))
        first.settimeout(5)
        second.settimeout(5)

        def goes_to(server, text):
            client.sendto(text, FRONT)
            assert server.recv(100) == text

        ns.nft(DNAT.format("10.244.2.7"))
        goes_to(first, b"one")
        make(ns, [entry("udp", ("10.244.9.9", 1), ("192.0.2.1", 8053), ("10.244.3.3", 53))])
        ns.nft("delete table ip t\n" + DNAT.format("10.244.2.8"))
        goes_to(first, b"two")  # stale
        assert [e[:7] for e in table(ns) if e[3:5] == FRONT] == [("udp", *CLIENT, *FRONT, *POD)]
        assert ct(ns, "delete", "udp", *FRONT).stdout == "1\n"
        goes_to(second, b"three")
        assert sorted(e[3:7] for e in table(ns)) == [(*FRONT, "10.244.2.8", 5353),
                                                     ("192.0.2.1", 8053, "10.244.3.3", 53)]
