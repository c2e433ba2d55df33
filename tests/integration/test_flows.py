# SPDX-License-Identifier: Apache-2.0
"""The instrument itself: it sees nothing where nothing is lost, and sees what is."""
import time

import pytest

from flows import ENOUGH, Flows
from harness import veth

ADDRESS = {4: ("192.0.2.1/24", "192.0.2.2/24"), 6: ("2001:db8::1/64", "2001:db8::2/64")}


@pytest.fixture(params=[4, 6])
def pair(request, netns):
    a, b = netns("a"), netns("b")
    near, far = ADDRESS[request.param]
    veth(a, "eth0", b, "eth0", [near], [far])
    return a, b, far.partition("/")[0]


def test_nothing_is_lost_on_a_wire(start, pair):
    a, b, ip = pair
    flow = Flows(start, a, b, ip)
    seen = flow.stop()
    assert seen["udp"]["lost"] == seen["udp"]["twice"] == 0 and seen["udp"]["sent"] >= ENOUGH["datagrams"], seen
    assert seen["tcp"]["records"] >= ENOUGH["records"] and seen["tcp"]["retransmits"] == 0, seen


def test_a_gap_is_measured(start, pair):
    a, b, ip = pair
    flow = Flows(start, a, b, ip)
    time.sleep(0.5)
    # at the receiver: a local sender's own drop is an error to it, and no loss (ENOBUFS)
    b.nft("table netdev gap { chain c { type filter hook ingress device eth0 priority 0\n drop\n}\n}")
    time.sleep(0.5)
    b.run("nft", "delete", "table", "netdev", "gap")
    time.sleep(0.5)
    seen = flow.stop()
    assert 250 < seen["udp"]["lost"] < 1500 and max(n for _, n in seen["udp"]["runs"]) > 200, seen
    # sent again after 0.2 s and 0.6 s: the first of those was lost too
    assert seen["tcp"]["most"] >= 2 and seen["tcp"]["ms"] > 500 and seen["tcp"]["at"] > 0, seen
