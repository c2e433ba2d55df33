# SPDX-License-Identifier: Apache-2.0
"""lab probe and lab matrix as measuring instruments: every verdict has a cause that the test made with
nft or by leaving a port closed, and what the tools say is compared with that."""
import json
import socket
import subprocess
from contextlib import ExitStack, suppress
from types import SimpleNamespace

import pytest
import yaml

import harness
from conntrack import inside
from harness import built
from sctp import sctp_init


def pod(name, node, ports, labels=None, hosts=None):
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "x", "labels": labels or {"app": name}},
            "spec": {"nodeName": node, "containers": [{"name": "c", "ports": [
                {"containerPort": int(p.split("/")[0]), "protocol": p.split("/")[1].upper()} for p in ports]}]}}


@pytest.fixture(scope="module")
def world(module_lab, tmp_path_factory):
    path = tmp_path_factory.mktemp("m") / "m.yaml"
    path.write_text(yaml.safe_dump_all([
        pod("a", "n1", ["80/tcp", "81/udp", "82/sctp"]), pod("b", "n1", ["80/tcp"], {"app": "b", "tier": "back"}),
        pod("c", "n2", ["80/tcp", "81/udp", "82/sctp"])]))
    lab = module_lab("--nodes", 2, "--racks", 1, "--mode", "direct", manifests=[path])
    # verdicts of pod x/c, made by its own packet filter
    lab.exec("x/c", "nft", "add table inet t; add chain inet t i { type filter hook input priority 0; };"
             "add rule inet t i tcp dport 90 reject with tcp reset;"
             "add rule inet t i tcp dport 91 reject with icmpx type port-unreachable;"
             "add rule inet t i meta l4proto { tcp, udp, sctp } th dport 92 reject with icmpx type admin-prohibited;"
             "add rule inet t i meta l4proto { tcp, udp, sctp } th dport 93 drop")
    return lab


def ips(lab, name):
    return next(p["ips"] for p in lab.status()["pods"] if p["name"] == name)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("proto, port, result, by", [
    ("tcp", 80, "connected", None), ("udp", 81, "connected", None), ("sctp", 82, "connected", None),
    ("icmp", 0, "connected", None),
    ("tcp", 85, "refused", "rst"), ("udp", 85, "refused", "icmp-port"), ("sctp", 85, "refused", "rst"),
    ("tcp", 90, "refused", "rst"), ("tcp", 91, "refused", "icmp-port"),
    ("tcp", 92, "refused", "icmp-admin"), ("udp", 92, "refused", "icmp-admin"), ("sctp", 92, "refused", "icmp-admin"),
    ("tcp", 93, "timeout", None), ("udp", 93, "timeout", None), ("sctp", 93, "timeout", None)])
def test_verdicts(world, proto, port, result, by, family):
    target = f"x/c:{port}" if port else "x/c"
    got = world.probe("x/a", target, "--proto", proto, "--family", family, "--timeout", 400)
    assert got["sent"] == 1 and got["results"] == {"connected": 0, "refused": 0, "timeout": 0, result: 1}
    assert got["refused_by"] == by
    assert got["code"] == (0 if result == "connected" else 1)
    if result == "connected" and proto != "icmp":
        ip = ips(world, "c")[family == 6]
        assert got["servers"] == {f"x/c@{ip if family == 4 else f'[{ip}]'}:{port}": 1}
        seen, = got["server_sees"]
        assert seen.rsplit(":", 1)[0].strip("[]") == ips(world, "a")[family == 6]
        assert 0 < got["ms"]["min"] <= got["ms"]["p50"] <= got["ms"]["max"] < 400


@pytest.mark.parametrize("family", [4, 6])
def test_errors_of_others(world, family):
    """A raw socket hears of what its pod sends to the same address otherwise: that refuses nobody's probe."""
    pid = next(p["pid"] for p in world.status()["pods"] if p["name"] == "a")
    ip = ips(world, "c")[family == 6]
    with inside(SimpleNamespace(path=f"/proc/{pid}/ns/net")):
        s = socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_SCTP)
    probes = {port: subprocess.Popen([built("bin/fairlead"), "lab", "probe", "--name", world.name, "--from", "x/a", "--to", f"x/c:{port}",
                                      "--proto", "sctp", "--family", str(family), "--timeout", "1500", "-o", "json"],
                                     stdout=subprocess.PIPE, text=True) for port in (93, 82)}
    with s:
        s.setsockopt(socket.IPPROTO_IPV6 if family == 6 else socket.IPPROTO_IP, 25 if family == 6 else 11, 1)  # RECVERR
        heard = False
        while probes[93].poll() is None:
            s.sendto(sctp_init(7, 92), (ip, 0))  # 92 refuses
            with suppress(subprocess.TimeoutExpired):
                probes[93].wait(0.02)
            with suppress(BlockingIOError):
                heard = bool(s.recv(64, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)) or heard
    got = {port: json.loads(p.communicate(timeout=20)[0]) for port, p in probes.items()}
    assert heard and got[93]["results"] == {"connected": 0, "refused": 0, "timeout": 1}
    assert got[82]["results"] == {"connected": 1, "refused": 0, "timeout": 0}


def test_ways_to_name_a_target(world):
    ip4, ip6 = ips(world, "c")
    for target in ("x/c", "x/c:80", f"{ip4}:80", f"[{ip6}]:80"):
        assert world.probe("x/a", target)["code"] == 0
    assert world.probe("n1", f"{ip4}:80")["code"] == 0
    assert world.probe("outside", f"{ip4}:80")["code"] == 0
    assert world.probe("x/a", "outside")["servers"]
    assert world.probe("x/a", "localhost:80", "--family", 4)["servers"]
    for bad in ("x/c:0", "x/c:70000", "x/c:", ":80", "[::1", "[::1]80", "x/c:+80"):
        assert world("probe", "--from", "x/a", "--to", bad, check=False).returncode == 2
    # Exit 1 means "none connected": a misspelt name must not look like a denied packet.
    for missing in ("x/nobody", "x/nobody:80"):
        assert world("probe", "--from", "x/a", "--to", missing, check=False).returncode == 2
    assert world("probe", "--from", "nobody", "--to", "x/c", check=False).returncode == 2
    assert world("probe", "--from", "x/a", check=False).returncode == 2
    for source in ("x", "10.0.0.1:x", "[::1"):
        r = world("probe", "--from", "x/a", "--to", "x/c", "--source", source, check=False)
        assert r.returncode == 2 and f"--source {source}: must be ADDR" in r.stderr and "prober" not in r.stderr


def test_counts_and_sockets(world):
    own = ips(world, "a")[0]
    many = world.probe("x/a", "x/c:80", "--count", 25)
    assert many["sent"] == 25 and many["results"]["connected"] == 25 and len(many["server_sees"]) == 25
    one = world.probe("x/a", "x/c:81", "--proto", "udp", "--count", 9, "--same-socket")
    assert one["results"]["connected"] == 9 and list(one["server_sees"].values()) == [9]
    one = world.probe("x/a", "x/c:80", "--count", 9, "--same-socket")
    assert one["results"]["connected"] == 9 and list(one["server_sees"].values()) == [9]
    fixed = world.probe("x/a", "x/c:81", "--proto", "udp", "--source", f"{own}:4321")
    assert fixed["server_sees"] == {f"{own}:4321": 1}
    spaced = world.probe("x/a", "x/c:80", "--count", 3, "--interval", 60)
    assert spaced["results"]["connected"] == 3


@pytest.mark.parametrize("proto, port", [("tcp", 80), ("udp", 81), ("icmp", 0)])
def test_sizes(world, proto, port):
    """Larger than a packet, both ways; the capture counts bytes on the wire."""
    target = f"x/c:{port}" if port else "x/c"

    def received():
        text = world.exec("x/c", "ip", "-j", "-s", "link", "show", "eth0").stdout
        return json.loads(text)[0]["stats64"]
    before = received()
    assert world.probe("x/a", target, "--proto", proto, "--size", 20000)["code"] == 0
    after = received()
    assert after["rx"]["bytes"] - before["rx"]["bytes"] > 20000
    assert after["tx"]["bytes"] - before["tx"]["bytes"] > 20000


def test_some(world):
    """Half of the source ports are dropped: some, not all."""
    world.exec("x/c", "nft", "add rule inet t i udp dport 81 udp sport 5001 drop")
    results = [world.probe("x/a", "x/c:81", "--proto", "udp", "--source", f"{ips(world, 'a')[0]}:{p}", "--timeout", 300)
               for p in (5000, 5001)]
    assert [r["code"] for r in results] == [0, 1]
    world.exec("x/c", "nft", "insert rule inet t i tcp dport 80 ct state new limit rate over 1/hour burst 3 packets drop")
    try:
        some = world.probe("x/a", "x/c:80", "--count", 10, "--timeout", 300)
        assert some["code"] == 3 and some["results"]["connected"] == 3 and some["results"]["timeout"] == 7
    finally:
        world.exec("x/c", "sh", "-c", "nft delete rule inet t i handle $(nft -a list chain inet t i |"
                   " sed -n 's/.*limit rate.*handle //p')")


def test_hold(world):
    assert world.probe("x/a", "x/c:80", "--hold", 0.6)["code"] == 0
    p = subprocess.Popen([harness.built("bin/fairlead"), "lab", "probe", "--name", world.name, "--from", "x/a", "--to",
                          "x/c:80", "--hold", "3", "--timeout", "500", "-o", "json"], stdout=subprocess.PIPE)
    try:
        harness.wait_for(lambda: ":80" in world.exec("x/a", "ss", "-Htn", "state", "established").stdout, 5,
                         "the connection stands")
        world.exec("x/c", "nft", "insert rule inet t i tcp dport 80 drop")
        out, _ = p.communicate(timeout=10)
    finally:
        world.exec("x/c", "sh", "-c", "nft -a list chain inet t i | sed -n 's/.*tcp dport 80 drop.*handle //p' |"
                   " xargs -r -n1 nft delete rule inet t i handle")
        p.kill()
    assert json.loads(out)["results"] == {"connected": 0, "refused": 0, "timeout": 1} and p.returncode == 1


def rows(world, *args):
    return {(r["from"], r["to"], r["port"], r["proto"], r["family"]): r for r in world.matrix(*args)}


def test_matrix_cells(world):
    got = rows(world)
    ports = {"x/a": [(80, "tcp"), (81, "udp"), (82, "sctp")], "x/b": [(80, "tcp")],
             "x/c": [(80, "tcp"), (81, "udp"), (82, "sctp")]}
    assert set(got) == {(f, t, *p, fam) for f in ports for t in ports for p in ports[t] for fam in (4, 6)}
    assert all(r["result"] == "connected" and r["server"].startswith(r["to"] + "@") for r in got.values())


def test_matrix_options(world):
    assert {k[2:4] for k in rows(world, "--ports", "80/tcp,93/udp", "--timeout", "300")} == {(80, "tcp"), (93, "udp")}
    got = rows(world, "--ports", "90,92/udp,93/udp", "--to", "app=c", "--from", "x/a", "--timeout", "300")
    assert {k: (r["result"], r.get("refused_by")) for k, r in got.items()} == {
        ("x/a", "x/c", port, proto, fam): verdict for fam in (4, 6) for port, proto, verdict in (
            (90, "tcp", ("refused", "rst")), (92, "udp", ("refused", "icmp-admin")), (93, "udp", ("timeout", None)))}
    assert {k[4] for k in rows(world, "--family", "6")} == {6}
    assert {k[:2] for k in rows(world, "--from", "tier=back", "--to", "x/tier!=back")} == \
        {("x/b", "x/a"), ("x/b", "x/c")}
    for bad in (["--ports", "80/xyz"], ["--external", "x"], ["--external", "x=y"], ["--from", ""]):
        assert world("matrix", *bad, check=False).returncode == 2


def test_every_refusal_is_said(world):
    """Kernels hold back ICMP errors after a handful, and silence would look like a policy."""
    ports = ",".join(f"{p}/{proto}" for p in range(2000, 2040) for proto in ("udp", "sctp"))
    got = world.matrix("--ports", ports, "--from", "x/a", "--timeout", 400)
    assert len(got) == 3 * 2 * 80 and {r["result"] for r in got} == {"refused"}


def test_sctp_is_refused_while_the_pod_probes(world):
    """x/b, with no port of SCTP, has its prober's socket open for as long as x/c is silent."""
    got = rows(world, "--ports", "93/sctp", "--from", "!none", "--timeout", 600)
    assert {k[:2]: r["result"] for k, r in got.items() if k[1] == "x/c"} == {(f"x/{n}", "x/c"): "timeout" for n in "abc"}
    assert {k: r["result"] for k, r in got.items() if k[1] != "x/c" and r["result"] != "refused"} == {}


def test_sctp_to_pods_on_their_nodes_network(lab, scratch):
    """The same on nodes, where somebody who waits for an answer of SCTP has his socket too; who serves a port there is
    not refused by the other pods of the node."""
    def on_node(name, node, *ports):
        p = pod(name, node, ports)
        return {**p, "spec": {**p["spec"], "hostNetwork": True}}
    path = scratch / "m.yaml"
    path.write_text(yaml.safe_dump_all([pod("a", "n1", []), pod("b", "n2", []), on_node("none", "n1"), on_node("one", "n2", "82/sctp"),
                                        on_node("two", "n2"), on_node("three", "n2", "83/sctp")]))
    w = lab("--nodes", 2, "--racks", 1, "--mode", "direct", manifests=[path])
    with ExitStack() as waiting:
        for n in w.status()["nodes"]:
            with inside(SimpleNamespace(path=f"/proc/{n['pid']}/ns/net")):
                for family in (socket.AF_INET, socket.AF_INET6):
                    waiting.enter_context(socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_SCTP))
        for family in (4, 6):
            for source, target, result in (("x/b", "n1:82", "refused"), ("x/a", "n2:84", "refused"), ("x/a", "n2:82", "connected"),
                                           ("x/a", "n2:83", "connected")):
                got = w.probe(source, target, "--proto", "sctp", "--family", family, "--count", 10, "--timeout", 1000)
                assert got["results"][result] == 10, (source, target, family, got)


def test_matrix_all_and_externals(world):
    got = rows(world, "--all", "--external", "client=198.51.100.7", "--external", "v6=2001:db8:7::7")
    names = {k[0] for k in got}
    assert names == {"x/a", "x/b", "x/c", "n1", "n2", "outside", "client", "v6"}
    assert all(r["result"] == "connected" for r in got.values()), \
        [r for r in got.values() if r["result"] != "connected"][:5]
    assert got["client", "x/a", 80, "tcp", 4]["server_sees"].startswith("198.51.100.7:")
    assert got["v6", "x/a", 80, "tcp", 6]["server_sees"].startswith("[2001:db8:7::7]:")
    assert got["x/a", "client", 8080, "tcp", 4]["server"] == "outside@198.51.100.7:8080"
    assert ("client", "x/a", 80, "tcp", 6) not in got
    # the servers on nodes and the externals' addresses were there only for the matrix
    assert world.probe("x/a", "n2:8080")["refused_by"] == "rst"
    outside = world.status()["outside"]["pid"]
    addrs = subprocess.run(["nsenter", "-n", "-t", str(outside), "ip", "-br", "addr"], capture_output=True, text=True)
    assert "198.51.100.7" not in addrs.stdout
