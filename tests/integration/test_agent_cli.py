# SPDX-License-Identifier: Apache-2.0
"""fairlead node, ipam and get routes against what `ip` and `nft` show; cleanup against the
machine as it was."""
import json
import os
import subprocess

import pytest

from agent_world import POOL4, POOL6, Cni, capture, ping, pool, pools, wait_ping, world
from harness import built, wait_for


def fairlead(node, *args, code=0):
    argv = node.ns.argv(built("bin/fairlead"), *args)
    r = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    assert r.returncode == code, r.stdout + r.stderr
    return r


def ask(node, *args, code=0):
    r = fairlead(node, *args, "--run-dir", node.keeper.run_dir, "-o", "json", code=code)
    return json.loads(r.stdout)


def test_node_status(world):
    a, b = world.up(10, 10)
    world.pod(a, "p")
    wait_for(lambda: [r for r in a.routes().values() if r.get("dev") == "vxlan0"], 5)
    n = ask(a, "node", "status")["nodes"][0]
    vx = a.ns.ip("addr", "show", "dev", "vxlan0")[0]
    assert (n["name"], n["uplink"], n["mtu"], n["podMTU"], n["ip4"], n["ip6"], n["inSync"], n["pods"]) == \
        ("n1", "eth0", 1500, 1450, a.ip4, a.ip6, True, 1)
    assert n["vxlanMAC"] == vx["address"]
    assert {n["tunnel4"], n["tunnel6"]} == {x["local"] for x in vx["addr_info"] if x["scope"] == "global"}
    assert {(p["name"], p["pool"], p["way"]) for p in n["peers"]} == \
        {("n2", "pool4", "vxlan"), ("n2", "pool6", "vxlan")}
    text = fairlead(a, "node", "status", "--run-dir", a.keeper.run_dir).stdout
    assert "n1" in text and "vxlan" in text
    assert "not there" in fairlead(a, "node", "status", "--run-dir", "/nowhere", code=3).stderr


def test_node_state_in_the_store(world):
    a, = world.up(10)
    world.pod(a, "p")
    s = wait_for(lambda: [x for x in world.store.get("nodestates") if x["status"].get("pods") == 1], 5)[0]
    assert s["metadata"]["name"] == "n1"
    assert s["status"]["vxlanMAC"] == a.ns.ip("link", "show", "dev", "vxlan0")[0]["address"]
    assert s["status"]["uplink"] == "eth0"
    assert {x.split("/")[0] for x in s["status"]["subnets"]} == {a.ip4, a.ip6}
    before = s["status"]["observedRevision"]
    world.store.apply(pool("more", "10.99.0.0/16"))
    wait_for(lambda: world.store.get("nodestates")[0]["status"]["observedRevision"] > before, 5)


def test_apply_waits_for_the_kernel(world):
    a, = world.up(10, objects=pools("Direct"))
    r = world.store.apply(*pools("VXLAN"), wait=10)
    assert r.returncode == 0
    assert a.ns.ip("link", "show", "dev", "vxlan0")


def test_get_routes(world):
    a, b = world.up(10, 10)
    p = world.pod(a, "p")
    wait_for(lambda: [r for r in a.routes().values() if r.get("dev") == "vxlan0"], 5)
    lines = fairlead(a, "--store", world.store.url, "get", "routes", "-o", "json", code=3)
    r = ask(a, "node", "status")  # the agent answers by --run-dir; get routes asks the default place
    os.makedirs("/run/fairlead", exist_ok=True)
    os.symlink(a.keeper.ctl_sock, "/run/fairlead/ctl.sock")
    try:
        rows = json.loads(fairlead(a, "get", "routes", "-o", "json").stdout)["items"]
    finally:
        os.unlink("/run/fairlead/ctl.sock")
    mine = {x["dst"].split("/")[0] if x["dst"].endswith(("/32", "/128")) else x["dst"] for x in rows}
    assert mine == set(a.routes()) | set(a.routes(6))
    assert all(x["state"] == "installed" for x in rows)
    assert next(x for x in rows if x["dst"] == f"{p.ip(4)}/32")["dev"] == p.host_if


def test_ipam_show_check_release(world):
    a, = world.up(10)
    p, q = world.pod(a, "p"), world.pod(a, "q")
    s = ask(a, "ipam", "show")
    held = {x["address"]: x for x in s["addresses"]}
    assert set(p.ips + q.ips) <= set(held) and held[p.ip(4)]["container"] == "p"
    blocks = {b["cidr"]: b for b in s["blocks"]}
    assert {b["spec"]["cidr"] for b in world.store.get("ipblocks")} == set(blocks)
    assert all(b["used"] == 2 and b["node"] == "n1" for b in blocks.values())
    assert {x["name"] for x in s["pools"]} == {"pool4", "pool6"}
    assert ask(a, "ipam", "check") == {"problems": [], "left": 0}
    text = fairlead(a, "ipam", "show", "--blocks", "--run-dir", a.keeper.run_dir).stdout
    assert p.ip(4) in text and list(blocks)[0] in text

    assert "in use" in fairlead(a, "ipam", "release", p.ip(4), "--run-dir", a.keeper.run_dir, code=1).stderr
    assert ping(a.ns, p.ip(4))
    assert "not allocated" in fairlead(a, "ipam", "release", "10.244.99.9", "--run-dir",
                                       a.keeper.run_dir, code=1).stderr
    assert ask(a, "ipam", "release", "10.244.99.9", code=1) == {"released": None}
    # a pod that vanished without DEL
    q.ns.run("ip", "link", "del", "eth0")
    found = wait_for(lambda: ask(a, "ipam", "check", code=1)["problems"], 3)
    assert [x["what"] for x in found] == ["no-link"] and found[0]["address"] in q.ips
    assert ask(a, "ipam", "check", "--fix")["left"] == 0
    assert ask(a, "ipam", "check")["problems"] == []
    assert not set(q.ips) & {x["address"] for x in ask(a, "ipam", "show")["addresses"]}
    # and one that is released by hand
    p.ns.run("ip", "link", "del", "eth0")
    wait_for(lambda: p.host_if not in a.ns.run("ip", "link").stdout, 3)
    out = ask(a, "ipam", "release", p.ip(4))
    assert out["released"]["container"] == "p"


def machine(ns):
    return ns.sh("""
        ip -o link | sed 's/qlen.*//; s/state [A-Z]*//'; ip -o addr; ip route show table all; ip -6 route show table all
        ip neigh show nud permanent; ip rule; nft list ruleset; tc qdisc show dev eth0; tc filter show dev eth0 ingress
        cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding
        cat /proc/sys/net/ipv6/conf/eth0/accept_ra
        cat /proc/sys/net/ipv4/conf/all/send_redirects
        cat /proc/sys/net/bridge/bridge-nf-call-ip*tables 2>/dev/null || true""").stdout


@pytest.mark.parametrize("how", ["clean", "killed"])
def test_cleanup_leaves_nothing(world, how):
    world.store.apply(pool("pool4", POOL4, "IPIP" if how == "killed" else "VXLAN"), pool("pool6", POOL6))
    n = world.add_node("n0")          # only to have its namespace wired
    n.keeper.stop()
    fairlead(n, "node", "cleanup", "--config", n.keeper.conf)
    n.ns.run("ip", "link", "add", "other", "type", "bridge")
    n.ns.nft("table inet other { set s { type ipv4_addr\n }\n }\n")
    if how == "killed":  # with half of br_netfilter, where the kernel has it
        n.ns.sh("f=/proc/sys/net/bridge/bridge-nf-call-iptables; test ! -e $f || echo 0 > $f")
    before = machine(n.ns)
    os.makedirs(n.keeper.run_dir, exist_ok=True), os.makedirs(n.keeper.state_dir, exist_ok=True)
    world.restart(n)
    world.store.apply(n.object())
    n.wait_serving()
    br = Cni(n.ns, n.keeper.cni_sock, network="brnet", attachment="bridge", bridge="cnibr0")
    p, q = world.pod(n, "p"), world.pod(n, "q", cni=br)
    wait_ping(p.ns, q.ip(4))
    assert machine(n.ns) != before
    assert ("fairlead-ipip" in machine(n.ns)) == (how == "killed")
    r = fairlead(n, "node", "cleanup", "--config", n.keeper.conf, code=1)
    assert "running" in r.stderr
    if how == "killed":
        for pid in [n.keeper.program.pid, n.keeper.pid("agent"), n.keeper.pid("watch")]:
            os.kill(pid, 9)
    n.keeper.stop()
    fairlead(n, "node", "cleanup", "--config", n.keeper.conf)
    assert machine(n.ns) == before
    for d in (n.keeper.run_dir, n.keeper.state_dir):
        assert not os.path.exists(d), os.listdir(d)
    assert world.store.get("ipblocks") == [] and world.store.get("workloadendpoints") == []
    fairlead(n, "node", "cleanup", "--config", n.keeper.conf)
