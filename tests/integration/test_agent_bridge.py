# SPDX-License-Identifier: Apache-2.0
"""Bridge attachment: one bridge per network, every packet routed."""
import ipaddress

import pytest

from agent_world import Cni, capture, ping, pools, wait_ping, world
from harness import wait_for


@pytest.fixture
def bridged(world):
    a, b = world.up(10, 10, objects=pools("VXLAN"))
    for n in (a, b):
        n.br = Cni(n.ns, n.keeper.cni_sock, network="brnet", attachment="bridge", bridge="cnibr0")
    return world, a, b


def test_pods_on_a_bridge(bridged):
    world, a, b = bridged
    p, q = (world.pod(a, c, cni=a.br) for c in "pq")
    r, s = world.pod(b, "r", cni=b.br), world.pod(a, "s")
    br = a.ns.ip("link", "show", "dev", "cnibr0")[0]
    assert br["linkinfo"]["info_kind"] == "bridge"
    port = a.ns.ip("link", "show", "dev", p.host_if)[0]
    assert port["master"] == "cnibr0" and port["linkinfo"]["info_slave_data"]["isolated"] is True
    ip4 = next(i for i in p.result["ips"] if ":" not in i["address"])
    subnet = ipaddress.ip_interface(ip4["address"]).network
    assert subnet.prefixlen == 26 and ipaddress.ip_address(ip4["gateway"]) in subnet
    assert ip4["gateway"] in [x["local"] for x in a.ns.ip("addr", "show", "dev", "cnibr0")[0]["addr_info"]]
    for x in (p, q, r, s):
        for y in (p, q, r, s):
            for f in (4, 6):
                wait_ping(x.ns, y.ip(f))
        assert ping(x.ns, next(i["gateway"] for i in x.result["ips"] if ":" not in i["address"]))
    for n in (a, b):
        for y in (p, q, r, s):
            for f in (4, 6):
                wait_ping(n.ns, y.ip(f))
    assert p.check() == (0, None) and s.check() == (0, None)
    endpoints = wait_for(lambda: [e for e in [world.store.get("workloadendpoints")] if len(e) == 4], 5, "all are published")[0]
    gateways = {e["metadata"]["name"]: set(e["spec"].get("gateways", [])) for e in endpoints}
    on_bridge = {x["local"] for x in a.ns.ip("addr", "show", "dev", "cnibr0")[0]["addr_info"] if not x["local"].startswith("fe80:")}
    assert gateways["p-eth0"] == gateways["q-eth0"] == on_bridge and gateways["s-eth0"] == set(), (gateways, on_bridge)


def test_packets_between_ports_are_routed(bridged):
    world, a, b = bridged
    p, q = (world.pod(a, c, cni=a.br) for c in "pq")
    for f, cmd in ((4, "ping"), (6, "ping")):
        out = p.ns.run("ping", "-n", "-c", "2", "-i", "0.1", q.ip(f)).stdout
        assert "ttl=63" in out, "one router in between"
    # also the many that follow a redirect, were it obeyed
    assert p.ns.run("ping", "-n", "-q", "-c", "20", "-i", "0.02", q.ip(6)).stdout.count(" 0% packet loss") == 1


def test_bridges_are_not_filtered_twice(bridged):
    """br_netfilter would translate what the bridge gets before it is routed; other nodes keep what they have."""
    world, a, b = bridged
    paths = ["/proc/sys/net/bridge/bridge-nf-call-iptables", "/proc/sys/net/bridge/bridge-nf-call-ip6tables"]
    if not a.ns.sh(f"cat {paths[0]} 2>/dev/null || true").stdout:
        pytest.skip("this kernel has no br_netfilter")
    before = a.ns.sh(f"cat {' '.join(paths)}").stdout
    world.pod(a, "p", cni=a.br)
    world.pod(b, "q")
    assert a.ns.sh(f"cat {' '.join(paths)}").stdout == "0\n0\n"
    assert b.ns.sh(f"cat {' '.join(paths)}").stdout == before
    for path in paths:
        was = before.split()[paths.index(path)]
        saved = (a.keeper.state_dir / "sysctl.saved").read_text()
        assert was == "0" or f"{path.removeprefix('/proc/sys/')} {was}\n" in saved


def test_the_bridge_goes_with_its_last_pod(bridged):
    world, a, b = bridged
    p, q = (world.pod(a, c, cni=a.br) for c in "pq")
    assert p.delete() == (0, None)
    assert ping(a.ns, q.ip(4))
    assert q.delete() == (0, None)
    wait_for(lambda: not [l for l in a.ns.ip("link") if l["ifname"] in ("cnibr0", q.host_if)], 3)
    p = world.pod(a, "p2", cni=a.br)
    assert ping(a.ns, p.ip(4)) and ping(a.ns, p.ip(6))


def test_somebody_elses_bridge_is_refused(bridged):
    world, a, b = bridged
    a.ns.run("ip", "link", "add", "mybr", "type", "bridge")
    other = Cni(a.ns, a.keeper.cni_sock, network="brnet", attachment="bridge", bridge="mybr")
    code, err = other("ADD", "c1", world.netns("p").path)
    assert code and "mybr" in err["msg"]
    assert a.ns.ip("link", "show", "dev", "mybr")
    ok = world.pod(a, "c1", cni=a.br)
    assert ping(a.ns, ok.ip(4))


def test_bridge_survives_the_agent(bridged):
    world, a, b = bridged
    p, q = (world.pod(a, c, cni=a.br) for c in "pq")
    links = {l["ifname"]: l["ifindex"] for l in a.ns.ip("link")}
    a.restart_agent()
    assert {l["ifname"]: l["ifindex"] for l in a.ns.ip("link")} == links
    assert ping(p.ns, q.ip(4)) and ping(p.ns, q.ip(6)) and p.check() == (0, None)
    r = world.pod(a, "r", cni=a.br)
    assert ping(r.ns, p.ip(4))
    for x in (p, q, r):
        assert x.delete() == (0, None)
    wait_for(lambda: "cnibr0" not in [l["ifname"] for l in a.ns.ip("link")], 3)


def test_add_answers_when_the_bridge_forwards(bridged):
    """The kernel activates a new bridge by deferred work, and one that somebody set down comes back
    with the next audit: ADD has to wait for either. Until then what goes out is dropped."""
    world, a, b = bridged

    def state():  # of all links: asking for one by name would activate it
        return next(l["operstate"] for l in a.ns.ip("link") if l["ifname"] == "cnibr0")
    first = world.pod(a, "p0", cni=a.br)
    assert state() == "UP" and ping(a.ns, first.ip(4))
    for i in range(3):
        a.ns.run("ip", "link", "set", "cnibr0", "down")
        wait_for(lambda: next("UP" in l["flags"] for l in a.ns.ip("link") if l["ifname"] == "cnibr0"), 3,
                 "the audit has set it up", every=0.001)  # an ADD before that is refused
        p = world.pod(a, f"p{i + 1}", cni=a.br)
        assert state() == "UP" and ping(a.ns, p.ip(4))
    assert ping(p.ns, first.ip(4))


def test_default_bridge_name(world):
    n1, = world.up(10)
    cni = Cni(n1.ns, n1.keeper.cni_sock, network="other", attachment="bridge")
    p = world.pod(n1, "p", cni=cni)
    assert p.result["interfaces"][0]["name"].startswith("br-fl")
    assert ping(n1.ns, p.ip(4))
