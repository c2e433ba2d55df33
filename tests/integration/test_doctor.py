# SPDX-License-Identifier: Apache-2.0
"""fairlead doctor: nothing on a healthy node; each defect, made here, is one finding with a cure."""
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from agent_world import pool, pools, wait_ping, world
from harness import built, needs, wait_for


def doctor(node, code=None):
    """The ids of what is found on the node."""
    r = subprocess.run(node.ns.argv(built("bin/fairlead"), "doctor", "--config", node.keeper.conf, "-o", "json"),
                       capture_output=True, text=True, timeout=30)
    assert r.returncode in ([0, 1] if code is None else [code]), r.stdout + r.stderr
    out = json.loads(r.stdout)
    assert set(out) == {"findings", "checked"}
    for f in out["findings"]:
        assert set(f) == {"id", "severity", "what", "where", "why", "cure"} and all(f.values()), f
        assert f["severity"] in ("error", "warning")
    assert (r.returncode == 1) == bool(out["findings"])
    return [f["id"] for f in out["findings"]]


@pytest.fixture
def pair(world):
    a, b = world.up(10, 20)
    p, q = world.pod(a, "p"), world.pod(b, "q")
    wait_ping(p.ns, q.ip(4))
    assert doctor(a, 0) == doctor(b, 0) == []
    return a, b, p, q


def stop_agent(node):
    """So that it does not repair what is broken on purpose; its absence is a finding."""
    node.keeper.stop()


KNOBS = {
    "forwarding-v4": ("net.ipv4.ip_forward", 0),
    "forwarding-v6": ("net.ipv6.conf.all.forwarding", 0),
    "forwarding-uplink": ("net.ipv4.conf.eth0.forwarding", 0),
    "rp-filter-tunnel": ("net.ipv4.conf.vxlan0.rp_filter", 1),
}


def test_agent_and_knobs(pair):
    a, b, p, q = pair
    stop_agent(a)
    assert doctor(a) == ["agent"]
    for id, (key, value) in KNOBS.items():
        before = a.ns.sysctl(key)
        a.ns.sysctl(key, value)
        assert doctor(a) == ["agent", id], id
        a.ns.sysctl(key, before)
        assert doctor(a) == ["agent"], f"after the cure of {id}"


def test_kernel_tables(world, pair):
    a, b, p, q = pair
    stop_agent(a)
    a.ns.run("ip", "link", "set", "vxlan0", "mtu", 1500)
    assert doctor(a) == ["agent", "mtu-tunnel"]
    a.ns.run("ip", "link", "del", "vxlan0")
    a.ns.run("ip", "link", "add", "vxlan0", "type", "vxlan", "id", 7, "dstport", 4790)
    assert doctor(a) == ["agent", "tunnel-taken"]
    a.ns.run("ip", "link", "del", "vxlan0")
    a.ns.run("ip", "route", "add", "10.244.128.0/17", "via", "192.168.10.1")
    assert doctor(a) == ["agent", "overlap-routes"]
    a.ns.run("ip", "route", "del", "10.244.128.0/17")
    a.ns.sysctl("net.ipv4.conf.all.rp_filter", 1)
    world.plug(a.ns, 30, "192.168.30.9/24", default=False, dev="eth1")
    a.ns.run("ip", "route", "add", "default", "via", "192.168.30.1", "dev", "eth1", "metric", 50)
    assert doctor(a) == ["agent", "rp-filter-uplink"]
    a.ns.sysctl("net.ipv4.conf.eth0.rp_filter", 2)
    assert doctor(a) == ["agent"]


def test_path_takes_less_than_the_uplink_says(world, pair):
    a, b, p, q = pair
    world.router.run("ip", "link", "set", "rack20", "mtu", 1400)
    assert doctor(a) == ["mtu-path"]


def test_store(world, pair):
    a, b, p, q = pair
    world.store.apply(pool("more", "192.168.10.0/28"))
    assert sorted(set(doctor(a))) == ["overlap-nodes", "overlap-routes"]
    world.store.delete(pool("more", "192.168.10.0/28"))
    old = a.ip4
    a.ip4 = b.ip4
    world.store.apply(a.object())
    assert "node-address-twice" in doctor(b)
    assert "node-address-missing" in doctor(a)
    a.ip4 = old
    world.store.apply(a.object())
    wait_for(lambda: doctor(a) == doctor(b) == [], 5)
    conf = a.keeper.conf.read_text()
    a.keeper.conf.write_text(conf + "service-cidr 10.244.64.0/20\n")
    assert doctor(a) == ["overlap-services"]


DROPS = {
    "policy": "table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop\n}\n}",
    "rule": "table inet fw { chain f { type filter hook forward priority 10; ct state invalid drop; counter reject\n}\n}",
}
PASSES = [
    "table inet fw { chain f { type filter hook forward priority 10; tcp dport 23 drop\n}\n}",
    "table inet fw { chain f { type filter hook prerouting priority 10; policy accept\n}\n}",
]


@pytest.mark.parametrize("drop", DROPS)
def test_drops_of_others(pair, drop):
    a, b, p, q = pair
    for rules in PASSES:
        a.ns.nft(rules)
        assert doctor(a) == []
        a.ns.run("nft", "delete", "table", "inet", "fw")
    a.ns.nft(DROPS[drop])
    assert doctor(a) == ["foreign-drop"]
    chain = "ip filter FORWARD" if drop == "policy" else "inet fw f"
    a.ns.nft("".join(f"insert rule {chain} {x}\n" for x in
                     ("ip saddr 10.244.0.0/16 accept", "ip daddr 10.244.0.0/16 accept")))
    assert doctor(a) == [], "the cure is seen"
    wait_ping(p.ns, q.ip(4))


@needs("iptables-legacy")
def test_legacy_iptables(pair):
    a, b, p, q = pair
    a.ns.run("iptables-legacy", "-A", "FORWARD", "-p", "tcp", "--dport", "23", "-j", "DROP")
    assert doctor(a) == ["iptables-legacy"]


def test_network_managers(world, pair, scratch):
    """A program of that name runs; its configuration is what users write."""
    a, b, p, q = pair
    cures = {"NetworkManager": ("networkmanager", "/etc/NetworkManager/conf.d/f.conf",
                                "[keyfile]\nunmanaged-devices=interface-name:fl*;interface-name:vxlan0\n"),
             "systemd-networkd": ("networkd", "/etc/systemd/networkd.conf.d/f.conf", "[Network]\nManageForeignRoutes=no\n"),
             "firewalld": ("firewalld", "/etc/firewalld/zones/trusted.xml",
                           '<zone><source address="10.244.0.0/16"/><source address="fd00:244::/48"/></zone>\n')}
    for name, (id, path, text) in cures.items():
        shutil.copy(shutil.which("sleep"), scratch / name)
        other = world.start([scratch / name, "60"])
        assert doctor(a) == [id]
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)
        assert doctor(a) == []
        other.stop()
        Path(path).unlink()


def test_files(world, pair):
    a, b, p, q = pair
    net, plugin = Path("/etc/cni/net.d"), Path("/opt/cni/bin/fairlead-cni")
    for d in (net, plugin.parent):
        d.mkdir(parents=True, exist_ok=True)
    ours, other = net / "10-fairlead.conflist", net / "05-other.conf"
    ours.write_text(json.dumps({"cniVersion": "1.0.0", "name": "podnet", "plugins": [{"type": "fairlead-cni"}]}))
    had = plugin.exists()
    try:
        if had:
            plugin.rename(plugin.with_suffix(".away"))
        assert doctor(a) == ["cni-binary"]
        plugin.symlink_to(built("bin/fairlead-cni"))
        assert doctor(a) == []
        other.write_text('{"type": "bridge", "name": "x"}')
        assert doctor(a) == ["cni-order"]
    finally:
        for f in (ours, other, plugin):
            f.unlink(missing_ok=True)
        if had:
            plugin.with_suffix(".away").rename(plugin)


def test_state_dir(world, pair):
    a, b, p, q = pair
    stop_agent(a)
    state = a.keeper.state_dir
    for options, id in (("size=64k", "disk-full"), ("ro,size=64m", "disk-readonly")):
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", state], check=True)
        try:
            assert doctor(a) == ["agent", id]
        finally:
            subprocess.run(["umount", state], check=True)


LISTEN = '''import socket, sys
family, kind, addr = eval(sys.argv[1])
s = socket.socket(getattr(socket, family), getattr(socket, kind))
s.bind((addr, 53))
if kind == "SOCK_STREAM":
    s.listen()
print("bound", flush=True)
sys.stdin.read()
'''


def test_port_of_dns(pair):
    """Who has port 53 of every address is in the way of role dns; who has one of his own is not."""
    a, b, p, q = pair
    with_dns = a.keeper.conf.with_suffix(".dns")
    text = a.keeper.conf.read_text()
    with_dns.write_text(re.sub(r"^roles .*", r"\g<0> dns", text, flags=re.M) + "dns-upstream off\n")

    def ids(conf):
        out = a.ns.run(built("bin/fairlead"), "doctor", "--config", conf, "-o", "json", check=False).stdout
        return [f["id"] for f in json.loads(out)["findings"]]
    assert ids(with_dns) == []
    for family, kind, addr, found in (("AF_INET", "SOCK_DGRAM", "0.0.0.0", ["dns-port"]), ("AF_INET", "SOCK_DGRAM", "127.0.0.53", []),
                                      ("AF_INET6", "SOCK_STREAM", "::", ["dns-port"]), ("AF_INET6", "SOCK_DGRAM", "::1", [])):
        other = subprocess.Popen(a.ns.argv("python3", "-c", LISTEN, repr((family, kind, addr))), stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True)
        try:
            assert other.stdout.readline() == "bound\n"
            assert ids(with_dns) == found, (family, kind, addr)
            assert ids(a.keeper.conf) == []
        finally:
            other.communicate("")
    assert ids(with_dns) == []


def test_agent_that_is_not_in_sync(world):
    a, = world.up(10)
    world.store.path.rename(world.store.path.with_suffix(".away"))
    world.restart(a)
    a.keeper.wait_role("agent")
    try:
        wait_for(lambda: "agent-sync" in doctor(a), 10)
    finally:
        world.store.path.with_suffix(".away").rename(world.store.path)


def test_text(pair):
    a, b, p, q = pair
    run = lambda: a.ns.run(built("bin/fairlead"), "doctor", "--config", a.keeper.conf, check=False)
    r = run()
    assert r.returncode == 0 and r.stdout.startswith("0 findings; looked at agent, kernel, forwarding")
    a.ns.nft(DROPS["policy"])
    r = run()
    assert r.returncode == 1 and "chain ip filter FORWARD" in r.stdout and "cure  nft insert rule" in r.stdout
    assert "\033" not in r.stdout
    r = a.ns.run(built("bin/fairlead"), "doctor", "--config", "/nowhere", check=False)
    assert r.returncode == 3 and r.stderr
