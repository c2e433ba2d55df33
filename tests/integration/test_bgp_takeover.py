# SPDX-License-Identifier: Apache-2.0
"""Another keeper takes the place of the one whose roles speak BGP: a restart of the speaker and of the agent at once. The peer helps (RFC
4724), so nobody loses a route and no packet is lost."""
import json
import signal

import pytest

from bgp_world import OURS, THEIRS, bgp_peer, bgp_world, configuration  # noqa: F401
from harness import wait_for
from test_bgp_interop import converged, has
from test_bgp_kernel import WAYS, kernel
from test_takeover import takeover  # noqa: F401


@pytest.mark.parametrize("name", ["bird", "frr"])
def test_no_route_is_lost(bgp_world, takeover, name):  # noqa: F811
    w = bgp_world
    w.begin(configuration(), bgp_peer(), roles="agent bgp", uplink="eth0")
    other = w.begin_other(name)
    converged(w, other)
    wait_for(lambda: kernel(w) == WAYS)
    w.other_ns.batch("addr add 10.2.0.9/32 dev lo")
    ping = w.start(["ping", "-n", "-i", "0.02", "10.2.0.9"], ns=w.ns)
    ours = w.start(["ip", "monitor", "route"], ns=w.ns)
    ping.wait_log("icmp_seq=20")
    for _ in range(2):
        before = w.keeper.pid("bgp")
        takeover(w.keeper)
        assert w.keeper.pid("bgp") != before
        assert has(other, OURS)  # the peer keeps them while it waits
        converged(w, other)
        wait_for(lambda: w.fairlead("status").returncode == 0)
        assert kernel(w) == WAYS and set(w.routes()) == THEIRS
    ping.stop(signal.SIGINT)
    sent = int(ping.log().split(" packets transmitted")[0].rsplit(None, 1)[-1])
    received = int(ping.log().split(" received")[0].rsplit(None, 1)[-1])
    assert sent > 50 and sent - received <= 1, ping.log()[-300:]  # the last may be on its way
    ours.stop()
    assert not [line for line in ours.log().splitlines() if line.startswith("Deleted") and any(p in line for p in THEIRS)]
    # A route that goes before the peer ended its first list is kept for the restart time (RFC 4724 4.1), as it may still come.
    wait_for(lambda: json.loads(w.fairlead("status", "-o", "json").stdout)["speakers"][0]["complete"], 30)
    other.withdraw()  # positive control: kept routes are not kept for ever
    wait_for(lambda: kernel(w) == {})
