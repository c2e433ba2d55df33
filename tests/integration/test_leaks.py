# SPDX-License-Identifier: Apache-2.0
"""Addresses of containers that ended without DEL, disks that cannot be written to, and many ADDs
while roles and keeper are killed. Whether an address is held is asked by asking for it; who has one
is read in the pods' namespaces."""
import os
import random
import signal
import subprocess
import time

import pytest

from agent_world import Cni, ping, pod_object, pools, world  # noqa: F401
from harness import wait_for
from roles import fakes  # noqa: F401
from test_agent_cli import ask
from test_agent_restart import host_links
from test_snapshot import kill_everything, lose

GRACE = 2


@pytest.fixture
def node(world):  # noqa: F811
    n, = world.up(10, leak_grace=GRACE)
    n.spare = world.netns("spare")
    return n


def is_held(node, ip, cni=None):
    """Asks for the address, and gives it back where that was granted."""
    cni, ns = cni or node.cni, getattr(node, "spare")
    code, out = cni("ADD", "asks", ns.path, runtimeConfig={"ips": [ip]})
    assert code == 0 or out["code"] == 101, out
    assert cni("DEL", "asks", ns.path) == (0, None)
    return code != 0


def released(node):
    return [l for l in node.keeper.program.log().splitlines() if l.endswith("; released")]


def test_container_that_ends_without_del(world, node):  # noqa: F811
    p, q = world.pod(node, "p"), world.pod(node, "q")
    p.ns.delete()
    died = time.monotonic()
    wait_for(lambda: p.host_if not in host_links(node))
    assert is_held(node, p.ip(4))
    wait_for(lambda: released(node), 20)
    assert time.monotonic() - died >= GRACE
    assert len(released(node)) == 1 and "container p, eth0" in released(node)[0]
    wait_for(lambda: not is_held(node, p.ip(4)), 5)
    assert q.check() == (0, None) and is_held(node, q.ip(4))
    assert p.delete(netns=False) == (0, None)


def test_link_that_was_deleted(world, node):  # noqa: F811
    """Over a restart of the agent too, two looks are needed."""
    p = world.pod(node, "p")
    node.ns.run("ip", "link", "del", p.host_if)
    died = time.monotonic()
    node.restart_agent()
    assert time.monotonic() - died >= GRACE or is_held(node, p.ip(4))
    wait_for(lambda: released(node), 20)
    assert time.monotonic() - died >= GRACE
    wait_for(lambda: not is_held(node, p.ip(6)), 5)


def test_link_that_was_renamed_is_not_gone(world, node):  # noqa: F811
    p, q = world.pod(node, "p"), world.pod(node, "q")
    for step in ("down", "name other0"):
        node.ns.run("ip", "link", "set", "dev", p.host_if, *step.split())
    q.ns.delete()
    wait_for(lambda: released(node), 20)
    assert [l for l in released(node) if "container q" in l] == released(node)
    assert is_held(node, p.ip(4))
    assert "other0" in node.ns.run("ip", "link").stdout


@pytest.mark.parametrize("agent", ["same", "next"])
def test_link_that_was_renamed_goes_with_del(world, node, agent):  # noqa: F811
    """It is known by its alias, and foreign links that look like it are not taken for it."""
    p = world.pod(node, "p")
    alias, = [l["ifalias"] for l in node.ns.ip("link") if l["ifname"] == p.host_if]
    node.ns.sh(f"""
        ip link set {p.host_if} down
        ip link set {p.host_if} name other0 up
        ip link add other1 alias '{alias}x' type veth peer name other2
        ip link add other3 alias '{alias}' type ifb""")
    names = lambda: {l["ifname"] for l in node.ns.ip("link")}  # noqa: E731
    assert ask(node, "ipam", "check", "--fix")["problems"] == []
    assert ask(node, "ipam", "release", p.ip(4), code=1) == {"released": None}
    if agent == "next":
        node.restart_agent()
    assert "other0" in names()
    assert p.delete() == (0, None)
    assert not p.ns.run("ip", "link", "show", "eth0", check=False).stdout
    wait_for(lambda: "other0" not in names(), 5)
    assert {"other1", "other2", "other3"} <= names()
    wait_for(lambda: not is_held(node, p.ip(4)), 5)


def test_addresses_of_pods_that_are_gone(world, node):  # noqa: F811
    """fairlead-ipam under another plugin: there is no link of ours to miss."""
    world.store.apply(pod_object("a", "n1"), pod_object("b", "n1"))
    ipam = Cni(node.ns, node.keeper.cni_sock, plugin="fairlead-ipam")
    ips = {}
    for name in ("a", "b"):
        code, out = ipam("ADD", name, world.netns(name).path,
                         args={"K8S_POD_NAME": name, "K8S_POD_NAMESPACE": "default"})
        assert code == 0, out
        ips[name] = out["ips"][0]["address"].split("/")[0]
    code, bare = ipam("ADD", "bare", world.netns("bare").path)
    assert code == 0
    # Not while the store is out of reach; then not at once.
    give_back = lose(world.store)
    wait_for(lambda: "the last state stays" in node.keeper.program.log())
    control = world.pod(node, "control")
    control.ns.delete()
    wait_for(lambda: released(node), 20)
    assert all("container control" in l for l in released(node))
    give_back()
    world.store.delete(pod_object("a", "n1"))
    gone = time.monotonic()
    wait_for(lambda: [l for l in released(node) if "container a" in l], 20)
    assert time.monotonic() - gone >= GRACE
    wait_for(lambda: not is_held(node, ips["a"]), 5)
    assert is_held(node, ips["b"]) and is_held(node, bare["ips"][0]["address"].split("/")[0])


@pytest.mark.parametrize("seen", ["agent saw it", "agent was stopped"])
def test_node_that_comes_back_is_reported_again(world, seen):  # noqa: F811
    """The controller took its endpoints meanwhile; the agent, which ran on, has its pods still."""
    n1 = world.add_node("n1", roles="agent watch controller", reclaim_grace=GRACE)
    n2 = world.add_node("n2")
    world.store.apply(*pools(), n1.object(), n2.object())
    for n in world.nodes:
        n.wait_serving()
    p, q = world.pod(n1, "p"), world.pod(n2, "q")
    ends = lambda: {w["metadata"]["name"]: w["spec"] for w in world.store.get("workloadendpoints")}  # noqa: E731
    states = lambda: {s["metadata"]["name"] for s in world.store.get("nodestates")}  # noqa: E731
    before = wait_for(lambda: len(ends()) == 2 and ends(), 10)
    pid = n2.keeper.wait_role("agent")
    if seen == "agent was stopped":
        os.kill(pid, signal.SIGSTOP)
    world.store.delete(n2.object())
    wait_for(lambda: set(ends()) == {"p-eth0"} and states() == {"n1"}, 20)
    world.store.apply(n2.object())
    if seen == "agent was stopped":
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: ends() == before and states() == {"n1", "n2"}, 10)
    assert n2.keeper.pid("agent") == pid
    assert q.delete() == (0, None)
    wait_for(lambda: set(ends()) == {"p-eth0"}, 10)


@pytest.fixture
def other_boot(scratch, request):
    def run():
        fake = scratch / "boot_id"
        fake.write_text("01234567-89ab-cdef-0123-456789abcdef\n")
        path = "/proc/sys/kernel/random/boot_id"
        subprocess.run(["mount", "--bind", fake, path], check=True)
        request.addfinalizer(lambda: subprocess.run(["umount", path], check=True))
    return run


@pytest.mark.parametrize("links", ["gone", "there"])
def test_reboot(world, other_boot, links):  # noqa: F811
    """Of a machine that restarted nothing is left; where links are left, it did not restart."""
    n1, = world.up(10)
    n1.spare = world.netns("spare")
    p = world.pod(n1, "p")
    ipam = Cni(n1.ns, n1.keeper.cni_sock, plugin="fairlead-ipam")
    code, bare = ipam("ADD", "bare", world.netns("bare").path)
    assert code == 0
    n1.keeper.stop()
    other_boot()
    if links == "gone":
        p.ns.delete()
        wait_for(lambda: p.host_if not in host_links(n1))
    world.restart(n1)
    n1.wait_serving()
    ips = [p.ip(4), bare["ips"][0]["address"].split("/")[0]]
    if links == "gone":
        assert len(released(n1)) == 2
        wait_for(lambda: not any(is_held(n1, i) for i in ips), 5)
        n1.restart_agent()  # once is enough
        assert len(released(n1)) == 2
    else:
        assert not released(n1) and all(is_held(n1, i) for i in ips)
        assert "all is kept" in n1.keeper.program.log()
        assert p.check() == (0, None)


def test_lost_journal_of_ipam_alone(world):  # noqa: F811
    """Nothing in the kernel names them; the store's Pods do."""
    n1, = world.up(10)
    n1.spare = world.netns("spare")
    ipam = Cni(n1.ns, n1.keeper.cni_sock, plugin="fairlead-ipam")
    world.store.apply(pod_object("a", "n1"))
    args = {"K8S_POD_NAME": "a", "K8S_POD_NAMESPACE": "default"}
    code, out = ipam("ADD", "a", world.netns("a").path, args=args)
    assert code == 0
    ips = [i["address"].split("/")[0] for i in out["ips"]]
    world.store.apply(dict(pod_object("a", "n1"), status={
        "phase": "Running", "podIP": ips[0], "podIPs": [{"ip": i} for i in ips]}))
    n1.keeper.stop()
    (n1.keeper.state_dir / "ipam.journal").unlink()
    world.restart(n1)
    n1.wait_serving()
    assert "addresses of 1 more held" in n1.keeper.program.log()
    assert all(is_held(n1, i) for i in ips)


def test_lost_journal_and_an_agent_killed_before_it_was_rebuilt(world, fakes):  # noqa: F811
    """What the first agent leaves is not taken for a journal in which nobody lives."""
    n1, = world.up(10)
    n1.spare = world.netns("spare")
    p = world.pod(n1, "p")
    journal = n1.keeper.state_dir / "ipam.journal"
    n1.keeper.stop()
    journal.unlink()
    conf = n1.keeper.conf.read_text()
    silent = fakes("agent", watch="send(READY, text(1, name))\nwhile receive()[0] is not None: pass")
    n1.keeper.conf.write_text(conf + f"libexec-dir {silent.path}\n")
    world.restart(n1)
    n1.keeper.program.wait_log("role agent is ready")
    assert journal.exists()
    os.kill(n1.keeper.program.proc.pid, signal.SIGKILL)
    n1.keeper.program.wait()
    n1.keeper.conf.write_text(conf)
    world.restart(n1)
    n1.wait_serving()
    assert "1 pods rebuilt from the kernel" in n1.keeper.program.log()
    assert all(is_held(n1, i) for i in p.ips)
    n1.restart_agent()
    assert all(is_held(n1, i) for i in p.ips) and p.check() == (0, None)


# ---- disks

def small_disk(node, request):
    """STATE on a tmpfs of its own; the keeper is stopped meanwhile."""
    state = node.keeper.state_dir
    node.keeper.stop()
    old = state.rename(state.with_name("state.old"))
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", state], check=True)
    request.addfinalizer(lambda: subprocess.run(["umount", "-l", state], check=True))
    subprocess.run(["cp", "-a", f"{old}/.", state], check=True)
    return state


def status(node):
    code, out = node.cni("STATUS")
    return out["code"] if code else 0


def refuses(node, why):
    """The agent answers so itself; code 50 alone is also what a plugin says while there is none."""
    code, out = node.cni("STATUS")
    return code and why in out["msg"]


def test_full_disk(world, request):  # noqa: F811
    n1, = world.up(10)
    state = small_disk(n1, request)
    world.restart(n1)
    n1.wait_serving()
    p, q = world.pod(n1, "p"), world.pod(n1, "q")
    with pytest.raises(OSError), open(state / "filler", "wb", buffering=0) as f:
        while True:
            f.write(bytes(4096))
    ns = world.netns("full")
    for i in range(60):
        code, err = n1.cni("ADD", f"full{i}", ns.path)
        if code:
            break
        assert n1.cni("DEL", f"full{i}", ns.path) == (0, None)
    assert code and err["code"] == 5 and "No space left" in err["msg"], err
    assert refuses(n1, "No space left")
    # The rest goes on: pods live, and end; their addresses are dead.
    assert ping(n1.ns, p.ip(4))
    assert q.delete() == (0, None)
    wait_for(lambda: q.host_if not in host_links(n1), 5)
    assert not ping(n1.ns, q.ip(4)) and q.ip(4) not in n1.routes()
    # A crash in that state: nothing is given twice.
    n1.kill_agent()
    wait_for(lambda: refuses(n1, "No space left"), 10)
    assert ping(n1.ns, p.ip(4))
    (state / "filler").unlink()
    wait_for(lambda: status(n1) == 0, 20, "recovers by itself")
    new = [world.pod(n1, f"new{i}") for i in range(4)]
    ips = [i for x in [p, *new] for i in x.ips]
    assert len(ips) == len(set(ips))
    assert p.check() == (0, None)


def test_read_only_disk(world, request):  # noqa: F811
    n1, = world.up(10)
    p, q = world.pod(n1, "p"), world.pod(n1, "q")
    state = small_disk(n1, request)
    subprocess.run(["mount", "-o", "remount,ro", state], check=True)
    world.restart(n1)
    wait_for(lambda: refuses(n1, "Read-only file system"), 20)
    code, err = n1.cni("ADD", "x", world.netns("x").path)
    assert code and err["code"] == 5 and "Read-only file system" in err["msg"], err
    assert ping(n1.ns, p.ip(4)) and p.check() == (0, None)
    assert q.delete() == (0, None)
    wait_for(lambda: q.host_if not in host_links(n1), 5)
    subprocess.run(["mount", "-o", "remount,rw", state], check=True)
    wait_for(lambda: status(n1) == 0, 20)
    r = world.pod(n1, "r")
    assert not set(r.ips) & set(p.ips)
    n1.restart_agent()
    assert p.check() == (0, None) and r.check() == (0, None)


# ---- many at once, and nobody is safe

class Killer:
    """kill -9 of agent, watch and keeper in turn, between calls."""

    def __init__(self, world, node):
        self.world, self.node, self.turn = world, node, 0
        self.rnd = random.Random(11)

    def strike(self):
        victim = ("agent", "watch", "keeper")[self.turn % 3]
        self.turn += 1
        if victim == "keeper":
            kill_everything(self.world, self.node)
        else:
            os.kill(self.node.keeper.wait_role(victim), signal.SIGKILL)


def until_done(node, verb, jobs, killer, every):
    """Runs the verb for all (container, namespace), 16 at once, a failed one again as a runtime
    does (DEL, then ADD anew), with a strike every so many calls."""
    queue, running, results = list(jobs), [], {}
    deadline, calls = time.monotonic() + 240, 0
    while queue or running:
        assert time.monotonic() < deadline, f"{len(queue)} left"
        while queue and len(running) < 16:
            job = queue.pop(0)
            running.append((job, node.cni.start(verb, job[0], job[1].path)))
            calls += 1
            if calls % every == 0:
                killer.strike()
        job, p = running.pop(0)
        code, out = node.cni.finish(p)
        if code == 0:
            results[job[0]] = out
        else:
            if verb == "ADD":
                wait_for(lambda: node.cni("DEL", job[0], job[1].path)[0] == 0, 30)
            queue.append(job)
    return results


@pytest.mark.alone
def test_200_pods_while_everything_is_killed(world):  # noqa: F811
    n1, = world.up(10)
    spaces = [world.netns(f"m{i}") for i in range(200)]
    jobs = [(f"m{i}", s) for i, s in enumerate(spaces)]
    killer = Killer(world, n1)
    results = until_done(n1, "ADD", jobs, killer, 25)
    assert killer.turn >= 8
    n1.wait_serving()
    seen = {}
    for name, s in jobs:
        ips = sorted(a["local"] for l in s.ip("addr", "show", "dev", "eth0") for a in l["addr_info"]
                     if a["scope"] == "global")
        assert ips == sorted(i["address"].split("/")[0] for i in results[name]["ips"])
        for ip in ips:
            assert ip not in seen, f"{ip}: {name} and {seen[ip]}"
            seen[ip] = name
    assert len(seen) == 400
    wait_for(lambda: len(host_links(n1)) == 200, 10, "one link each, and none of a failed ADD")
    for family in (4, 6):
        hosts = {d for d in n1.routes(family) if "/" not in d}
        wait_for(lambda: set(seen) >= hosts and len(hosts) >= 200, 5)

    until_done(n1, "DEL", jobs, killer, 25)
    wait_for(lambda: not host_links(n1), 15, "no link is left")
    n1.wait_serving()
    wait_for(lambda: not [d for f in (4, 6) for d in n1.routes(f) if "/" not in d], 5)
    for s in spaces:
        assert [l["ifname"] for l in s.ip("link")] == ["lo"]
    # No leak: all of what was given can be had again.
    n1.spare = world.netns("spare")
    for ip in random.Random(3).sample(sorted(seen), 20):
        wait_for(lambda: not is_held(n1, ip), 10, f"{ip} is free")
