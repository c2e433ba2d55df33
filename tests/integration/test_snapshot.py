# SPDX-License-Identifier: Apache-2.0
"""What watch keeps on disk, and nodes that start while the store is out of reach."""
import os
import signal
import stat
import subprocess

import pytest

from agent_world import ping, pod_object, pools, wait_ping, world  # noqa: F401
from harness import DirStore, built, needs, wait_for
from roles import SUBSCRIBER, Subscriber, fakes, metric, status_of  # noqa: F401


def node(name, **labels):
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


def snapshot(keeper):
    return keeper.state_dir / "watch/snapshot"


@pytest.fixture
def follower(netns, keeper, store, start, fakes):  # noqa: F811
    """A keeper with the real watch and health, and the test's agent, which notes what it hears."""
    class World:
        pass
    w = World()
    w.fakes = fakes("watch", "health", agent=SUBSCRIBER.replace("KIND_NODESTATE", "0"))
    w.agent = Subscriber(w.fakes)
    w.ns, w.store = netns(), store

    def again():
        since = w.agent.mark()
        w.keeper.program = start([built("bin/fairleadd"), "--config", w.keeper.conf], ns=w.ns)
        w.agent.wait("joined", since=since)
        return since

    def away():
        """Snapshot written, everything stopped, the store gone."""
        wait_for(lambda: metric(w.ns, "fairlead_store_snapshot_revision")
                 == metric(w.ns, "fairlead_store_revision") > 0)
        w.keeper.stop()
        w.away = w.store.path.with_name("away")
        w.store.path.rename(w.away)

    store.apply(node("n1"), node("n2", a="b"), pod_object("p", "n1"))
    w.keeper = keeper(w.ns, "n1", store, roles="agent watch health", libexec_dir=w.fakes.path)
    w.agent.wait("sync", lambda rev, synced, stale, text: synced)
    w.start, w.lose_store = again, away
    return w


def names(rows):
    return sorted(r[3] for r in rows)


def test_snapshot_is_served_as_stale_until_the_store_is_back(follower):
    w, a = follower, follower.agent
    w.lose_store()
    since = w.start()
    sync = a.wait("sync", since=since)
    assert sync[1:4] == [3, False, True] and str(w.store.path) in sync[4]
    assert names(a.heard("put", since)) == ["n1", "n2", "p"]
    assert metric(w.ns, "fairlead_store_in_sync") == 0
    # Back, and changed: only that is told, and what is gone is told as gone.
    since = a.mark()
    moved = DirStore(w.away)
    moved.delete(node("n2"))
    moved.apply(node("n3"))
    w.away.rename(w.store.path)
    a.wait("sync", lambda rev, synced, stale, text: synced and not stale and rev == 5, since)
    assert [r[:4] for r in a.heard(since=since) if r[0] in ("put", "del")] \
        == [["put", 1, None, "n3"], ["del", 1, None, "n2"]]
    wait_for(lambda: metric(w.ns, "fairlead_store_snapshot_revision") == 5)


def test_snapshot_belongs_to_the_user_of_watch(follower):
    w = follower
    wait_for(lambda: snapshot(w.keeper).exists())
    uid = int(status_of(w.keeper.pid("watch"))["Uid"].split()[0])
    assert uid != 0
    for path, mode in ((snapshot(w.keeper).parent, 0o700), (snapshot(w.keeper), 0o600)):
        st = path.stat()
        assert (st.st_uid, stat.S_IMODE(st.st_mode)) == (uid, mode)
    assert os.listdir(snapshot(w.keeper).parent) == ["snapshot"]


def test_store_that_is_empty_is_no_reason_to_forget(follower):
    """A file system that is not mounted."""
    w, a = follower, follower.agent
    w.lose_store()
    w.store.path.mkdir()
    since = w.start()
    sync = a.wait("sync", since=since)
    assert sync[1:4] == [3, False, True] and "is empty" in sync[4]
    assert names(a.heard("put", since)) == ["n1", "n2", "p"]


def test_snapshot_that_went_to_another_user(follower):
    """Read as what it is, and replaced: its folder is given to whom the store belongs to now."""
    w, a = follower, follower.agent
    w.lose_store()
    for d, _, files in os.walk(w.away):
        for f in [d] + [os.path.join(d, f) for f in files]:
            os.chown(f, 1, 1)
    since = w.start()
    a.wait("sync", lambda rev, synced, stale, text: stale and rev == 3, since)
    w.away.rename(w.store.path)
    DirStore(w.store.path).apply(node("n3"))
    a.wait("sync", lambda rev, synced, stale, text: synced and rev == 4, since)
    wait_for(lambda: snapshot(w.keeper).stat().st_uid == 1)


def spoil(text, how):
    if how == "another version":
        return text.replace(b"FLWATCH1", b"FLWATCH9")
    if how == "one bit":
        return text[:60] + bytes([text[60] ^ 4]) + text[61:]
    return text[:int(len(text) * how)]


@pytest.mark.parametrize("how", [0, 0.02, 0.5, 0.99, "one bit", "another version"])
def test_damaged_snapshot_is_not_used(follower, how):
    w, a = follower, follower.agent
    w.lose_store()
    whole = snapshot(w.keeper).read_bytes()
    snapshot(w.keeper).write_bytes(spoil(whole, how))
    since = w.start()
    assert a.wait("sync", since=since)[1:4] == [0, False, True]
    assert not a.heard("put", since)
    log = w.keeper.program.log()
    assert log.count("it is not used") == 1 and "nothing is known yet" in log
    w.away.rename(w.store.path)
    a.wait("sync", lambda rev, synced, stale, text: synced, since)
    wait_for(lambda: len(snapshot(w.keeper).read_bytes()) == len(whole))


@pytest.mark.parametrize("key, value", [("node", "n2"), ("store", "dir:/nowhere/else")])
def test_snapshot_of_another_node_or_store_is_not_used(follower, key, value):
    w, a = follower, follower.agent
    w.lose_store()
    lines = [f"{key} {value}" if l.startswith(f"{key} ") else l
             for l in w.keeper.conf.read_text().splitlines()]
    w.keeper.conf.write_text("\n".join(lines) + "\n")
    since = w.start()
    assert a.wait("sync", since=since)[1:4] == [0, False, True]
    assert not a.heard("put", since)
    assert w.keeper.program.log().count("it is not used") == 1


def test_watch_that_is_killed_while_it_writes(follower):
    """Whatever the moment, what is found is the old one or the new one."""
    w, a = follower, follower.agent
    for i in range(8):
        w.store.apply(*[node(f"k{i}-{k}") for k in range(3)])
        wait_for(lambda: metric(w.ns, "fairlead_store_revision") == 6 + 3 * i)
        pid = w.keeper.wait_role("watch")
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: w.keeper.pid("watch") not in (None, pid))
    w.lose_store()
    since = w.start()
    a.wait("sync", lambda rev, synced, stale, text: stale and rev == 27, since)
    assert len(a.heard("put", since)) == 27
    assert "it is not used" not in w.keeper.program.log()


@pytest.fixture
def slow_disk():
    """Factory: slow_disk(pid, seconds) delays each fsync of the process by that."""
    tracers = []

    def slow(pid, seconds):
        tracers.append(subprocess.Popen(["strace", "-f", "-qq", "-p", str(pid), "-o", "/dev/null", "-e", "trace=fsync",
                                         "-e", f"inject=fsync:delay_enter={int(seconds * 1e6)}"]))
        wait_for(lambda: status_of(pid)["TracerPid"] != "0")
    yield slow
    for t in tracers:
        t.terminate()
        t.wait()


def write_slowly(w, slow_disk, seconds):
    """Returns while a snapshot that has "first" is synced, and "second" is heard of since."""
    wait_for(lambda: metric(w.ns, "fairlead_store_snapshot_revision") == 3)
    before, new = snapshot(w.keeper).read_bytes(), snapshot(w.keeper).with_suffix(".new")
    slow_disk(w.keeper.pid("watch"), seconds)
    w.store.apply(node("first"))
    wait_for(lambda: new.exists() and b"first" in new.read_bytes())
    w.store.apply(node("second"))
    w.agent.wait("sync", lambda rev, synced, stale, text: rev == 5)
    return before, new


@needs("strace")
def test_slow_disk_holds_up_no_change(follower, slow_disk):
    """Nor does watch end before what it writes is in place."""
    w = follower
    before, new = write_slowly(w, slow_disk, 1.5)
    assert new.exists() and snapshot(w.keeper).read_bytes() == before, "it is not synced yet"
    w.keeper.stop()
    text = snapshot(w.keeper).read_bytes()
    assert b"first" in text and b"second" not in text and not new.exists()


@needs("strace")
def test_what_changes_during_a_sync_is_in_the_next_snapshot(follower, slow_disk):
    w = follower
    write_slowly(w, slow_disk, 0.1)
    wait_for(lambda: metric(w.ns, "fairlead_store_snapshot_revision") == 5, 20)
    assert b"second" in snapshot(w.keeper).read_bytes()


@pytest.mark.parametrize("disk", ["read-only", "full"])
def test_no_room_for_a_snapshot(follower, request, disk):
    """Said once, tried again; the rest of watch goes on."""
    w, a = follower, follower.agent
    wait_for(lambda: snapshot(w.keeper).exists())
    w.keeper.stop()
    folder = snapshot(w.keeper).parent
    options = "ro" if disk == "read-only" else "size=64k"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], check=True)
    request.addfinalizer(lambda: subprocess.run(["umount", "-l", folder], check=True))
    if disk == "full":
        with pytest.raises(OSError), open(folder / "filler", "wb", buffering=0) as f:
            while True:
                f.write(bytes(4096))
    since = w.start()
    a.wait("sync", lambda rev, synced, stale, text: synced, since)
    w.store.apply(node("n9"))
    a.wait("sync", lambda rev, synced, stale, text: rev == 4, since)
    said = "no snapshot is kept" if disk == "read-only" else "snapshot: No space left on device"
    w.keeper.program.wait_log(said)
    if disk == "full":
        assert os.listdir(folder) == ["filler"], "no half of one stays"
        (folder / "filler").unlink()
        w.store.apply(node("n10"))
        wait_for(lambda: metric(w.ns, "fairlead_store_snapshot_revision") == 5, 20)
        assert b"n10" in snapshot(w.keeper).read_bytes()
    assert w.keeper.program.log().count(said) == 1


# ---- the whole node

def lose(store):
    away = store.path.with_name("away")
    store.path.rename(away)
    return lambda: away.rename(store.path)


def kernel(node):
    return [sorted(map(str, node.ns.ip(*what))) for what in
            (("-4", "route", "show", "proto", "70"), ("-6", "route", "show", "proto", "70"),
             ("neigh", "show", "nud", "permanent"))]


def kill_everything(world, *nodes):
    """kill -9 of keepers, which takes all roles with it; then new ones."""
    for n in nodes:
        os.kill(n.keeper.program.proc.pid, signal.SIGKILL)
        n.keeper.program.wait()
        n.keeper.program = world.start([built("bin/fairleadd"), "--config", n.keeper.conf], ns=n.ns)


def deleted_since(monitor):
    monitor.terminate()
    return [l for l in monitor.communicate()[0].splitlines() if l.startswith("Deleted")]


def test_all_roles_restart_while_the_store_is_away(world):  # noqa: F811
    a, b = world.up(10, 20)
    p, q = world.pod(a, "p"), world.pod(b, "q")
    world.store.apply(pod_object("known", "n1"), pod_object("later", "n1"))
    known = {"K8S_POD_NAME": "known", "K8S_POD_NAMESPACE": "default"}
    unknown = {"K8S_POD_NAME": "unknown", "K8S_POD_NAMESPACE": "default"}
    wait_ping(p.ns, q.ip(4))
    for n in (a, b):
        wait_for(lambda: b"later" in snapshot(n.keeper).read_bytes(), 10, "a snapshot")
    before = kernel(a), kernel(b)
    ruleset = a.ns.ruleset()
    monitor = subprocess.Popen(a.ns.argv("ip", "monitor", "link", "address", "route"),
                               stdout=subprocess.PIPE, text=True)
    flow = subprocess.Popen(p.ns.argv("ping", "-n", "-q", "-i", "0.02", "-W", "1", "-c", "200", q.ip(4)),
                            stdout=subprocess.PIPE, text=True)
    give_back = lose(world.store)
    kill_everything(world, a, b)
    for n in (a, b):
        n.wait_serving()  # with what was kept on disk
        n.keeper.program.wait_log("going on with the snapshot")
    assert "200 received" in flow.communicate(timeout=30)[0]
    assert (kernel(a), kernel(b)) == before
    assert not deleted_since(monitor)
    assert a.ns.ruleset() == ruleset

    x = world.pod(a, "x")
    y = world.pod(a, "y", args=known)
    for pod in (x, y):
        wait_ping(pod.ns, q.ip(4))
        wait_ping(q.ns, pod.ip(6))
    code, err = a.cni("ADD", "z", world.netns("z").path, args=unknown)
    assert code and err["code"] == 11, err
    assert x.delete() == (0, None)

    # What went meanwhile goes when the store says so, and not before.
    DirStore(world.store.path.with_name("away")).delete(b.object())
    assert any(r.get("dev") == "vxlan0" for r in a.routes().values())
    give_back()
    wait_for(lambda: not any(r.get("dev") == "vxlan0" for r in a.routes().values()), 10,
             "the routes to the Node that is gone are gone")
    assert ping(a.ns, y.ip(4))
    world.store.apply(b.object())
    wait_ping(p.ns, q.ip(4), timeout=10)


def test_agent_restarts_while_the_store_is_away(world):  # noqa: F811
    """watch still knows; a new agent hears all of it from there, as stale."""
    a, b = world.up(10, 20)
    p, q = world.pod(a, "p"), world.pod(b, "q")
    wait_ping(p.ns, q.ip(4))
    before = kernel(a)
    give_back = lose(world.store)
    a.restart_agent()
    assert kernel(a) == before
    x = world.pod(a, "x")
    wait_ping(x.ns, q.ip(4))
    give_back()
    assert x.delete() == (0, None)
