# SPDX-License-Identifier: Apache-2.0
"""A lab's life: what it leaves on the machine (nothing), names, and the death of its parts."""
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

import harness
from harness import wait_for

RUN = Path("/run/fairlead-lab")


def fairlead(*args, **kw):
    return subprocess.run([harness.built("bin/fairlead"), *map(str, args)], capture_output=True, text=True,
                          timeout=90, **kw)


@pytest.fixture
def name(unique):
    yield unique
    fairlead("lab", "down", "--name", unique)


def members(name):
    """Processes whose mount namespace is one of the lab's, by the kernel's tables."""
    found = {}
    for p in Path("/proc").glob("[0-9]*"):
        try:
            if f"fairlead-lab:{name}:" in (p / "mountinfo").read_text() and \
                    (p / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
                found[int(p.name)] = (p / "comm").read_text().strip()
        except OSError:
            pass
    return found


def machine():
    """What this network and mount namespace look like, for a comparison afterwards. (Cgroups are the whole
    machine's, where other tests make theirs: the comparison around all tests, tools/root-state, has them.)"""
    def say(*argv):
        return subprocess.run(argv, capture_output=True, text=True).stdout

    def tree(path):
        return sorted(str(p) for p in Path(path).rglob("*"))
    return {
        "links": sorted(i["ifname"] for i in json.loads(say("ip", "-j", "link"))),
        "addresses": say("ip", "-o", "addr", "show", "up"),
        "routes": say("ip", "route", "show", "table", "all") + say("ip", "-6", "route", "show", "table", "all"),
        "rules": say("ip", "rule") + say("ip", "-6", "rule"),
        "nft": say("nft", "list", "ruleset"),
        "netns": say("ip", "netns"),
        "mounts": Path("/proc/self/mounts").read_text(),
        "forward": Path("/proc/sys/net/ipv4/ip_forward").read_text(),
        "etc": tree("/etc/cni") + tree("/etc/fairlead"), "opt": tree("/opt"), "run": tree("/run/fairlead-lab"),
        "lib": tree("/var/lib/cni") + tree("/var/lib/fairlead"),
    }


def same(before, after):
    for key in before:
        assert before[key] == after[key], key


def test_leaves_nothing(name):
    before = machine()
    up = fairlead("lab", "up", "--name", name)
    assert up.returncode == 0, up.stderr
    assert len(members(name)) > 20
    down = fairlead("lab", "down", "--name", name)
    assert down.returncode == 0, down.stderr
    assert members(name) == {}
    same(before, machine())
    again = fairlead("lab", "down", "--name", name)
    assert again.returncode == 1 and "no lab" in again.stderr


def test_names_are_taken_once(name):
    assert fairlead("lab", "up", "--name", name, "--wait=0").returncode == 0
    second = fairlead("lab", "up", "--name", name)
    assert second.returncode == 1
    assert f"fairlead lab down --name {name}" in second.stderr
    assert len(members(name)) > 10


def test_side_by_side(lab):
    a, b = lab("--nodes", 1), lab("--nodes", 2, "--mode", "direct")
    assert len(a.status()["nodes"]) == 1 and len(b.status()["nodes"]) == 2
    for one in (a, b):
        pods = one.status()["pods"]
        assert one.probe("n1", f"{pods[0]['namespace']}/{pods[0]['name']}:8080")["code"] == 0
    a.down()
    assert len(b.status()["pods"]) == 6


@pytest.mark.parametrize("args, why", [
    (["--mode", "gre"], "gre"), (["--routes", "ospf"], "ospf"), (["--lab-store", "etcd"], "etcd"),
    (["--mode", "direct", "--cross-subnet"], "cross-subnet"), (["--nodes", "0"], "nodes"),
    (["--cluster-domain", "a b"], "cluster-domain"),
    (["--pod-cidr", "10.0.0.0"], "pod-cidr"), (["--pod-cidr", "10.0.0.1/16"], "pod-cidr 10.0.0.1/16: host bits"),
    (["--pod-cidr", "172.16.0.0/12"], "pod-cidr 172.16.0.0/12: overlaps with the lab's rack 172.18.1.0/24"),
    (["--pod-cidr", "203.0.113.128/25"], "overlaps with the lab's outside 203.0.113.0/24"),
    (["--pod-cidr", "10.0.0.0/8"], "pod-cidr 10.0.0.0/8: overlaps with service-cidr 10.96.0.0/12"),
    (["--service-cidr", "10.96.0.1/12"], "service-cidr 10.96.0.1/12: host bits must be zero: 10.96.0.0/12"),
    (["--service-cidr", "fd00:18::/32"], "service-cidr fd00:18::/32: overlaps with the lab's rack"),
    (["--pod-cidr", "10.1.0.0/16", "--pod-cidr", "10.1.2.0/24"], "10.1.2.0/24: overlaps with pod-cidr 10.1.0.0/16"),
    (["--family", "4", "--pod-cidr", "fd01::/64"], "pod-cidr fd01::/64: the lab has no IPv6"),
    (["--family", "6", "--service-cidr", "10.96.0.0/12"], "service-cidr 10.96.0.0/12: the lab has no IPv4"), (["--name", "a/b"], "name"), (["--family", "5"], "family"),
    (["-f", "/nonexistent.yaml"], "nonexistent")])
def test_refused(args, why):
    r = fairlead("lab", "up", *args)
    assert r.returncode in ((2,) if why != "nonexistent" else (1, 2)) and why in r.stderr
    if not args[0] == "--name":
        assert not (RUN / "lab").exists()


@pytest.mark.parametrize("cidr, args, why", [
    ("172.18.0.0/16", [], "the lab's rack"), ("10.100.0.0/16", [], "service-cidr 10.96.0.0/12"),
    ("10.1.2.0/24", ["--pod-cidr", "10.1.0.0/16"], "pod-cidr 10.1.0.0/16")])
def test_pool_of_a_manifest_overlaps(name, tmp_path, cidr, args, why):
    path = tmp_path / "pool.yaml"
    path.write_text("apiVersion: fairlead.io/v1\nkind: IPPool\nmetadata: {name: mine}\nspec: {cidr: %s}\n" % cidr)
    r = fairlead("lab", "up", "--name", name, "-f", path, *args)
    assert r.returncode == 2
    assert r.stderr.startswith(f"fairlead: {path}:1: IPPool mine: spec.cidr {cidr}: overlaps with {why}"), r.stderr
    assert not (RUN / name).exists()


def test_pool_too_small(name, tmp_path):
    """Said at once, by the pods concerned and with what the plugin said; not after a minute."""
    path = tmp_path / "m.yaml"
    path.write_text("".join(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p%d}\nspec: {containers: [{name: c}]}\n---\n" % i
        for i in range(6)))
    r = fairlead("lab", "up", "--name", name, "--nodes", 1, "--family", 4, "--mode", "direct", "--pod-cidr", "10.7.0.0/30",
                 "-f", path)
    assert r.returncode == 3, r.stderr
    assert re.search(r"^fairlead: no address for 2 of 6 pods:\n(  pod default/p\d: Pending on n1: .*"
                     r"no free IPv4 address in 1 pool.*\n){2}", r.stderr), r.stderr
    assert "not all ready" in r.stdout and float(r.stdout.split()[-2]) < 30, r.stdout


def test_bad_manifest_makes_no_lab(name, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: 7}\n")
    r = fairlead("lab", "up", "--name", name, "-f", bad)
    assert r.returncode == 2 and "spec.containers" in r.stderr
    assert not (RUN / name).exists()


def test_cleans_up_when_it_cannot_be_built(name, scratch):
    """An installation without lab-pause: the supervisor fails in the middle."""
    broken = scratch / "broken"
    shutil.copytree(harness.OUT, broken, symlinks=True)
    (broken / "libexec/fairlead/lab-pause").unlink()
    before = machine()
    r = subprocess.run([broken / "bin/fairlead", "lab", "up", "--name", name], capture_output=True, text=True,
                       timeout=60)
    assert r.returncode == 1 and "lab-pause" in r.stderr
    assert members(name) == {} and not (RUN / name).exists()
    same(before, machine())


def test_supervisor_killed(name):
    """The lab dies with it, and down still tidies up."""
    assert fairlead("lab", "up", "--name", name).returncode == 0
    state = (RUN / name / "state").read_text()
    pid = next(int(line.split()[2]) for line in state.splitlines() if line.startswith("supervisor "))
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not members(name), 10, "all processes of the lab have ended")
    assert fairlead("lab", "down", "--name", name).returncode == 0
    assert not (RUN / name).exists()
    assert fairlead("lab", "up", "--name", name, "--wait=0").returncode == 0


def test_a_dead_lab_gives_its_name_back(name):
    assert fairlead("lab", "up", "--name", name, "--wait=0").returncode == 0
    for pid in members(name):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    wait_for(lambda: not members(name), 10, "all processes of the lab have ended")
    assert fairlead("lab", "up", "--name", name).returncode == 0


def test_down_finds_processes_without_records(name):
    """Whatever a command left behind in a pod's namespaces dies with the lab."""
    assert fairlead("lab", "up", "--name", name, "--nodes", "1", "--racks", "1").returncode == 0
    stray = subprocess.Popen([harness.built("bin/fairlead"), "lab", "node", "--name", name, "n1", "--", "setsid",
                              "sleep", "600"])
    wait_for(lambda: "sleep" in members(name).values(), 5, "sleep runs on the node")
    (RUN / name / "state").unlink()
    assert fairlead("lab", "down", "--name", name).returncode == 0
    assert stray.wait(5) != 0 and members(name) == {}


def test_what_dies_is_started_again(name):
    assert fairlead("lab", "up", "--name", name).returncode == 0

    def status():
        return json.loads(fairlead("lab", "status", "--name", name, "-o", "json").stdout)

    def pids(program):
        return {pid for pid, comm in members(name).items() if comm == program}
    before = status()
    for program in ("lab-node", "lab-router", "fairleadd"):
        old = pids(program)
        assert old
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len(pids(program)) == len(old) and not pids(program) & old, 10, f"{program} is back")
    wait_for(lambda: all("agent" in n["roles"] for n in status()["nodes"]), 10, "agents are back")
    after = status()
    assert [(p["name"], p["pid"], p["ips"]) for p in before["pods"]] == \
        [(p["name"], p["pid"], p["ips"]) for p in after["pods"]]
    rows = json.loads(fairlead("lab", "matrix", "--name", name, "-o", "json").stdout)["rows"]
    assert rows and all(r["result"] == "connected" for r in rows)


def test_keeper_taken_over(lab):
    """One that took over is left alone while it lives, and what dies then is started again."""
    one = lab("--nodes", 1)
    pidfile, log = RUN / one.name / "nodes/n1/run/fairlead/fairleadd.pid", RUN / one.name / "lab.log"

    def pid():
        return int(pidfile.read_text())

    def keepers():
        return {p for p, comm in members(one.name).items() if comm == "fairleadd"}

    last = pid()
    for _ in range(2):
        with open(RUN / one.name / "nodes/n1/log/fairleadd.log", "ab") as out:
            argv = [harness.built("bin/fairlead"), "lab", "node", "--name", one.name, "n1", "--",
                    harness.built("bin/fairleadd"), "--takeover"]
            assert subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=60).returncode == 0
        line = f"process {pid()} has taken over from {last}"
        wait_for(lambda: line in log.read_text(), 10, "the supervisor has noticed")
        assert pid() != last and keepers() == {pid()}
        last = pid()
    os.kill(last, signal.SIGKILL)
    wait_for(lambda: pid() != last, 10, "another keeper runs")
    wait_for(lambda: one.status()["nodes"][0]["roles"].keys() >= {"agent", "watch"}, 20, "its roles run")
    wait_for(lambda: keepers() == {pid()}, 10, "one keeper, and no role that has its name yet")
    assert log.read_text().count("n1/fairleadd") == 3, "no start in vain"
    one.down()
    assert members(one.name) == {}
