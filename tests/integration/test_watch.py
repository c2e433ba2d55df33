# SPDX-License-Identifier: Apache-2.0
"""Role watch between a real store and a subscriber that speaks the wire format by hand: lists,
changes, writes with compare-and-swap, and stores that go away, come back, or are not to be
believed."""
import errno
import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from harness import DirStore, wait_for
from roles import SUBSCRIBER, Subscriber, fakes, get, gone, metric, status_of  # noqa: F401

NODE, NAMESPACE, POD = 1, 2, 3
CREATE, UPDATE, DELETE, STATUS = 1, 2, 3, 4


def kind_number(name):
    """Place of a kind in the model's enum, whose numbers are the wire's."""
    import re
    from harness import ROOT
    text = (ROOT / "src/model/cluster.h").read_text()
    body = re.sub(r"/\*.*?\*/", "", re.search(r"enum kind_id \{(.*?)\}", text, re.S)[1], flags=re.S)
    return [w.strip() for w in body.split(",")].index(name)


def node(name, **labels):
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


def pod(name, ns="shop", **labels):
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": ns, "labels": labels},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}


@pytest.fixture
def world(netns, keeper, store, fakes):  # noqa: F811
    """A keeper with the real watch and health, and the test's agent."""
    class World:
        pass
    w = World()
    code = SUBSCRIBER.replace("KIND_NODESTATE", str(kind_number("KIND_NODESTATE")))
    w.fakes = fakes("watch", "health", agent=code)
    w.agent = Subscriber(w.fakes)
    w.ns, w.store = netns(), store

    def up(**settings):
        w.keeper = keeper(w.ns, "n1", w.store, roles="agent watch health",
                          libexec_dir=w.fakes.path, **settings)
        w.agent.wait("joined")
        return w
    w.up = up
    return w


def in_sync(revision, synced, stale, text):
    return synced and not stale


# ---- objects out

def test_list_and_changes(world):
    world.store.apply(node("n1"), node("n2"), pod("a"), pod("b"))
    a = world.up().agent
    a.wait("sync", in_sync)
    heard = a.heard()
    assert heard[0] == ["joined"]
    assert sorted(r[:4] for r in heard[1:-1]) == [
        ["put", NODE, None, "n1"], ["put", NODE, None, "n2"],
        ["put", POD, "shop", "a"], ["put", POD, "shop", "b"]]
    assert heard[-1] == ["sync", 4, True, False, ""]  # four writes so far
    assert sorted(r[4] for r in heard[1:-1]) == [1, 2, 3, 4]

    since = a.mark()
    world.store.apply(pod("a", x="y"))
    a.wait("sync", lambda rev, *_: rev == 5, since)
    told = [r for r in a.heard(since=since) if r[:2] != ["sync", 4]]
    assert told == [["put", POD, "shop", "a", 5], ["sync", 5, True, False, ""]]

    since = a.mark()
    world.store.delete(pod("b"))
    a.wait("sync", lambda rev, *_: rev == 6, since)
    told = [r for r in a.heard(since=since) if r[:2] != ["sync", 5]]  # seen before it was committed
    assert told == [["del", POD, "shop", "b", 6], ["sync", 6, True, False, ""]]

    since = a.mark()
    world.store.apply(pod("a", x="y"))  # nothing new
    world.store.apply(node("n3"))
    a.wait("sync", lambda rev, *_: rev == 7, since)
    assert a.heard("put", since) == [["put", NODE, None, "n3", 7]]


def test_only_kinds_that_were_asked_for(world):
    world.store.apply(node("n1"), pod("a"))
    world.up()
    world.agent.wait("sync", in_sync)
    since = world.agent.mark()
    world.agent.order("kinds = [POD]; stream.close(); stream = None; send(JOIN, text(1, 'watch'))")
    world.agent.wait("sync", in_sync, since)
    assert world.agent.heard("put", since) == [["put", POD, "shop", "a", 2]]


def test_derived_kinds_do_not_move_the_revision(world):
    world.store.apply(node("n1"))
    a = world.up().agent
    since = a.mark()
    a.order("kinds = [NODE, NODESTATE]; stream.close(); stream = None; send(JOIN, text(1, 'watch'))")
    a.wait("sync", in_sync, since)
    since = a.mark()
    code, rev, text = a.write(1, CREATE, "NODESTATE", None, "n1", body="text(1, meta(None, 'n1'))")
    assert (code, text) == (0, "") and rev == 2
    put = a.wait("put", since=since)
    assert put[2:] == [None, "n1", 2]
    assert a.wait("sync", since=since)[1] == 1
    world.store.apply(node("n2"))
    assert a.wait("sync", lambda rev, *_: rev == 3, since)


# ---- writes in

def test_writes(world):
    world.store.apply(node("n1"))
    a = world.up().agent
    a.wait("sync", in_sync)
    body = "text(1, meta(None, 'new'))"
    code, rev, _ = a.write(1, CREATE, NAMESPACE, None, "new", body=body)
    assert (code, rev) == (0, 2)
    assert [n["metadata"]["name"] for n in world.store.get("namespaces")] == ["new"]
    a.wait("put", lambda kind, ns, name, rev: (kind, name, rev) == (NAMESPACE, "new", 2))

    code, _, text = a.write(2, CREATE, NAMESPACE, None, "new", body=body)
    assert code == -errno.EEXIST and "new" in text
    labelled = "text(1, meta(None, 'new', {'a': 'b'}))"
    code, _, text = a.write(3, UPDATE, NAMESPACE, None, "new", expect=1, body=labelled)
    assert code == -errno.ESTALE and text
    code, rev, _ = a.write(4, UPDATE, NAMESPACE, None, "new", expect=2, body=labelled)
    assert (code, rev) == (0, 3)
    assert world.store.get("namespaces")[0]["metadata"]["labels"] == {"a": "b"}
    # Somebody else's change in between loses no update.
    world.store.apply({"apiVersion": "v1", "kind": "Namespace",
                       "metadata": {"name": "new", "labels": {"c": "d"}}})
    code, _, _ = a.write(5, UPDATE, NAMESPACE, None, "new", expect=3, body=labelled)
    assert code == -errno.ESTALE
    code, _, _ = a.write(6, DELETE, NAMESPACE, None, "new", expect=3)
    assert code == -errno.ESTALE
    code, rev, _ = a.write(7, DELETE, NAMESPACE, None, "new", expect=4)
    assert (code, rev) == (0, 5)
    code, _, _ = a.write(8, DELETE, NAMESPACE, None, "new")
    assert code == -errno.ENOENT
    code, _, _ = a.write(9, UPDATE, NAMESPACE, None, "new", body=body)
    assert code == -errno.ENOENT
    code, _, text = a.write(10, CREATE, 99, None, "x")
    assert code == -errno.EINVAL and "99" in text
    code, _, text = a.write(11, CREATE, NAMESPACE, None, "../../x", body="text(1, meta(None, '../../x'))")
    assert code < 0 and text
    assert metric(world.ns, "fairlead_store_writes_total", 'result="ok"') is not None


def test_writes_of_two_roles_race(netns, keeper, store, fakes):  # noqa: F811
    """Two subscribers on two nodes update the same revision: one wins, one is told so."""
    store.apply(node("n1"))
    store.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}})
    code = SUBSCRIBER.replace("KIND_NODESTATE", "0")
    f = fakes("watch", agent=code.replace('out + ".orders"', 'out + ".orders" * ("n1" in open(sys.argv[2]).read()) + ".other" * ("n2" in open(sys.argv[2]).read())'))
    for n in ("n1", "n2"):
        keeper(netns(), n, store, roles="agent", libexec_dir=f.path)

    class Other(Subscriber):
        def order(self, line):
            self.fakes = type("F", (), {"out": str(f.out) + ".other", "notes": f.notes})
            import socket
            with socket.socket(socket.AF_UNIX) as c:
                wait_for(lambda: c.connect(str(f.out) + ".other") is None)
                c.sendall(line.encode() + b"\n")
                assert c.recv(65536) == b"ok"
    one, two = Subscriber(f), Other(f)
    wait_for(lambda: len([r for r in one.heard("sync") if in_sync(*r[1:])]) >= 2)
    for i in range(10):
        rev = store.get("namespace", "x")["metadata"]["resourceVersion"]
        line = f"write({{id}}, 2, NAMESPACE, None, 'x', {rev}, text(1, meta(None, 'x', {{{{'i': '{{id}}'}}}})))"
        since = one.mark()
        one.order(line.format(id=100 + i))
        two.order(line.format(id=200 + i))
        got = wait_for(lambda: len(one.heard("written", since)) == 2 and one.heard("written", since))
        assert sorted(r[2] for r in got) == [-errno.ESTALE, 0]
        winner = next(r[1] for r in got if r[2] == 0)
        assert store.get("namespace", "x")["metadata"]["labels"] == {"i": str(winner)}


def test_somebody_keeps_the_lock(world, start):
    """A stopped writer costs others' writes a clear answer; reading, and what comes later, nothing."""
    world.store.apply(node("n1"), pod("a"))
    a = world.up().agent
    a.wait("sync", in_sync)
    since = a.mark()
    holder = start(["python3", "-c", """
import fcntl, os, signal, sys
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)
print("locked", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
""", str(world.store.path / ".lock")])
    holder.wait_log("locked")
    body = "text(1, meta(None, 'new'))"
    a.order(f"write(1, {CREATE}, NAMESPACE, None, 'new', 0, {body})")
    # What needs no lock goes on meanwhile.
    (world.store.path / "Pod/shop/a.json").unlink()
    a.wait("del", lambda kind, ns, name, rev: name == "a", since)
    assert a.heard("written", since) == []
    # A person's file needs it: it is told once the lock is free.
    (world.store.path / "Pod/shop/b.json").write_text(json.dumps(pod("b")))
    code, _, text = a.wait("written", lambda id, *_: id == 1, since)[2:]
    assert code == -errno.EAGAIN and f"locked by pid {holder.pid}" in text
    assert [r for r in a.heard("put", since) if r[3] == "b"] == []
    a.order(f"write(2, {CREATE}, NAMESPACE, None, 'new', 0, {body})")
    os.kill(holder.pid, signal.SIGKILL)
    assert a.wait("written", lambda id, *_: id == 2, since)[2] == 0
    a.wait("put", lambda kind, ns, name, rev: name == "b", since)


# ---- stores out of reach

def test_store_goes_away_and_comes_back(world):
    world.store.apply(node("n1"), pod("a"), pod("b"))
    a = world.up().agent
    a.wait("sync", in_sync)
    since = a.mark()
    away = world.store.path.with_name("away")
    world.store.path.rename(away)
    stale = a.wait("sync", lambda rev, synced, stale, text: stale, since)
    assert stale[1:4] == [3, True, True] and str(world.store.path) in stale[4]
    assert a.write(1, DELETE, POD, "shop", "a")[0] == -errno.EAGAIN
    assert wait_for(lambda: metric(world.ns, "fairlead_store_stale") == 1)
    away.rename(world.store.path)
    a.wait("sync", lambda rev, synced, stale, text: not stale, since)
    assert [r for r in a.heard(since=since) if r[0] in ("put", "del")] == []  # nothing changed

    # What changed while it was away is told, and no more.
    since = a.mark()
    world.store.path.rename(away)
    a.wait("sync", lambda rev, synced, stale, text: stale, since)
    moved = DirStore(away)
    moved.delete(pod("a"))
    moved.apply(pod("c"))
    away.rename(world.store.path)
    a.wait("sync", lambda rev, synced, stale, text: not stale and rev == 5, since)
    told = [r[:4] for r in a.heard(since=since) if r[0] in ("put", "del")]
    assert sorted(told) == [["del", POD, "shop", "a"], ["put", POD, "shop", "c"]]


def test_store_that_is_older_is_not_believed(world):
    world.store.apply(node("n1"), pod("a"))
    a = world.up().agent
    shutil.copytree(world.store.path, world.store.path.with_name("old"))
    a.wait("sync", in_sync)
    world.store.apply(pod("b"))
    a.wait("sync", lambda rev, *_: rev == 3)
    since = a.mark()
    world.store.path.rename(world.store.path.with_name("away"))
    world.store.path.with_name("old").rename(world.store.path)
    os.chown(world.store.path, *(os.stat(world.store.path.with_name("away")))[4:6])
    a.wait("sync", lambda rev, synced, stale, text: stale and "went back from 3 to 2" in text, since)
    assert [r for r in a.heard(since=since) if r[0] in ("put", "del")] == []


def test_empty_store_is_not_believed(world):
    """A file system that is not mounted looks like this."""
    a = world.up().agent
    first = a.wait("sync")
    assert first[1:4] == [0, False, True] and "nothing was ever written" in first[4]
    assert get(world.ns, "/livez")[0] == 200
    world.store.apply(node("n1"))
    a.wait("sync", in_sync)
    since = a.mark()
    away = world.store.path.with_name("away")
    world.store.path.rename(away)
    world.store.path.mkdir()
    os.chown(world.store.path, *os.stat(away)[4:6])
    a.wait("sync", lambda rev, synced, stale, text: stale and "is empty" in text, since)
    assert a.heard("del", since) == []


def test_store_that_appears_later(world):
    world.store.path.rmdir()
    a = world.up().agent
    first = a.wait("sync")
    assert first[1:4] == [0, False, True] and "No such file or directory" in first[4]
    world.store.apply(node("n1"))  # makes it, as root
    a.wait("put", lambda kind, ns, name, rev: name == "n1")
    assert os.stat(world.store.path).st_uid != 0
    assert a.write(1, CREATE, NAMESPACE, None, "x", body="text(1, meta(None, 'x'))")[0] == 0


def test_unreadable_objects(world):
    world.store.apply(node("n1"), pod("a"), pod("b"))
    a = world.up().agent
    a.wait("sync", in_sync)
    since = a.mark()
    path = world.store.path / "Pod/shop/a.json"
    good = path.read_text()
    path.write_text("{ this is not JSON")
    world.store.apply(pod("c"))
    a.wait("put", lambda kind, ns, name, rev: name == "c", since)
    assert a.heard("del", since) == []  # an error is not a delete
    world.keeper.program.wait_log("Pod/shop/a.json")
    # Not either when the whole store is read again; nor is what vanished meanwhile, since it
    # could be what cannot be read.
    away = world.store.path.with_name("away")
    world.store.path.rename(away)
    a.wait("sync", lambda rev, synced, stale, text: stale, since)
    DirStore(away).delete(pod("b"))
    since = a.mark()
    away.rename(world.store.path)
    a.wait("sync", lambda rev, synced, stale, text: not stale, since)
    assert a.heard("del", since) == []
    world.keeper.program.wait_log("2 that are missing are not taken for deleted yet")
    # Whole again: now the one that is gone is gone.
    path.write_text(good)
    a.wait("del", lambda kind, ns, name, rev: name == "b", since)
    assert [r[3] for r in a.heard("del", since)] == ["b"]


def test_first_list_with_unreadable_objects(world):
    """A new watch never could read it: its list is told to be incomplete, until a whole one."""
    world.store.apply(node("n1"), pod("a"), pod("b"))
    a = world.up().agent
    a.wait("sync", in_sync)
    path = world.store.path / "Pod/shop/a.json"
    good = path.read_text()
    path.write_text("{ this is not JSON")
    since = a.mark()
    os.kill(world.keeper.pid("watch"), signal.SIGKILL)
    a.wait("sync", in_sync, since)
    assert a.heard("incomplete", since)
    assert sorted(r[3] for r in a.heard("put", since)) == ["b", "n1"]
    # A whole list, some seconds later: who took the other one is dropped, and joins again.
    since = a.mark()
    path.write_text(good)
    a.wait("eof", since=since)
    since = a.mark()
    a.order("send(JOIN, text(1, 'watch'))")
    a.wait("sync", in_sync, since)
    assert not a.heard("incomplete", since)
    assert sorted(r[3] for r in a.heard("put", since)) == ["a", "b", "n1"]


def test_unreadable_object_is_deleted(world):
    world.store.apply(node("n1"), pod("a"))
    a = world.up().agent
    a.wait("sync", in_sync)
    (world.store.path / "Pod/shop/a.json").write_text("{ this is not JSON")
    since = a.mark()
    os.kill(world.keeper.pid("watch"), signal.SIGKILL)
    a.wait("sync", in_sync, since)
    world.store.delete(pod("a"))
    a.wait("del", lambda kind, ns, name, rev: name == "a", since)


def test_watch_restarts(world):
    world.store.apply(node("n1"), pod("a"))
    a = world.up().agent
    a.wait("sync", in_sync)
    since = a.mark()
    pid = world.keeper.pid("watch")
    os.kill(pid, signal.SIGKILL)
    a.wait("joined", since=since)
    a.wait("sync", in_sync, since)
    assert sorted(r[3] for r in a.heard("put", since)) == ["a", "n1"]
    assert metric(world.ns, "fairlead_role_restarts_total", 'role="watch"') == 1


# ---- subscribers that misbehave

@pytest.mark.alone
def test_subscriber_that_does_not_read(world):
    """It costs no memory, disturbs nobody, and finds everything when it reads again."""
    world.store.apply(node("n1"))
    a = world.up().agent
    a.wait("sync", in_sync)
    a.order("reading = False")
    before = int(status_of(world.keeper.pid("watch"))["VmRSS"].split()[0])
    big = "x" * 60000
    objects = [dict(pod(f"p{i}"), metadata={"name": f"p{i}", "namespace": "shop",
                                            "annotations": {"a": big}}) for i in range(100)]
    world.store.apply(*objects)
    for turn in range(3):
        for o in objects:
            o["metadata"]["annotations"]["b"] = str(turn)
        world.store.apply(*objects)
    wait_for(lambda: metric(world.ns, "fairlead_store_revision") == 401, timeout=30)
    grown = int(status_of(world.keeper.pid("watch"))["VmRSS"].split()[0]) - before
    if "libasan" not in Path(f"/proc/{world.keeper.pid('watch')}/maps").read_text():
        assert grown < 4 * 100 * 61  # kB; the queue alone would hold 24 MB of frames
    assert metric(world.ns, "fairlead_watch_dropped_total") == 0
    since = a.mark()
    a.order("reading = True")
    a.wait("sync", lambda rev, *_: rev == 401, since, timeout=30)
    last = {r[3]: r[4] for r in a.heard("put")}
    assert len([n for n in last if n.startswith("p")]) == 100
    assert min(rev for n, rev in last.items() if n.startswith("p")) > 301


def test_subscriber_that_speaks_nonsense(world):
    world.store.apply(node("n1"))
    a = world.up().agent
    a.wait("sync", in_sync)
    pid = world.keeper.pid("watch")
    for garbage in ("b'GET / HTTP/1.1\\r\\n\\r\\n'", "frame(HELLO, b'')",
                    "frame(WRITE, b'\\x0f\\xff\\xff')", "frame(WRITE, number(1, 5) + b'\\x04\\x4d')", "struct.pack('>I', 1 << 31)"):
        since = a.mark()
        a.order(f"stream.sendall({garbage})")
        a.wait("eof", since=since)
        a.order("send(JOIN, text(1, 'watch'))")
        a.wait("sync", in_sync, since)
    assert world.keeper.pid("watch") == pid
    assert wait_for(lambda: metric(world.ns, "fairlead_watch_dropped_total") == 5)


# ---- whose files

def test_privileges(world):
    world.store.apply(node("n1"))
    a = world.up().agent
    a.wait("sync", in_sync)
    s = status_of(world.keeper.pid("watch"))
    owner = os.stat(world.store.path)
    assert owner.st_uid != 0
    assert s["Uid"].split() == [str(owner.st_uid)] * 4
    for cap in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(s[cap], 16) == 0, cap
    assert (s["NoNewPrivs"], s["Seccomp"], s["Seccomp_filters"]) == ("1", "2", "2")
    # What root adds later can be written by watch all the same.
    world.store.apply(pod("z", ns="later"))
    a.wait("put", lambda kind, ns, name, rev: name == "z")
    code, _, text = a.write(1, DELETE, POD, "later", "z")
    assert (code, text) == (0, "")


def test_secrets_are_their_owners(world):
    """Nobody else may read them, so those that root wrote are given away: before watch began, and after."""
    def secret(name):
        return {"apiVersion": "v1", "kind": "Secret", "type": "fairlead.io/bgp-password",
                "metadata": {"name": name, "namespace": "kube-system"}, "stringData": {"password": "x"}}
    world.store.apply(node("n1"), secret("before"))
    a = world.up().agent
    a.wait("sync", in_sync)
    world.store.apply(secret("after"), node("n2"))
    a.wait("put", lambda kind, ns, name, rev: name == "n2")
    owner = os.stat(world.store.path).st_uid
    for name in ("before", "after"):
        st = os.stat(world.store.path / f"Secret/kube-system/{name}.json")
        assert (st.st_uid, st.st_mode & 0o777) == (owner, 0o600)
    assert owner != 0 and "Permission denied" not in world.keeper.program.log()


def test_store_of_another_user(world):
    os.chown(world.store.path, 1, 1)
    world.store.apply(node("n1"))
    a = world.up().agent
    a.wait("sync", in_sync)
    assert status_of(world.keeper.pid("watch"))["Uid"].split() == ["1"] * 4
    assert a.write(1, CREATE, NAMESPACE, None, "x", body="text(1, meta(None, 'x'))")[0] == 0
    assert os.stat(world.store.path / "Namespace/_/x.json").st_uid == 1


def test_folder_that_is_no_store_is_not_given_away(world):
    (world.store.path / "passwd").write_text("root")
    world.up()
    world.keeper.program.wait_log("belongs to root and is neither a store nor empty")
    assert os.stat(world.store.path).st_uid == 0
    assert os.stat(world.store.path / "passwd").st_uid == 0


def test_store_behind_a_closed_door(world, scratch):
    hidden = scratch / "hidden"
    hidden.mkdir(mode=0o700)
    world.store = DirStore(hidden / "store")
    world.store.apply(node("n1"))
    world.up()
    stale = world.agent.wait("sync")
    assert stale[1:4] == [0, False, True]
    assert "Permission denied" in stale[4] and str(hidden) in stale[4]
    hidden.chmod(0o755)
    world.agent.wait("sync", in_sync)
