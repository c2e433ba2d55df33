# SPDX-License-Identifier: Apache-2.0
"""The conntrack suite's entries in the table of a real node: made by netlink while its agent knows no
Service, then the Service and its slice come, and what is left is read from /proc."""
import json

from agent_world import pools, world  # noqa: F401
from conntrack import entry, make, table
from harness import needs, wait_for

pytestmark = needs("nft")
CLIENT = "10.244.9.9"


def message(case, sport, node):
    dst = (node.ip4 if case["orig_dst"].startswith("<") else case["orig_dst"], case["orig_dport"])
    to = (case["dnat_dst"], case["dnat_dport"]) if case["dnat_dst"] else None
    return entry(case["protocol"].lower(), (CLIENT, sport), dst, to)


def test_cleanup(suites, world):  # noqa: F811
    suite = json.loads((suites / "services/public/conntrack-cleanup.json").read_text())
    node, = world.up(10, objects=pools("Direct"), service_cidr="172.30.0.0/16")
    cases = dict(enumerate(suite["cases"], 10000))
    make(node.ns, [message(c, sport, node) for sport, c in cases.items()])

    def left():
        return {e[2] for e in table(node.ns) if e[1] == CLIENT}
    assert left() == set(cases), "all of them are there"
    keep = {sport for sport, c in cases.items() if c["keep"]}
    assert keep and keep != set(cases)
    world.store.apply(*suite["objects"])
    wait_for(lambda: left() <= keep, 10, "what is stale is taken out")
    node.restart_agent()
    assert left() == keep, [cases[p] for p in keep - left()]
