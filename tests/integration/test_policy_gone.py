# SPDX-License-Identifier: Apache-2.0
"""An agent that finds its rules gone and does not know yet which policies there are: its pods are closed to all that
is new, and not one packet passes that a policy forbids, until somebody says so; what is intact is not touched."""
import json
import os
import re
import signal
import subprocess

import pytest

from agent_world import world  # noqa: F401
from harness import built, wait_for
from test_policy_agent import (ALL, PORT, Storm, connects, deny, hold, namespace, policed, rules,  # noqa: F401
                               ruleset, serve, shop)
from test_snapshot import lose, snapshot

UNKNOWN = "policies not known yet"
FLUSH = ["flush", "ruleset"]

# Says which of its addresses take a connection. All are asked at once, as a packet that is dropped costs the whole second.
ASK_ALL = """
import concurrent.futures, socket, sys
def ask(ip):
    try:
        socket.create_connection((ip, int(sys.argv[1])), 1).close()
        return ip
    except OSError:
        return ""
with concurrent.futures.ThreadPoolExecutor(9) as pool:
    print(*pool.map(ask, sys.argv[2:]))
"""


def kill(node):
    os.kill(node.keeper.program.proc.pid, signal.SIGKILL)
    node.keeper.program.wait()


def revive(shop):  # noqa: F811
    node = shop.nodes[0]
    node.keeper.program = shop.start([built("bin/fairleadd"), "--config", node.keeper.conf], ns=node.ns)


def reached(src, *ips):
    """Those that take a connection, all asked at once."""
    return set(src.ns.run("python3", "-c", ASK_ALL, PORT, *ips).stdout.split())


def closed(node):
    wait_for(lambda: f'comment "{UNKNOWN}"' in rules(node), 10, "its pods are closed")


def denials(node):
    """What `policy show` has of it, by direction: packets."""
    r = subprocess.run([built("bin/fairlead"), "policy", "show", "-n", "x", "--run-dir", node.keeper.run_dir, "-o", "json"],
                       stdout=subprocess.PIPE, text=True, check=True)
    return {d["direction"]: d["packets"] for d in json.loads(r.stdout)["denials"] if d["policies"] == [UNKNOWN]}


@pytest.fixture
def denied(shop, start):  # noqa: F811
    """The server lets the friend in alone; the client serves as well."""
    for what in ("udp_timeout", "udp_timeout_stream", "icmp_timeout"):
        shop.nodes[0].ns.sysctl(f"net.netfilter.nf_conntrack_{what}", 600)  # what is held lives on a slow machine, too
    serve(start, shop.client)
    shop.store.apply(deny(), wait=20)
    return shop


same = pytest.mark.all_only("differs from ruleset only in what is found")


@pytest.mark.parametrize("harm", [pytest.param(FLUSH, id="ruleset"),
                                  pytest.param(["flush", "table", "inet", "fairlead"], id="rules", marks=same),
                                  pytest.param(["delete", "table", "inet", "fairlead"], id="table", marks=same)])
def test_nothing_is_known(denied, hold, start, harm):  # noqa: F811
    """No rules, no store, no snapshot: closed, in both directions and families; what lives goes on."""
    shop, node = denied, denied.nodes[0]
    before = ruleset(node)
    held = hold(shop.friend.ns, shop.server.ip(4))
    kill(node)
    assert held.live() == set(ALL)
    give_back = lose(shop.store)
    snapshot(node.keeper).unlink()
    node.ns.run("nft", *harm)
    storm = Storm(start, shop.client, shop.server, shop.server.ip(4))
    wait_for(lambda: storm.got() > 100, 10, "it would be seen: nobody closes anything")
    assert connects(shop.client.ns, shop.server.ip(6))
    revive(shop)
    closed(node)
    assert held.live() == set(ALL), "what lives goes on"
    node.keeper.program.wait_log(f"policy: the rules were gone: nothing new passes from or to 3 pods: {UNKNOWN}")
    storm.got()
    server, client = set(shop.server.ips), set(shop.client.ips)
    assert reached(shop.client, *server) == reached(shop.friend, *server) == set()
    assert reached(shop.server, *server, *client) == server, "itself"
    assert reached(node, *server, *client) == server | client, "its own node"
    assert storm.got() == 0
    assert re.search(rf"policy: egress denied: udp .*{shop.client.ip(4)}:\d+ > .*{shop.server.ip(4)}:9: {UNKNOWN}",
                     node.keeper.program.log())
    assert denials(node)["egress"] > 0
    # From then on everything is as it was.
    give_back()
    wait_for(lambda: connects(shop.friend.ns, shop.server.ip(4)), 20, "policies are known")
    assert connects(shop.server.ns, shop.client.ip(4)) and not connects(shop.client.ns, shop.server.ip(4))
    wait_for(lambda: ruleset(node) == before, 10, "and nothing else is left")
    assert storm.got() == 0 and held.live() == set(ALL)
    storm.close()


def test_the_snapshot_opens_them(denied, start):
    """It says which policies there are, also to the agent after one that ended while it did not know."""
    shop, node = denied, denied.nodes[0]
    wait_for(lambda: b"deny" in snapshot(node.keeper).read_bytes(), 10, "a snapshot")
    before = ruleset(node)
    kill(node)
    give_back = lose(shop.store)
    away = snapshot(node.keeper).rename(snapshot(node.keeper).with_name("away"))
    node.ns.run("nft", *FLUSH)
    storm = Storm(start, shop.client, shop.server, shop.server.ip(4))
    wait_for(lambda: storm.got() > 100, 10, "it would be seen")
    revive(shop)
    closed(node)
    assert not connects(shop.friend.ns, shop.server.ip(4))
    kill(node)
    away.rename(snapshot(node.keeper))
    storm.got()
    revive(shop)
    wait_for(lambda: connects(shop.friend.ns, shop.server.ip(4)), 20, "policies are known")
    assert ruleset(node) == before
    assert not connects(shop.client.ns, shop.server.ip(6)) and connects(shop.server.ns, shop.client.ip(6))
    assert storm.got() == 0
    give_back()
    storm.close()


def test_only_what_is_gone_comes_back(denied):
    """Another table of ours is missing: that one is loaded, and what policies have in the kernel stays."""
    shop, node = denied, denied.nodes[0]
    before, arp = policed(node), node.ns.run("nft", "list", "table", "arp", "fairlead").stdout
    kill(node)
    give_back = lose(shop.store)
    snapshot(node.keeper).unlink()
    node.ns.run("nft", "delete", "table", "arp", "fairlead")
    revive(shop)
    wait_for(lambda: node.ns.run("nft", "list", "table", "arp", "fairlead", check=False).stdout == arp, 10, "it is back")
    assert policed(node) == before
    assert connects(shop.friend.ns, shop.server.ip(4)) and not connects(shop.client.ns, shop.server.ip(4))
    give_back()


def test_while_the_store_is_away(denied, start):
    """A flush that an agent sees before it heard of the store."""
    shop, node = denied, denied.nodes[0]
    wait_for(lambda: b"deny" in snapshot(node.keeper).read_bytes(), 10, "a snapshot")
    before = ruleset(node)
    kill(node)
    give_back = lose(shop.store)
    revive(shop)
    node.wait_serving()
    node.ns.run("nft", *FLUSH)
    wait_for(lambda: ruleset(node) == before, 10, "all is back")
    assert connects(shop.friend.ns, shop.server.ip(4)) and not connects(shop.client.ns, shop.server.ip(4))
    give_back()


def test_without_policies_and_with_rules_nothing_is_closed(shop):  # noqa: F811
    node, ip = shop.nodes[0], shop.server.ip(4)
    before = ruleset(node)
    kill(node)
    give_back = lose(shop.store)
    snapshot(node.keeper).unlink()
    revive(shop)
    node.keeper.program.wait_log("nothing is known yet")
    assert connects(shop.client.ns, ip) and ruleset(node) == before
    give_back()
    shop.store.apply(namespace("tick"), wait=20)
    assert connects(shop.client.ns, ip) and ruleset(node) == before
