# SPDX-License-Identifier: Apache-2.0
"""Roles bgp and agent together, with BIRD on the other end: what a peer tells is in the kernel, stays there while either role is away,
and goes when the way is cut."""
import json
import os
import signal
import subprocess
import time

import pytest

from bgp_world import THEIRS, bgp_peer, bgp_world, configuration  # noqa: F401
from harness import built, wait_for


def kernel(w):
    """destination → next hop, of the routes that BIRD told"""
    found = {}
    for family in ("-4", "-6"):
        for r in w.ns.ip(family, "route", "show"):
            if r["dst"] in THEIRS:
                found[r["dst"]] = r.get("gateway")
    return found


WAYS = {"10.2.0.0/24": "10.0.0.2", "fd02::/64": "fd00::2"}


@pytest.fixture
def world(bgp_world):  # noqa: F811
    def make(conf=None, **peer):
        w = bgp_world
        w.begin(conf or configuration(), bgp_peer(**peer), roles="agent bgp", uplink="eth0")
        w.other = w.begin_other("bird", bfd="bfd" in peer)
        wait_for(w.is_up, 20)
        wait_for(lambda: kernel(w) == WAYS)
        return w
    return make


def test_withdrawn(world):
    w = world()
    w.other.withdraw()
    wait_for(lambda: kernel(w) == {})
    w.other.announce()
    wait_for(lambda: kernel(w) == WAYS)
    r = subprocess.run([built("bin/fairlead"), "node", "status", "--run-dir", w.keeper.run_dir, "-o", "json"],
                       capture_output=True, text=True, timeout=30)
    n, = json.loads(r.stdout)["nodes"]
    assert [(p["name"], p["state"], p["received"]) for p in n["bgpPeers"]] == [("router", "Established", 2)]


@pytest.mark.parametrize("role", ["bgp", "agent"])
def test_role_starts_anew(world, role):
    """A ping that goes by a route of BIRD's, 50 a second, loses nothing; the routes are never touched."""
    w = world()
    w.other_ns.batch("addr add 10.2.0.9/32 dev lo")
    ping = w.start(["ping", "-n", "-i", "0.02", "10.2.0.9"], ns=w.ns)
    monitor = w.start(["ip", "monitor", "route"], ns=w.ns)
    ping.wait_log("icmp_seq=50")
    for sig in (signal.SIGKILL, signal.SIGTERM):
        pid = w.keeper.pid(role)
        os.kill(pid, sig)
        wait_for(lambda: w.keeper.pid(role) not in (None, pid))
        wait_for(w.is_up, 20)
        assert w.fairlead("status").returncode == 0
        time.sleep(1.5)  # for what the agent sweeps when the list is complete
        assert kernel(w) == WAYS
    ping.stop(signal.SIGINT)
    sent, received = (int(ping.log().split(" packets transmitted")[0].rsplit(None, 1)[-1]),
                      int(ping.log().split(" received")[0].rsplit(None, 1)[-1]))
    assert sent - received <= 1 and sent > 100, ping.log()[-300:]  # the last may be on its way
    monitor.stop()
    assert not [line for line in monitor.log().splitlines() if line.startswith("Deleted") and
                any(p in line for p in THEIRS)]


def test_cut_off(world):
    """With BFD the kernel's routes are gone within a second; without graceful restart, that is."""
    w = world(configuration(gracefulRestart={"enabled": False}), bfd={"enabled": True})
    wait_for(lambda: w.peer().get("bfd") == "Up")
    w.other_ns.nft("table inet cut {\nchain in {\ntype filter hook input priority 0; iif eth0 drop\n}\n}\n")
    cut = time.monotonic()
    wait_for(lambda: kernel(w) == {}, 5)
    assert time.monotonic() - cut < 1
