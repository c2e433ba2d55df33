# SPDX-License-Identifier: Apache-2.0
"""Role bgp with other people's speakers over a real cable: what each side has of the other is read from both."""
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from bgp_world import (COMMUNITY, GRACE, LARGE, OTHERS, OURS, PEER_AS, THEIRS, bgp_peer, bgp_world,  # noqa: F401
                       configuration, far_world, node)
from harness import wait_for
from roles import metric

PASSWORD = "correct-horse-battery"


def has(other, prefixes):
    """The other side has these of ours, and no others."""
    return set(other.routes()) == prefixes


def converged(w, other):
    wait_for(w.is_up, 15)
    wait_for(lambda: set(w.routes()) == THEIRS)
    wait_for(lambda: has(other, OURS))


@pytest.mark.parametrize("name,asn", [("bird", PEER_AS), ("bird", 65000), ("frr", PEER_AS), ("frr", 65000),
                                      ("gobgp", PEER_AS)])
def test_routes(bgp_world, name, asn):  # noqa: F811
    """Both families both ways, with communities; taken back and told again, by either side; all of it again on request."""
    w = bgp_world
    w.begin(configuration(), bgp_peer(asn))
    other = w.begin_other(name, asn)
    converged(w, other)
    row = w.routes()["10.2.0.0/24"]
    assert row["via"] == "10.0.0.2" and row["inUse"] and row["why"] == "the only path"
    assert row.get("asPath", "") == ("" if asn == 65000 else str(asn))
    assert {COMMUNITY, LARGE} <= set(row["communities"].split())
    assert w.routes()["fd02::/64"]["via"] == "fd00::2"
    assert other.has_communities(other.routes()["10.1.0.0/24"])

    other.withdraw()
    wait_for(lambda: w.routes() == {})
    other.announce()
    wait_for(lambda: set(w.routes()) == THEIRS)
    w.store.apply(configuration(networks=["10.1.0.0/24"]))
    wait_for(lambda: has(other, {"10.1.0.0/24"}))
    w.store.apply(configuration())
    wait_for(lambda: has(other, OURS))

    before = w.peer()
    w.fairlead("peer", "router", "refresh")
    wait_for(lambda: w.peer()["messagesIn"] >= before["messagesIn"] + 2)   # its routes again, in at least two UPDATEs
    wait_for(lambda: w.peer()["messagesOut"] >= before["messagesOut"] + 4)  # two requests, and ours again
    before = w.peer()
    if other.refresh:
        other.refresh()
        wait_for(lambda: w.peer()["messagesOut"] > before["messagesOut"])
    assert has(other, OURS) and set(w.routes()) == THEIRS
    assert w.peer()["ends"] == 0

    w.fairlead("peer", "router", "reset")
    wait_for(lambda: w.peer()["ends"] == 1)
    converged(w, other)


def secret(text):
    return {"apiVersion": "v1", "kind": "Secret", "type": "fairlead.io/bgp-password",
            "metadata": {"name": "bgp", "namespace": "kube-system"}, "stringData": {"password": text}}


def secrets_are_kept(w):
    """Nowhere that others can look is the password."""
    for pid in [w.keeper.program.pid] + [w.keeper.pid(r) for r in ("bgp", "watch")]:
        for name in ("cmdline", "environ"):
            assert PASSWORD.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
    assert PASSWORD not in w.keeper.program.log()
    assert w.peer()["password"] is True
    for args in (("status",), ("peer", "router"), ("status", "-o", "json")):
        assert PASSWORD not in w.fairlead(*args).stdout
    assert PASSWORD not in (w.keeper.run_dir / "fairleadd.conf").read_text()


@pytest.mark.parametrize("name,passive", [("bird", False), ("bird", True), ("frr", False)])
def test_password(bgp_world, name, passive):  # noqa: F811
    """RFC 2385, on connections that we make and on those that we take: no session but with the same one."""
    w = bgp_world
    w.begin(configuration(), secret("of another"),
            bgp_peer(password={"secretKeyRef": {"name": "bgp", "key": "password"}}, passive=passive))
    other = w.begin_other(name, password=PASSWORD)
    with pytest.raises(pytest.fail.Exception):
        wait_for(w.is_up, 2)
    w.store.apply(secret(PASSWORD))
    converged(w, other)
    secrets_are_kept(w)
    w.store.apply(secret("of another"))
    wait_for(lambda: not w.is_up())
    with pytest.raises(pytest.fail.Exception):
        wait_for(w.is_up, 2)


def test_password_file(bgp_world):  # noqa: F811
    """A password in a file of the node's that role bgp may read; another one in it counts, whether objects change or not."""
    w = bgp_world
    path = w.scratch / "password"
    path.write_text(PASSWORD + "\n")
    w.scratch.chmod(0o755)
    w.begin(configuration(), bgp_peer(password={"file": str(path)}))
    other = w.begin_other("bird", password=PASSWORD)
    converged(w, other)
    secrets_are_kept(w)
    path.write_text("of another\n")
    wait_for(lambda: not w.is_up(), 20)
    path.write_text(PASSWORD + "\n")
    wait_for(w.is_up, 30)
    path.unlink()
    w.store.apply(configuration(multipath=4))
    wait_for(lambda: w.peer() is None)  # none is better than one without the password
    problems = json.loads(w.fairlead("status", "-o", "json").stdout)["problems"]
    assert [p["object"] for p in problems] == ["BGPPeer router"]


def test_heartbeat_judges_nothing(bgp_world):  # noqa: F811
    """A Node that only says that it lives is none of BGP's business; the one after it is."""
    w = bgp_world
    w.begin(configuration(), bgp_peer(), roles="bgp health")

    def judged(what):
        return metric(w.ns, "fairlead_bgp_judged_total", f'what="{what}"')

    wait_for(lambda: judged("node") == 1)
    w.store.apply(node("n2", "10.0.0.3"))
    wait_for(lambda: judged("node") == 2)
    for beat in range(3):
        alive = node("n2", "10.0.0.3")
        alive["metadata"]["annotations"] = {"beat": str(beat)}
        w.store.apply(alive)
    w.store.apply(node("n3", "10.0.0.4"))
    wait_for(lambda: judged("node") == 3)
    assert judged("all") == 1 and w.peer()


def test_changes_end_no_session(bgp_world):  # noqa: F811
    """Filters, networks, another peer: what a session can live with it lives with, and BIRD is told nothing twice but what changed."""
    w = bgp_world
    w.begin(configuration(), bgp_peer())
    other = w.begin_other("bird")
    converged(w, other)
    deny = {"apiVersion": "fairlead.io/v1", "kind": "BGPFilter", "metadata": {"name": "no-ten-two"},
            "spec": {"importV4": [{"action": "Reject", "cidr": "10.2.0.0/16", "matchOperator": "In"}],
                     "exportV6": [{"action": "Reject"}]}}
    w.store.apply(deny, bgp_peer(filters=["no-ten-two"]))
    wait_for(lambda: set(w.routes()) == {"fd02::/64"})
    wait_for(lambda: has(other, {"10.1.0.0/24"}))
    second = bgp_peer()
    second["metadata"]["name"] = "nobody"
    second["spec"]["peerIP"] = "10.0.0.77"
    w.store.apply(second, configuration(networks=["10.1.0.0/24", "10.1.9.0/24"]))
    wait_for(lambda: has(other, {"10.1.0.0/24", "10.1.9.0/24"}))
    w.store.delete(second)
    w.store.apply(configuration(), bgp_peer(filters=[]))
    converged(w, other)
    assert w.peer()["ends"] == 0
    w.store.delete(bgp_peer())
    wait_for(lambda: other.routes() == {})
    assert w.peer() is None


def test_strangers_and_metrics(bgp_world):  # noqa: F811
    """Who is no peer is closed without a word, and counted; the peer is not disturbed. A peer that is gone has no series."""
    w = bgp_world
    w.begin(configuration(), bgp_peer(), roles="bgp health")
    other = w.begin_other("bird")
    converged(w, other)
    w.other_ns.run("ip", "addr", "add", "10.0.0.3/24", "dev", "eth0")
    code = ("import socket\n"
            "for i in range(200):\n"
            "    s = socket.create_connection(('10.0.0.1', 179), 5, ('10.0.0.3', 0))\n"
            "    assert s.recv(1) == b''\n"
            "    s.close()\n")
    w.other_ns.run("/usr/bin/python3", "-c", code)
    assert w.is_up() and w.peer()["ends"] == 0
    wait_for(lambda: metric(w.ns, "fairlead_bgp_refused_total") == 200)
    wait_for(lambda: metric(w.ns, "fairlead_bgp_peer_up", 'peer="router"') == 1)
    assert metric(w.ns, "fairlead_bgp_peer_routes", 'direction="in",peer="router"') == 2
    assert metric(w.ns, "fairlead_bgp_peer_routes", 'direction="out",peer="router"') == 2
    assert metric(w.ns, "fairlead_bgp_routes", 'family="IPv4"') == 2
    w.store.delete(bgp_peer())
    wait_for(lambda: metric(w.ns, "fairlead_bgp_routes", 'family="IPv4"') == 1)
    assert metric(w.ns, "fairlead_bgp_peer_up", 'peer="router"') is None


@pytest.mark.parametrize("name", ["bird", "frr"])
def test_ours_restarts_gracefully(bgp_world, name):  # noqa: F811
    """RFC 4724: while role bgp is away, killed or told to end, the peer keeps what it was told."""
    w = bgp_world
    w.begin(configuration(), bgp_peer())
    other = w.begin_other(name)
    converged(w, other)
    for sig in (signal.SIGKILL, signal.SIGTERM):
        pid = w.keeper.pid("bgp")
        os.kill(pid, sig)
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            assert set(other.routes()) == OURS
        wait_for(lambda: w.keeper.pid("bgp") not in (None, pid))
        converged(w, other)


@pytest.mark.parametrize("name", ["bird", "frr"])
def test_theirs_restarts_gracefully(bgp_world, name):  # noqa: F811
    """RFC 4724: what a peer told stays while it is away, as stale, and goes when it does not tell it again."""
    w = bgp_world
    w.begin(configuration(gracefulRestart={"enabled": True, "restartTimeSeconds": GRACE}), bgp_peer())
    other = w.begin_other(name)
    converged(w, other)
    other.kill()
    wait_for(lambda: not w.is_up())
    assert {p: r["stale"] for p, r in w.routes().items()} == dict.fromkeys(THEIRS, True)
    other.run()
    wait_for(w.is_up, 15)
    wait_for(lambda: {p: r["stale"] for p, r in w.routes().items()} == dict.fromkeys(THEIRS, False))


@pytest.mark.parametrize("name", ["bird", "frr"])
def test_bfd(bgp_world, name):  # noqa: F811
    """A way that is cut is known within a second, though the link stays up and the hold time is 90 s."""
    w = bgp_world
    w.begin(configuration(gracefulRestart={"enabled": False}), bgp_peer(bfd={"enabled": True}))
    other = w.begin_other(name, bfd=True)
    converged(w, other)
    wait_for(lambda: w.peer()["bfd"] == "Up")
    time.sleep(1)  # of a session that lives: nothing ends it
    assert w.is_up() and w.peer()["ends"] == 0
    w.other_ns.nft("table inet cut {\n"
                   "chain in {\ntype filter hook input priority 0; iif eth0 drop\n}\n"
                   "chain out {\ntype filter hook output priority 0; oif eth0 drop\n}\n}\n")
    cut = time.monotonic()
    wait_for(lambda: not w.is_up() and not w.routes(), 5)
    assert time.monotonic() - cut < 1
    w.other_ns.run("nft", "delete", "table", "inet", "cut")
    converged(w, other)


DROP_BFD = """table inet cut {
    chain forward {
        type filter hook forward priority 0
        udp dport { 3784, 4784 } counter drop
    }
}
"""


@pytest.mark.parametrize("name,asn,six", [("bird", PEER_AS, False), ("bird", 65000, True), ("frr", PEER_AS, False),
                                          ("frr", 65000, False)])
def test_bfd_over_a_router(far_world, name, asn, six):  # noqa: F811
    """RFC 5883: both sides up on port 4784, over restarts of ours, too; the router forwards no more, though both links stay up:
    known within a second by both."""
    w = far_world
    peer = bgp_peer(asn, bfd={"enabled": True}, peerIP="fd00::2" if six else "10.0.0.2")
    w.begin(configuration(gracefulRestart={"enabled": False}), peer)
    other = w.begin_other(name, asn, bfd=True, six=six)
    converged(w, other)
    wait_for(lambda: w.peer()["bfd"] == "Up")
    seen = w.router.run("timeout", "-s", "INT", "2", "tcpdump", "-n", "-q", "-c", "8", "-i", "port1", "udp dst port 4784").stdout
    ours, theirs = ("fd00::1", "fd00::2") if six else ("10.0.0.1", "10.0.0.2")
    assert f"> {theirs}.4784" in seen and f"> {ours}.4784" in seen
    os.kill(w.keeper.pid("bgp"), signal.SIGKILL)
    wait_for(lambda: w.is_up() and w.peer()["bfd"] == "Up", 20)
    converged(w, other)
    ends = w.peer()["ends"]
    time.sleep(1)  # of a session that lives: nothing ends it
    assert w.is_up() and w.peer()["ends"] == ends
    w.router.nft("table inet cut {\nchain forward {\ntype filter hook forward priority 0; drop\n}\n}\n")
    cut = time.monotonic()
    wait_for(lambda: not w.is_up() and not w.routes(), 5)
    wait_for(lambda: other.routes() == {}, 5)
    assert time.monotonic() - cut < 1
    w.router.run("nft", "delete", "table", "inet", "cut")
    converged(w, other)
    wait_for(lambda: w.peer()["bfd"] == "Up")


def test_bfd_from_too_far(far_world):  # noqa: F811
    """RFC 5883 5: packets of less than minimumTTL are nobody's; BIRD sends 64, of which one router leaves 63. BFD over one hop is
    another session, without an end of BGP's."""
    w = far_world
    peer = bgp_peer(bfd={"enabled": True, "minimumTTL": 63})
    w.begin(configuration(), peer)
    other = w.begin_other("bird", bfd=True)
    converged(w, other)
    wait_for(lambda: w.peer()["bfd"] == "Up")
    w.router.nft("table inet far {\nchain forward {\ntype filter hook forward priority 0; udp dport 4784 ip ttl set 62\n}\n}\n")
    wait_for(lambda: w.peer()["bfd"] == "Down")
    w.store.apply(bgp_peer(bfd={"enabled": True, "minimumTTL": 62}))
    wait_for(lambda: w.peer()["bfd"] == "Up")
    w.store.apply(bgp_peer(bfd={"enabled": True, "multihop": False}))
    wait_for(lambda: w.peer()["bfd"] == "Down")
    wait_for(lambda: w.peer()["ends"] > 1)  # BIRD's, which goes on over several hops, hears us no more
    converged(w, other)
    ends = w.peer()["ends"]
    time.sleep(2)
    assert w.is_up() and w.peer()["ends"] == ends


@pytest.mark.parametrize("way", ["both", "in", "out"])
def test_bfd_is_not_let_through(far_world, way):  # noqa: F811
    """A router that lets BGP through and BFD not, or only one way: the session lives, and BFD comes up when it may."""
    w = far_world
    side = {"both": "", "in": "iif port2", "out": "iif port1"}[way]
    w.router.nft(DROP_BFD.replace("udp dport", f"{side} udp dport"))
    w.begin(configuration(), bgp_peer(bfd={"enabled": True}))
    other = w.begin_other("bird", bfd=True)
    converged(w, other)
    time.sleep(4)  # more than BFD waits in any state
    assert w.is_up() and w.peer()["ends"] == 0 and w.peer()["bfd"] != "Up"
    assert "packets 0 " not in w.router.run("nft", "list", "table", "inet", "cut").stdout
    w.router.run("nft", "delete", "table", "inet", "cut")
    wait_for(lambda: w.peer()["bfd"] == "Up")
    assert w.peer()["ends"] == 0


@pytest.mark.parametrize("near", [True, False], ids=["near", "far"])
def test_ttl_security(bgp_world, near):  # noqa: F811
    """RFC 5082: BIRD with TTL security is a neighbour; BIRD that sends the system's TTL is none."""
    w = bgp_world
    w.begin(configuration(), bgp_peer(ttlSecurity=1))
    other = w.begin_other("bird", ttl_security=near)
    if near:
        converged(w, other)
        return
    with pytest.raises(pytest.fail.Exception):
        wait_for(w.is_up, 3)
    w.store.apply(bgp_peer())
    converged(w, other)


def test_session_over_ipv6(bgp_world):  # noqa: F811
    """Everything that sockets have, with IPv6: both ways to connect, MD5, TTL security, BFD; and IPv4's routes by it."""
    w = bgp_world
    for n, passive in enumerate((False, True)):
        peer = bgp_peer(peerIP="fd00::2", passive=passive, ttlSecurity=1, bfd={"enabled": True},
                        password={"secretKeyRef": {"name": "bgp", "key": "password"}})
        if n:
            w.store.apply(peer)
            wait_for(lambda: w.peer()["passive"])
        else:
            w.begin(configuration(), secret(PASSWORD), peer)
            other = w.begin_other("bird", password=PASSWORD, bfd=True, ttl_security=True, six=True)
        converged(w, other)
        wait_for(lambda: w.peer()["bfd"] == "Up")
    w.store.apply(secret("of another"))
    wait_for(lambda: not w.is_up())


def test_sandbox(bgp_world):  # noqa: F811
    """Role bgp is nobody special, holds no capability, and is filtered."""
    w = bgp_world
    w.begin(configuration(), bgp_peer())
    status = dict(line.split(":\t", 1) for line in
                  Path(f"/proc/{w.keeper.pid('bgp')}/status").read_text().splitlines() if ":\t" in line)
    assert status["Uid"].split()[0] != "0"
    assert status["CapEff"] == status["CapPrm"] == status["CapBnd"] == "0" * 16
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"


def test_what_people_see(bgp_world):  # noqa: F811
    w = bgp_world
    w.begin(configuration(), bgp_peer())
    r = w.fairlead("status")
    assert r.returncode == 1 and "router" in r.stdout and "Established" not in r.stdout
    other = w.begin_other("bird")
    converged(w, other)
    r = w.fairlead("status")
    assert r.returncode == 0 and "Established" in r.stdout
    assert w.fairlead("routes", "10.2.0.0/24").returncode == 0
    assert w.fairlead("routes", "10.9.0.0/24").returncode == 1
    assert w.fairlead("routes", "nonsense", check=False).returncode == 2
    assert w.fairlead("peer", "nobody", "reset").returncode == 1
    assert w.fairlead("peer", "router", "tickle", check=False).returncode == 2
    text = w.fairlead("routes").stdout
    assert "BGPConfiguration: spec.networks" in text and "65001" in text
