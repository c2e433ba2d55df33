# SPDX-License-Identifier: Apache-2.0
"""What survives: agents that are killed at any moment, journals that are lost, changes by others,
objects that are not ours."""
import json
import os
import random
import re
import signal
import socket
import subprocess
import time

import pytest

from agent_world import Cni, capture, ping, pool, pools, pod_object, wait_ping, world
from harness import wait_for


def host_links(node):
    return {l["ifname"] for l in node.ns.ip("link") if re.fullmatch("fl[0-9a-f]{13}", l["ifname"])}


def kernel(node):
    """Everything that may not change over a restart, indices included."""
    return (sorted((l["ifindex"], l["ifname"], l["address"]) for l in node.ns.ip("link")),
            sorted(json.dumps(r) for f in (4, 6) for r in node.ns.ip(f"-{f}", "route")),
            sorted(json.dumps({k: v for k, v in n.items() if k != "probes"})
                   for n in node.ns.ip("neigh", "show", "nud", "permanent")))


def test_killed_agent_interrupts_nothing(world):
    a, b = world.up(10, 10)
    p, q = world.pod(a, "p"), world.pod(b, "q")
    wait_ping(p.ns, q.ip(4))
    before = kernel(a)
    monitor = subprocess.Popen(a.ns.argv("ip", "monitor", "link", "address", "route"),
                               stdout=subprocess.PIPE, text=True)
    flow = subprocess.Popen(p.ns.argv("ping", "-n", "-q", "-i", "0.02", "-W", "1", "-c", "150", q.ip(4)),
                            stdout=subprocess.PIPE, text=True)
    for _ in range(3):
        a.restart_agent()
    assert "150 received" in flow.communicate(timeout=20)[0]
    assert kernel(a) == before
    monitor.terminate()
    deleted = [l for l in monitor.communicate()[0].splitlines() if l.startswith("Deleted")]
    assert not deleted, deleted
    assert p.check() == (0, None)
    assert p.delete() == (0, None)
    wait_for(lambda: p.host_if not in host_links(a), 3)


def test_kill_in_the_middle_of_adds(world):
    """Whatever was answered with success is whole, and after DEL of everything nothing is left."""
    n1, = world.up(10)
    rnd = random.Random(7)
    spaces = [world.netns(f"k{i}") for i in range(12)]
    for round in range(6):
        calls = [(i, s, n1.cni.start("ADD", f"r{round}-{i}", s.path)) for i, s in enumerate(spaces)]
        time.sleep(rnd.uniform(0, 0.03))
        old = n1.keeper.wait_role("agent")
        os.kill(old, signal.SIGKILL)
        done = [(i, s, *n1.cni.finish(c)) for i, s, c in calls]
        n1.wait_serving()
        good = [(i, s, out) for i, s, code, out in done if code == 0]
        ips = [x["address"] for _, _, out in good for x in out["ips"]]
        assert len(ips) == len(set(ips))
        for i, s, out in good:
            code, err = n1.cni("CHECK", f"r{round}-{i}", s.path, prevResult=out)
            assert code == 0, err
        for i, s in enumerate(spaces):
            assert n1.cni("DEL", f"r{round}-{i}", s.path) == (0, None)
        wait_for(lambda: not host_links(n1), 5, "every link is gone")
        assert not [d for d in n1.routes() if d.count("/") == 0], "no host route is left"
        for s in spaces:
            assert not s.run("ip", "link", "show", "dev", "eth0", check=False).stdout


def test_del_that_a_crash_cut_short_is_finished(world):
    n1, = world.up(10)
    pods = [world.pod(n1, f"c{i}") for i in range(5)]
    for p in pods:
        assert p.delete() == (0, None)
    n1.kill_agent()  # before the reaper ran
    wait_for(lambda: not host_links(n1), 5, "the next agent reaps them")


def test_lost_journal_is_rebuilt(world):
    n1, = world.up(10)
    br = Cni(n1.ns, n1.keeper.cni_sock, network="brnet", attachment="bridge")
    p, q, r = world.pod(n1, "p"), world.pod(n1, "q"), world.pod(n1, "r", cni=br)
    journal = n1.keeper.state_dir / "ipam.journal"
    n1.keeper.stop()
    journal.unlink()
    before = {i for x in (p, q, r) for i in x.ips}
    world.restart(n1)
    n1.wait_serving()
    for x in (p, q, r):
        for ip in x.ips:
            assert ping(n1.ns, ip), ip
    new = [world.pod(n1, f"x{i}") for i in range(8)]
    assert not before & {i for x in new for i in x.ips}, "no address is given out twice"
    for x in (p, q, r):
        assert x.delete() == (0, None)
    wait_for(lambda: not {x.host_if for x in (p, q, r)} & host_links(n1), 3)


def mac_of(pod):
    return pod.ns.ip("link", "show", "dev", "eth0")[0]["address"]


def test_lost_journal_and_macs_of_the_runtime(world):
    """Nothing on the node names such a pod's MAC: its own end does. One that took another's is not
    believed."""
    n1, = world.up(10)
    br = Cni(n1.ns, n1.keeper.cni_sock, network="brnet", attachment="bridge")
    chosen = {"runtimeConfig": {"mac": "02:aa:bb:cc:dd:ee"}}
    p, q = world.pod(n1, "p", cni=br, **chosen), world.pod(n1, "q", cni=br)
    liar = world.pod(n1, "liar", cni=br, runtimeConfig={"mac": "02:aa:bb:cc:dd:00"})
    assert mac_of(p) == "02:aa:bb:cc:dd:ee"
    liar.ns.run("ip", "link", "set", "eth0", "address", mac_of(q))
    n1.keeper.stop()
    (n1.keeper.state_dir / "ipam.journal").unlink()
    n1.ns.sh(f"bridge fdb flush dev {p.host_if} dynamic 2>/dev/null || true")
    world.restart(n1)
    n1.wait_serving()
    assert "2 pods rebuilt from the kernel" in n1.keeper.program.log()
    for x in (p, q):
        assert x.check() == (0, None)
    new = [world.pod(n1, f"x{i}", cni=br) for i in range(6)]
    assert not {i for x in (p, q) for i in x.ips} & {i for x in new for i in x.ips}
    assert p.delete() == (0, None)
    wait_for(lambda: p.host_if not in host_links(n1), 3)


@pytest.mark.alone
@pytest.mark.parametrize("harm, is_back", [
    ("ip route del {ip}", lambda n, p: p.ip(4) in n.routes()),
    ("ip route flush proto 70", lambda n, p: p.ip(4) in n.routes()),
    ("ip neigh flush all nud permanent",
     lambda n, p: n.ns.ip("neigh", "show", "dev", p.host_if, "nud", "permanent")),
    ("ip addr del 169.254.1.1/32 dev lo", lambda n, p: "169.254.1.1" in n.ns.run("ip", "addr").stdout),
    ("ip link del vxlan0", lambda n, p: n.ns.ip("route", "show", "dev", "vxlan0", "proto", "70")),
    ("ip link set vxlan0 down", lambda n, p: n.ns.ip("route", "show", "dev", "vxlan0", "proto", "70")),
    ("bridge fdb flush dev vxlan0 2>/dev/null || bridge fdb del {mac} dev vxlan0",
     lambda n, p: "dst" in n.ns.sh("bridge fdb show dev vxlan0").stdout),
    ("ip link set {dev} down", lambda n, p: p.ip(4) in n.routes()),
    ("ip addr flush dev vxlan0", lambda n, p: n.ns.ip("-4", "addr", "show", "dev", "vxlan0")),
])
def test_repairs_within_200_ms(world, harm, is_back):
    a, b = world.up(10, 10)
    p, q = world.pod(a, "p"), world.pod(b, "q")
    wait_ping(p.ns, q.ip(4))
    mac = a.ns.sh("bridge fdb show dev vxlan0").stdout.split()[0]
    time.sleep(0.3)
    a.ns.sh(harm.format(ip=p.ip(4), dev=p.host_if, mac=mac))
    t = time.monotonic()
    wait_for(lambda: is_back(a, p), 2, "it is back", every=0.005)
    took = time.monotonic() - t
    assert took < 0.25 + 0.15, f"took {took:.3f} s (polling included)"
    for f in (4, 6):
        wait_ping(p.ns, q.ip(f))
        assert ping(a.ns, p.ip(f))


def test_objects_of_others_are_not_touched(world):
    n1, = world.up(10)
    n1.ns.sh("""
        ip link add other type veth peer name other1; ip link set other up
        ip addr add 10.244.250.1/24 dev other
        ip route add 10.244.251.0/24 dev other
        ip route add blackhole 10.250.0.0/16 proto static
        ip route add 10.251.0.0/16 dev other table 77
        ip rule add from 10.251.0.0/16 lookup 77
        ip neigh add 10.244.250.9 lladdr 02:00:00:00:00:09 dev other nud permanent
        ip link add floor type bridge; ip link set floor up
    """)
    see = lambda: n1.ns.sh("""
        ip -d link show other; ip addr show other; ip route | grep -v 'proto 70'
        ip route show table 77;         ip rule; ip neigh show dev other; ip link show floor""").stdout
    before = see()
    p = world.pod(n1, "p")
    n1.restart_agent()
    assert p.delete() == (0, None)
    wait_for(lambda: not host_links(n1), 3)
    world.store.apply(*pools("Direct"))
    wait_for(lambda: "vxlan0" not in n1.ns.run("ip", "link").stdout, 25)  # it lingers
    assert see() == before


def test_a_foreign_route_over_ours_is_left_alone_and_said(world):
    n1, = world.up(10)
    block = wait_for(lambda: [d for d, r in n1.routes().items() if r.get("type") == "blackhole"], 5)[0]
    ip = block.split("/")[0].rsplit(".", 1)[0] + "." + str(int(block.split("/")[0].rsplit(".", 1)[1]) + 9)
    n1.ns.run("ip", "route", "add", ip, "via", "192.168.10.1", "proto", "static")
    code, err = n1.cni("ADD", "c1", world.netns("p").path, runtimeConfig={"ips": [ip]})
    assert code and ip in err["msg"]
    assert [r["gateway"] for r in n1.ns.ip("route", "show", ip)] == ["192.168.10.1"]
    wait_for(lambda: not host_links(n1), 2)


def test_many_at_once(world):
    """200 ADDs, 16 at a time, then 200 DELs; judged by addresses and links in all namespaces."""
    n1, = world.up(10)
    spaces = [world.netns(f"m{i}") for i in range(200)]
    running, results = [], {}

    def reap(down_to):
        while len(running) > down_to:
            i, p = running.pop(0)
            code, out = n1.cni.finish(p)
            assert code == 0, out
            results[i] = out
    for i, s in enumerate(spaces):
        running.append((i, n1.cni.start("ADD", f"m{i}", s.path)))
        reap(15)
    reap(0)
    seen = []
    for s in spaces:
        seen += [a["local"] for l in s.ip("addr", "show", "dev", "eth0") for a in l["addr_info"]
                 if a["scope"] == "global"]
    assert len(seen) == len(set(seen)) == 400
    assert len(host_links(n1)) == 200
    for i, s in enumerate(spaces):
        running.append((i, n1.cni.start("DEL", f"m{i}", s.path)))
        reap(15)
    reap(0)
    assert not [d for d in n1.routes() if "/" not in d]
    wait_for(lambda: not host_links(n1), 3, "no link is left")
    for s in spaces:
        assert "eth0" not in [l["ifname"] for l in s.ip("link")]


def test_store_away(world):
    """Without watch pods come and go; what they need is on this node."""
    n1, = world.up(10)
    p = world.pod(n1, "p")
    os.kill(n1.keeper.wait_role("watch"), signal.SIGSTOP)
    try:
        q = world.pod(n1, "q")
        assert ping(p.ns, q.ip(4)) and ping(p.ns, q.ip(6))
        assert q.delete() == (0, None)
    finally:
        os.kill(n1.keeper.pid("watch"), signal.SIGCONT)
    wait_for(lambda: [w["spec"]["containerID"] for w in world.store.get("workloadendpoints")] == ["p"], 10)


def test_full_disk_loses_no_answer(world, request):
    """What is answered after the disk was full outlives a crash as what was answered before."""
    n1, = world.up(10)
    state = n1.keeper.state_dir
    n1.keeper.stop()
    old = state.rename(state.with_name("state.old"))
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", state], check=True)
    request.addfinalizer(lambda: subprocess.run(["umount", "-l", state], check=True))
    subprocess.run(["cp", "-a", f"{old}/.", state], check=True)
    world.restart(n1)
    n1.wait_serving()
    held = world.pod(n1, "held")

    with pytest.raises(OSError), open(state / "filler", "wb", buffering=0) as f:
        while True:
            f.write(bytes(4096))
    ns = world.netns("full")
    for i in range(60):
        if n1.cni("ADD", f"full{i}", ns.path)[0] or n1.cni("DEL", f"full{i}", ns.path)[0]:
            break
    else:
        pytest.fail("the disk was never full")
    (state / "filler").unlink()

    pods = [held] + [world.pod(n1, f"after{i}") for i in range(3)]
    n1.restart_agent()
    assert not list(state.glob("*.damaged"))
    for p in pods:
        assert p.check() == (0, None)
    new = world.pod(n1, "new")
    assert not {i for p in pods for i in p.ips} & set(new.ips), "no address is given out twice"


def test_unreadable_object_does_not_stop_a_new_node(world):
    """Its list is never whole, so nothing is taken away; pods still come."""
    world.store.apply(*pools(), pod_object("bad", "n1"))
    bad, = world.store.path.glob("**/bad.json")
    bad.write_text("{")
    node = world.add_node("n1", 10)
    world.store.apply(node.object())
    node.wait_serving()
    p = world.pod(node, "p")
    assert p.check() == (0, None)


def many(world, n1, n):
    """A pod with so many attachments."""
    pod, running = world.netns("p"), []
    for i in range(n):
        running.append(n1.cni.start("ADD", "m", pod.path, f"e{i}"))
        if len(running) == 8:
            assert n1.cni.finish(running.pop(0))[0] == 0
    for p in running:
        assert n1.cni.finish(p)[0] == 0
    assert len(host_links(n1)) == n


def test_reaping_holds_up_nobody(world):
    """While many links are removed, which takes the kernel long, the agent answers others."""
    n1, n = world.up(10)[0], 160
    many(world, n1, n)
    monitor = world.start(["env", "TZ=UTC", "ip", "-ts", "monitor", "link"], ns=n1.ns)
    # Taken for ADDs that did not come to an end: the next agent undoes them, in one burst.
    n1.ns.sh("".join(f"ip link set {l} alias ''\n" for l in host_links(n1)))
    n1.kill_agent()
    asked = []

    def gone():
        asked.append(n1.cni.start("STATUS"))
        return len(re.findall(r"\] Deleted \d+: fl", monitor.log())) == n
    wait_for(gone, 30, "all links are removed")
    for p in asked:
        n1.cni.finish(p)
    deleted = re.findall(r"\[(\S+)\] Deleted \d+: fl", monitor.log())
    answered = re.findall(r"(?m)^(\S+)Z debug agent: STATUS", n1.keeper.program.log())
    assert [t for t in answered if deleted[0] < t < deleted[-1]], (deleted[0], deleted[-1], answered)


def test_end_in_the_middle_of_reaping(world):
    """The agent ends between two groups of links; the next one removes the rest."""
    n1, n = world.up(10)[0], 160
    many(world, n1, n)
    n1.ns.sh("".join(f"ip link set {l} alias ''\n" for l in host_links(n1)))
    n1.kill_agent()
    wait_for(lambda: len(host_links(n1)) < n, 20, "the first links are removed")
    agent = n1.keeper.wait_role("agent")
    os.kill(agent, signal.SIGTERM)
    wait_for(lambda: not os.path.exists(f"/proc/{agent}") or n1.keeper.pid("agent") != agent, 5, "it has ended")
    assert host_links(n1), "it did not wait for all of them"
    wait_for(lambda: not host_links(n1), 20, "the next one removes the rest")


class Held:
    """A call of the plugin that has come to the agent's door and is let in later."""

    def __init__(self, n1, path, *call):
        self.agent = socket.socket(socket.AF_UNIX)
        self.agent.connect(n1.cni.conf["socket"])
        with socket.socket(socket.AF_UNIX) as door:
            door.bind(str(path))
            door.listen()
            self.cni, self.process = n1.cni, n1.cni.start(*call, socket=str(path))
            self.plugin, _ = door.accept()
        path.unlink()
        self.request, self.fds, _, _ = socket.recv_fds(self.plugin, 65536, 4)
        assert len(self.request) == 4 + int.from_bytes(self.request[:4], "big") and len(self.fds) == 1

    def let_in(self):
        socket.send_fds(self.agent, [self.request], self.fds)

    def finish(self):
        self.agent.settimeout(20)
        while data := self.agent.recv(65536):
            self.plugin.sendall(data)
        for s in (self.agent, self.plugin):
            s.close()
        os.close(self.fds[0])
        return self.cni.finish(self.process)


def test_notice_of_a_predecessor(world, scratch):
    """A link vanishes, the same container is attached again, and only then the agent reads of the
    first: the second one keeps its routes."""
    n1, = world.up(10)
    ns, agent, done = world.netns("p"), n1.keeper.wait_role("agent"), 0
    assert n1.cni("ADD", "p", ns.path)[0] == 0
    for _ in range(20):
        link, = host_links(n1)
        call = Held(n1, scratch / "door.sock", "ADD", "p", ns.path)
        assert n1.cni("DEL", "p", ns.path) == (0, None)
        os.kill(agent, signal.SIGSTOP)
        # What is ready last is served first: the ADD, and then the notice. Unless the reaper was faster.
        done += n1.ns.run("ip", "link", "del", link, check=False).returncode == 0
        call.let_in()
        os.kill(agent, signal.SIGCONT)
        code, result = call.finish()
        assert code == 0, result
        assert n1.cni("STATUS")[0] == 0  # a turn of the loop later
        for i in result["ips"]:
            addr = i["address"].split("/")[0]
            assert addr in n1.routes(6 if ":" in addr else 4)
        if done == 3:
            return
    pytest.fail("the reaper was faster every time")


def states(pid):
    """Of its threads."""
    return {open(f"/proc/{pid}/task/{t}/stat").read().rpartition(")")[2].split()[0]
            for t in os.listdir(f"/proc/{pid}/task")}


@pytest.mark.parametrize("then", [signal.SIGCONT, signal.SIGKILL])
def test_reaper_is_held_up_halfway(world, then):
    """One that it is about to delete is another link when it goes on, one has another name; killed,
    the next agent ends it."""
    n1, n = world.up(10)[0], 160
    many(world, n1, n)
    aliases = {l["ifname"]: l["ifalias"] for l in n1.ns.ip("link") if "ifalias" in l}
    n1.ns.sh("".join(f"ip link set {l} alias ''\n" for l in host_links(n1)))
    old = n1.keeper.wait_role("agent")
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: len(host_links(n1)) < n, 20, "the first links are removed", every=0.005)
    agent = n1.keeper.wait_role("agent")
    assert agent != old
    os.kill(agent, signal.SIGSTOP)
    try:
        wait_for(lambda: states(agent) == {"T"}, 5)
        (_, other), (index, name) = sorted((l["ifindex"], l["ifname"]) for l in n1.ns.ip("link")
                                           if l["ifname"] in aliases)[-2:]
        n1.ns.sh(f"ip link del {name}; ip link add innocent index {index} type bridge\n"
                 f"ip link set {other} down alias '{aliases[other]}'; ip link set {other} name other")
    finally:
        os.kill(agent, then)
    wait_for(lambda: not host_links(n1) and "other" not in n1.ns.run("ip", "link").stdout, 20,
             "the rest is removed")
    assert n1.ns.ip("link", "show", "dev", "innocent")[0]["ifindex"] == index
