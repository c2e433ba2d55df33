# SPDX-License-Identifier: Apache-2.0
"""A pod whose address another pod had before: what that one's connections left in the node's connection table
is no way around the heir's policies, also where the agent is killed before it took it out."""
import json
import os
import signal

import pytest

from agent_world import Pod, pod_object, world  # noqa: F401
from conntrack import entry, inside, make
from harness import built, wait_for
from test_policy_agent import ALL, PORT, connects, deny, entries, hold, long, namespace, run, serve, shop  # noqa: F401
from test_snapshot import lose


def watch(ns, *sources):
    """Counts what comes to the pod, by source."""
    rules = [f"ip{'6' if ':' in ip else ''} saddr {ip} counter" for ip in sources]
    ns.nft("table inet t { chain c { type filter hook prerouting priority -300;\n" + "\n".join(rules) + "\n}; }")


def seen(ns):
    return {f[2]: int(f[5]) for f in map(str.split, ns.run("nft", "list", "table", "inet", "t").stdout.splitlines()) if "counter" in f}


def with_end(node, ip):
    """Entries of the node's table with the address at any end."""
    with inside(node.ns), open("/proc/thread-self/net/nf_conntrack") as f:
        return [x for x in f if f"={long(ip)} " in x]


def announce_heir(shop, old):  # noqa: F811
    shop.store.apply(pod_object("heir", "n1", "x", labels={"app": "server"}, annotations={"fairlead.io/ips": json.dumps(old.ips)}))


def heir(shop, old, at_once):  # noqa: F811
    """Takes over the addresses of `old`, which ends."""
    announce_heir(shop, old)
    ns = shop.netns("heir")
    watch(ns, *shop.client.ips, *shop.friend.ips)
    shop.store.delete(old.object())
    assert old.delete() == (0, None)
    if not at_once:
        wait_for(lambda: not any(entries(shop.nodes[0], ip) for ip in old.ips), 10, "its connections are taken out")
    return start_heir(shop, old, ns)


def start_heir(shop, old, ns):  # noqa: F811
    p = Pod(shop, shop.nodes[0], "heir", ns=ns, args={"K8S_POD_NAMESPACE": "x", "K8S_POD_NAME": "heir"})
    assert sorted(p.ips) == sorted(old.ips)
    return p


@pytest.fixture
def old(shop, start):  # noqa: F811
    """A pod that no policy selects, in a cluster where those of app=server let in the friend alone, and cut nothing
    that lives: what is open to an heir was open to the one before."""
    shop.store.apply(deny(on_change="grandfather"), wait=20)
    p = run(shop, shop.nodes[0], "old", app="old")
    serve(start, p)
    return p


@pytest.mark.parametrize("at_once", [True, False])
def test_an_heir_has_no_connections(shop, old, hold, start, at_once):  # noqa: F811
    serve(start, shop.friend)
    held = [hold(shop.client.ns, ip) for ip in old.ips]
    other = hold(shop.client.ns, shop.friend.ip(4))
    assert all(h.live() == set(ALL) for h in held)
    p = heir(shop, old, at_once)
    serve(start, p)
    assert [h.live() for h in held] == [set(), set()]
    assert all(connects(shop.friend.ns, ip) for ip in p.ips)
    came = seen(p.ns)
    assert not any(came[ip] for ip in shop.client.ips) and all(came[ip] for ip in shop.friend.ips), came
    assert other.live() == set(ALL), "others' connections live on"


def test_an_agent_that_was_killed(shop, old):  # noqa: F811
    """Between DEL and the look: the next agent looks, even if it never hears of the store."""
    node = shop.nodes[0]
    give_back = lose(shop.store)
    assert old.delete() == (0, None)
    os.kill(node.keeper.program.proc.pid, signal.SIGKILL)
    node.keeper.program.wait()
    clients = [(shop.client.ip(f), old.ip(f), shop.friend.ip(f)) for f in (4, 6)]
    for src, gone, alive in clients:
        make(node.ns, [entry(proto, (src, 1000), (dst, PORT)) for proto in ("tcp", "udp", "sctp") for dst in (gone, alive)])
        front = "fd00:96::9" if ":" in src else "10.96.0.9"
        make(node.ns, [entry("udp", (gone, 1000), (alive, PORT)), entry("udp", (src, 1001), (front, PORT), (gone, PORT))])
    assert all(len(with_end(node, gone)) == 5 for _, gone, _ in clients)
    node.keeper.program = shop.start([built("bin/fairleadd"), "--config", node.keeper.conf], ns=node.ns)
    for _, gone, alive in clients:
        wait_for(lambda: not with_end(node, gone), 20, "they are taken out")
        assert len(with_end(node, alive)) == 3
    give_back()


def test_a_book_that_was_lost(shop, old):  # noqa: F811
    """Nobody remembers who had which address: each is cleared before it is given."""
    node = shop.nodes[0]
    shop.store.delete(old.object())
    assert old.delete() == (0, None)
    wait_for(lambda: not any(with_end(node, ip) for ip in old.ips), 10, "its connections are taken out")
    os.kill(node.keeper.program.proc.pid, signal.SIGKILL)
    node.keeper.program.wait()
    (node.keeper.state_dir / "ipam.journal").unlink()
    node.keeper.program = shop.start([built("bin/fairleadd"), "--config", node.keeper.conf], ns=node.ns)
    node.wait_serving()
    for f in (4, 6):
        make(node.ns, [entry(proto, (shop.client.ip(f), 1000), (dst, PORT)) for proto in ("tcp", "udp", "sctp")
                       for dst in (old.ip(f), shop.friend.ip(f))])
    announce_heir(shop, old)
    shop.store.apply(namespace("tick"), wait=20)
    assert all(len(with_end(node, ip)) == 3 for ip in old.ips), "nobody looks for them"
    start_heir(shop, old, shop.netns("heir"))
    assert not any(with_end(node, ip) for ip in old.ips)
    assert all(len(with_end(node, shop.friend.ip(f))) == 3 for f in (4, 6)), "others' connections live on"
