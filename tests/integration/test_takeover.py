# SPDX-License-Identifier: Apache-2.0
"""`fairleadd --takeover`: another build takes the place of the keeper that runs, and what happens
where either side fails. Where the conversation itself is judged, one side is a script."""
import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from agent_world import pod_object, wait_ping, world  # noqa: F401 (a fixture)
from flows import Flows
from harness import OUT, built, needs, wait_for
from roles import ROLE_PRELUDE, fakes, get, gone, status_of  # noqa: F401 (a fixture)


@pytest.fixture
def build(scratch):
    """Factory: a second installation, a copy of the staged programs with these roles replaced."""
    made = []

    def copy(**roles):
        path = scratch / f"build{len(made)}"
        made.append(path)
        shutil.copytree(OUT / "bin", path / "bin", symlinks=True)
        shutil.copytree(OUT / "libexec", path / "libexec", symlinks=True)
        for role, code in roles.items():
            program = path / "libexec/fairlead" / role
            program.unlink()
            program.write_text(code)
            program.chmod(0o755)
        return path
    return copy


@pytest.fixture
def takeover(request):
    """Factory: takeover(keeper, build) runs its `fairleadd --takeover` to the end; the keeper that it
    left in the background is ended afterwards."""
    keepers = []

    def run(k, build=OUT, *flags, check=True, **kw):
        keepers.append(k)
        argv = k.ns.argv(build / "bin/fairleadd", "--config", k.conf, "--takeover", *flags)
        log = open(k.run_dir.parent / "takeover.log", "a+b")
        p = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log, **kw)
        if not check:
            return p, log
        code = p.wait(60)
        log.seek(0)
        assert code == 0, log.read().decode()
        return keeper_pid(k)
    yield run
    for k in keepers:
        pid = keeper_pid(k)
        if pid and pid != k.program.pid and not gone(pid):
            os.kill(pid, signal.SIGTERM)
            wait_for(lambda: gone(pid), 15, "the last keeper has ended")


def said(log):
    log.seek(0)
    return log.read().decode()


def keeper_pid(k):
    try:
        return int((k.run_dir / "fairleadd.pid").read_text())
    except (OSError, ValueError):
        return None


def program_of(pid):
    return Path(os.readlink(f"/proc/{pid}/exe"))


def sockets(ns, run_dir):
    """Inodes of what listens: by address, and by path."""
    tcp = ns.run("ss", "-Htlne").stdout
    unix = ns.run("ss", "-Hxl").stdout
    got = {m[0]: m[1] for m in re.findall(r"LISTEN\s+\S+\s+\S+\s+(\S+)\s.*?ino:(\d+)", tcp)}
    got |= {Path(m[0]).name: m[1] for m in re.findall(rf"({re.escape(str(run_dir))}/\S+) (\d+)", unix)}
    return got


ROLES = ("agent", "watch", "controller", "health")
ALWAYS = "0.0.0.0:10256", "[::]:10256", "cni.sock", "ctl.sock", "takeover.sock"


@pytest.fixture
def whole(netns, keeper, store):
    """A node with every role, which all serve."""
    store.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
    ns = netns()
    k = keeper(ns, "n1", store, roles=" ".join(ROLES))
    wait_for(lambda: get(ns, "/readyz") == (200, "ok\n"))
    return k


def test_there_and_back(whole, build, takeover):
    """To a second build, and to the first again: other processes, the same sockets."""
    k, other = whole, build()
    before = sockets(k.ns, k.run_dir)
    assert set(before) == {"127.0.0.1:9099", *ALWAYS}
    old = {r: k.pid(r) for r in ROLES}
    for step, path in enumerate((other, OUT, other)):
        pid, last = takeover(k, path), k.program.pid if step == 0 else pid
        assert gone(last) and not gone(pid)
        assert program_of(pid) == path / "bin/fairleadd"
        wait_for(lambda: get(k.ns, "/readyz") == (200, "ok\n"))
        now = {r: k.pid(r) for r in ROLES}
        assert not set(now.values()) & set(old.values())
        assert all(gone(p) for p in old.values())
        assert {program_of(p) for p in now.values()} == {path / "libexec/fairlead" / r for r in ROLES}
        assert sockets(k.ns, k.run_dir) == before
        assert os.getsid(pid) == pid
        old = now
    assert k.program.wait() == 0
    # The last of them ends as any other, and takes everything along.
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: gone(pid))
    assert sorted(p.name for p in k.run_dir.iterdir()) == ["fairleadd.lock", "roles.lock"]


def test_configuration_changes_with_it(whole, takeover):
    """What the new configuration does not allow is closed; node and folders stay the same."""
    k, text = whole, whole.conf.read_text()
    roles = {r: k.pid(r) for r in ROLES}
    for bad in (text.replace("node n1", "node n2"), text.replace(f"{k.state_dir}", f"{k.state_dir}-2")):
        k.conf.write_text(bad)
        p, log = takeover(k, check=False)
        assert p.wait(20) == 1
        assert "refuses: node, run-dir and state-dir change with a new start only" in said(log)
    k.conf.write_text("nonsense\n")
    p, log = takeover(k, check=False)
    assert p.wait(20) == 2
    k.conf.write_text(text)
    p, log = takeover(k, OUT, "--libexec-dir", "/nonexistent", check=False)
    assert p.wait(20) == 1 and "role watch: /nonexistent/watch: No such file" in said(log)
    assert {r: k.pid(r) for r in ROLES} == roles, "nothing was disturbed"

    k.conf.write_text(text + "health-address 127.0.0.1:9100\n")
    takeover(k)
    wait_for(lambda: get(k.ns, "/readyz", port=9100) == (200, "ok\n"))
    assert set(sockets(k.ns, k.run_dir)) == {"127.0.0.1:9100", *ALWAYS}


def test_nobody_there(scratch, store):
    argv = [built("bin/fairleadd"), "--takeover", "--config", scratch / "c", "--node", "n1",
            "--run-dir", scratch / "run", "--state-dir", scratch / "state", "--store", store.url]
    (scratch / "c").touch()
    r = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=20)
    assert r.returncode == 1 and "no fairleadd runs that could be taken over from" in r.stderr


# ---- one side fails

def real(role):
    return built(f"libexec/fairlead/{role}")


def slow(role, seconds=1):
    return f"#!/bin/sh\nsleep {seconds}\nexec {real(role)} \"$@\"\n"


def next_pid(k):
    """Of the keeper that takes over at the moment."""
    found = re.findall(r"\(pid (\d+)\) takes over", k.program.log())
    assert found
    return int(found[-1])


def goes_on(k, before):
    """The keeper that was there serves as before."""
    wait_for(lambda: get(k.ns, "/readyz") == (200, "ok\n"))
    assert k.program.alive() and keeper_pid(k) == k.program.pid
    assert sockets(k.ns, k.run_dir) == before
    assert "health-address 127.0.0.1:9099" in (k.run_dir / "fairleadd.conf").read_text()


def test_agent_of_the_new_build_does_not_start(whole, build, takeover):
    k, before = whole, sockets(whole.ns, whole.run_dir)
    p, log = takeover(k, build(agent="#!/bin/sh\nexit 1\n"), check=False)
    assert p.wait(30) == 1
    assert "takeover: role agent does not run; the fairleadd before goes on" in said(log)
    goes_on(k, before)
    assert "it ended before it was done" in k.program.log()
    takeover(k, build())  # the next one is welcome


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM])
def test_new_one_ends_while_its_roles_start(whole, build, takeover, sig):
    """Its agent, which is not ready, ends too before the old keeper starts one."""
    k, before = whole, sockets(whole.ns, whole.run_dir)
    p, log = takeover(k, build(agent=slow("agent")), check=False)
    new = wait_for(lambda: "role agent runs" in said(log) and next_pid(k))
    agent = wait_for(lambda: k.pid("agent"))
    os.kill(new, sig)
    assert p.wait(20) == 1
    wait_for(lambda: "roles start again" in k.program.log())
    assert gone(agent)
    goes_on(k, before)


def test_old_one_dies_while_the_new_roles_start(whole, build, takeover):
    k, before, other = whole, sockets(whole.ns, whole.run_dir), build(agent=slow("agent"))
    p, log = takeover(k, other, check=False)
    wait_for(lambda: "role agent runs" in said(log))
    k.program.proc.kill()
    assert p.wait(20) == 0
    assert "has ended before this one was done" in said(log)
    wait_for(lambda: get(k.ns, "/readyz") == (200, "ok\n"))
    assert sockets(k.ns, k.run_dir) == before
    assert program_of(keeper_pid(k)) == other / "bin/fairleadd"


SLOW_TO_END = """
    def end(*a):
        time.sleep(1)
        note('down')
        os._exit(0)
    signal.signal(signal.SIGTERM, end)
    note('up')
    send(READY, text(1, name))
    while receive()[0]: pass
    end()
    """


def test_new_one_dies_while_the_old_roles_end(netns, keeper, store, fakes, takeover):
    f = fakes(health=SLOW_TO_END)
    k = keeper(netns(), "n1", store, roles="health", libexec_dir=f.path)
    f.wait("health", "up")
    p, _ = takeover(k, check=False)
    os.kill(wait_for(lambda: next_pid(k)), signal.SIGKILL)
    assert p.wait(20) == 1
    wait_for(lambda: [n[3] for n in f.notes()] == ["up", "down", "up"])
    assert k.pid("health") and keeper_pid(k) == k.program.pid


def test_old_one_dies_while_its_roles_end(netns, keeper, store, fakes, takeover):
    """The new one starts its own only when they are gone."""
    f = fakes(health=SLOW_TO_END)
    k = keeper(netns(), "n1", store, roles="health", libexec_dir=f.path)
    f.wait("health", "up")
    p, log = takeover(k, check=False)
    wait_for(lambda: "roles end" in k.program.log())
    k.program.proc.kill()
    assert p.wait(20) == 0
    assert "waiting for the roles of an earlier fairleadd to end" in said(log)
    assert [n[3] for n in f.notes()] == ["up", "down", "up"]
    assert k.pid("health") and keeper_pid(k) != k.program.pid


def test_end_in_the_middle(whole, build, takeover):
    """SIGTERM to the old one ends both."""
    k = whole
    p, log = takeover(k, build(agent=slow("agent")), check=False)
    wait_for(lambda: "role agent runs" in said(log))
    assert k.stop() == 0
    assert p.wait(20) == 1
    assert "fairleadd ends" in said(log)
    assert sorted(p.name for p in k.run_dir.iterdir()) == ["fairleadd.lock", "roles.lock"]


def test_end_in_spite_of_a_role_that_hangs(whole, build, takeover):
    """One of the new keeper, which had to be killed."""
    k, hangs = whole, "#!/bin/sh\ntrap '' TERM\nexec sleep 60\n"
    p, log = takeover(k, build(agent=hangs), check=False)
    role = int(wait_for(lambda: re.search(r"role agent runs \(pid (\d+)\)", said(log)))[1])
    wait_for(lambda: int(status_of(role)["SigIgn"], 16) & 1 << signal.SIGTERM - 1)
    os.kill(k.program.pid, signal.SIGTERM)
    assert k.program.wait(20) == 0 and p.wait(20) == 1
    assert "it has ended, its roles have not yet" in k.program.log()
    assert not gone(role)
    os.kill(role, signal.SIGKILL)


def test_end_as_the_new_one_is_done(netns, keeper, store, scratch, start):
    """SIGTERM together with DONE: the new one hears NO, and the old one takes everything along."""
    k = keeper(netns(), "n1", store, roles="health")
    wait_for(lambda: get(k.ns, "/livez") == (200, "ok\n"))
    run_peer(start, scratch, """
        keeper = socket.socket(socket.AF_UNIX)
        keeper.connect(run + "/takeover.sock")
        tell(TAKEOVER, me())
        pid, kind = 0, None
        while kind != YOURS:
            kind, got, fds = hear()
            pid = got[2] if kind == TAKEOVER else pid
        os.kill(pid, signal.SIGSTOP)
        while open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] != "T":
            pass
        tell(DONE)
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGCONT)
        note("heard", hear()[0] == NO)
        """, k)
    assert k.program.wait(20) == 0
    assert peer_notes(scratch) == [["heard", True]]
    assert sorted(p.name for p in k.run_dir.iterdir()) == ["fairleadd.lock", "roles.lock"]


def test_no_socket_behind_the_new_ones_back(netns, keeper, store, fakes, takeover):
    """What a role asks for as it ends is not bound: the new keeper, which was not told, could not bind it."""
    f = fakes("watch", agent="""
        def end(*_):
            note("asked", *bind("unix", path="ctl.sock")[:2])
            sys.exit(0)
        signal.signal(signal.SIGTERM, end)
        note("up")
        send(READY, text(1, name))
        while receive()[0]: pass
        """)
    k = keeper(netns(), "n1", store, roles="agent", libexec_dir=f.path)
    f.wait("agent", "up")
    takeover(k)
    assert f.notes()[1][3:] == ["asked", -errno.EBUSY, "bind: another fairleadd takes over"]
    assert not (k.run_dir / "ctl.sock").exists()


def test_only_one_at_a_time(whole, build, takeover):
    k, other = whole, build(health=slow("health"))
    p, log = takeover(k, other, check=False)
    wait_for(lambda: "role health runs" in said(log))
    second, _ = takeover(k, check=False)
    assert second.wait(20) == 1
    assert "refuses: another takeover is under way" in said(log)
    # Who asks in the gap waits, and is served by the new one.
    assert get(k.ns, "/livez") == (200, "ok\n")
    assert p.wait(20) == 0
    assert gone(k.program.pid) and program_of(keeper_pid(k)) == other / "bin/fairleadd"


def test_silence_holds_nobody_up(whole, takeover):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(whole.run_dir / "takeover.sock"))
        p, log = takeover(whole, check=False)
        assert p.wait(20) == 1 and "another takeover is under way" in said(log)
        whole.program.wait_log("it said nothing")
        takeover(whole)


def test_only_root_may(whole):
    """Not even where the socket's mode would let others in."""
    path = whole.run_dir / "takeover.sock"
    assert path.stat().st_mode & 0o777 == 0o600
    code = ("import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
            "s.settimeout(5); print(len(s.recv(100)))")
    argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c", code, path]
    r = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=20)
    assert "PermissionError" in r.stderr
    for p in path.parents:
        if p != Path("/run") and p != Path("/"):
            p.chmod(0o755)
    path.chmod(0o666)
    r = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=20)
    assert (r.stdout, r.stderr) == ("0\n", "")
    assert "is user 65534 and not root" in whole.program.log()


# ---- versions

# One side of the conversation, of a version that does not exist yet: every record has a field more
# than is known, and between them come records that are unknown.
PEER = ROLE_PRELUDE.replace("keeper = socket.socket(fileno=3)", "keeper = None") + textwrap.dedent("""
    TAKEOVER, SOCKET, YOURS, DONE, NO = range(NUMBERS, NUMBERS + 5)
    run, node, state = sys.argv[1:4]

    def tell(kind, body=b"", fds=[]):
        for k, b in ((900, text(1, "?")), (kind, body + text(77, "new") + number(78, 5))):
            data = struct.pack(">IHH", len(b) + 4, k, 9) + b
            socket.send_fds(keeper, [data], fds if k == kind else [])

    def hear():
        head, fds, _, _ = socket.recv_fds(keeper, 8, 4)
        if not head:
            return None, None, []
        size, kind, version = struct.unpack(">IHH", head)
        body = keeper.recv(size - 4, socket.MSG_WAITALL) if size > 4 else b""
        return kind, fields(body), fds

    def me():
        return text(1, "99.0") + number(2, os.getpid()) + text(3, node) + text(4, state)
    """)


def record_number(name):
    """From the one place that has them."""
    text = re.sub(r"/\*.*?\*/", "", (Path(__file__).parents[2] / "src/model/record.h").read_text(), flags=re.S)
    names = re.search(r"enum record_type \{(.*?)\}", text, re.S)[1].replace(",", " ").split()
    return names.index(name)


def run_peer(start, scratch, code, k):
    path = scratch / "peer.py"
    path.write_text(PEER.replace("NUMBERS", str(record_number("REC_TAKEOVER"))) + textwrap.dedent(code))
    return start(["/usr/bin/python3", path, k.run_dir, k.node, k.state_dir], ns=k.ns,
                 env={**os.environ, "FAKE_OUT": str(scratch / "peer.notes")})


def peer_notes(scratch):
    path = scratch / "peer.notes"
    return [json.loads(line)[3:] for line in path.read_text().splitlines()] if path.exists() else []


def test_to_a_newer_version(whole, scratch, start):
    """It gets the lock and every socket; afterwards nobody removes what it has."""
    k, before = whole, sockets(whole.ns, whole.run_dir)
    peer = run_peer(start, scratch, """
        keeper = socket.socket(socket.AF_UNIX)
        keeper.connect(run + "/takeover.sock")
        tell(TAKEOVER, me())
        held, kind = [], None
        while kind != YOURS:
            kind, got, fds = hear()
            held += fds
            if kind == TAKEOVER:
                note("lock", got[2], os.readlink(f"/proc/self/fd/{fds[0]}"))
            elif kind == SOCKET:
                s = socket.socket(fileno=os.dup(fds[0]))
                note("socket", got[2].decode(), got.get(5, b"").decode(), s.getsockname())
        note("yours", os.path.exists(run + "/agent.pid"))
        tell(DONE)
        note("end", hear()[0])
        time.sleep(60)
        """, k)
    assert k.program.wait(20) == 0
    notes = wait_for(lambda: peer_notes(scratch)[-1][0] == "end" and peer_notes(scratch))
    assert notes[0] == ["lock", k.program.pid, str(k.run_dir / "fairleadd.lock")]
    got = [n[1:] for n in notes if n[0] == "socket"]
    assert sorted(got) == sorted([["unix", n, str(k.run_dir / n)] for n in ("cni.sock", "ctl.sock", "takeover.sock")]
                                 + [["tcp", "", ["127.0.0.1", 9099]], ["tcp", "", ["0.0.0.0", 10256]],
                                    ["tcp", "", ["::", 10256, 0, 0]]])
    assert notes[-2:] == [["yours", False], ["end", None]]
    assert sockets(k.ns, k.run_dir) == before
    assert (k.run_dir / "fairleadd.conf").exists()
    again = start(k.program.argv)
    assert again.wait() == 1 and "is that of a running fairleadd" in again.log()
    peer.stop(signal.SIGKILL)
    start(k.program.argv)
    wait_for(lambda: get(k.ns, "/readyz") == (200, "ok\n"))


def test_from_a_newer_version(netns, keeper, store, scratch, start, takeover):
    """Its sockets are taken as far as they are known; of the rest nothing is left."""
    ns = netns()
    k = keeper(ns, "n1", store, roles="health")
    wait_for(lambda: get(ns, "/livez") == (200, "ok\n"))
    k.program.proc.kill()
    k.program.wait()
    wait_for(lambda: gone(k.pid("health")))
    (k.run_dir / "takeover.sock").unlink()
    run_peer(start, scratch, """
        import fcntl
        lock = os.open(run + "/fairleadd.lock", os.O_RDWR)
        fcntl.flock(lock, fcntl.LOCK_EX)

        def unix(path):
            s = socket.socket(socket.AF_UNIX)
            s.bind(run + "/" + path)
            s.listen()
            return s
        door, other, health = unix("takeover.sock"), unix("later.sock"), socket.socket()
        health.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        health.bind(("127.0.0.1", 9099))
        health.listen()
        note("ready")
        keeper, _ = door.accept()
        kind, got, _ = hear()
        note("asked", kind == TAKEOVER, got[3].decode(), got[4].decode())
        tell(TAKEOVER, me(), [lock])
        tell(SOCKET, text(2, "tcp") + text(3, bytes([127, 0, 0, 1])) + number(4, 9099), [health.fileno()])
        for s, path in ((other, "later.sock"), (door, "takeover.sock")):
            tell(SOCKET, text(2, "unix") + text(5, path), [s.fileno()])
        tell(SOCKET, text(2, "carrier-pigeon"), [other.fileno()])
        tell(SOCKET, text(2, "unix") + text(5, "../up.sock"), [other.fileno()])
        tell(YOURS)
        note("done", hear()[0] == DONE)
        """, k)
    wait_for(lambda: peer_notes(scratch))
    before = sockets(ns, k.run_dir)
    takeover(k)
    wait_for(lambda: get(ns, "/readyz") == (200, "ok\n"))
    assert peer_notes(scratch)[1:] == [["asked", True, "n1", str(k.state_dir)], ["done", True]]
    assert before.pop("later.sock")
    assert sockets(ns, k.run_dir) == before
    assert not (k.run_dir / "later.sock").exists()


# ---- systemd

def test_what_systemd_hears(netns, keeper, store, scratch, monkeypatch, takeover, start):
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(scratch / "notify"))
    manager.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    manager.settimeout(20)
    monkeypatch.setenv("NOTIFY_SOCKET", str(scratch / "notify"))

    def hear():
        data, anc, _, _ = manager.recvmsg(4096, 100)
        lines = dict(line.split("=", 1) for line in data.decode().splitlines())
        return lines, int.from_bytes(anc[0][2][:4], sys.byteorder)

    ns = netns()
    k = keeper(ns, "n1", store, roles="health")
    assert hear() == ({"READY": "1", "STATUS": "all roles serve"}, k.program.pid)
    assert get(ns, "/readyz") == (200, "ok\n")

    k.conf.write_text(k.conf.read_text() + "health-address 127.0.0.1:9100\n")
    k.program.proc.send_signal(signal.SIGHUP)
    lines, pid = hear()
    assert lines["RELOADING"] == "1" and pid == k.program.pid
    assert 0 <= time.monotonic() - int(lines["MONOTONIC_USEC"]) / 1e6 < 20
    assert hear() == ({"READY": "1", "STATUS": "all roles serve"}, k.program.pid)
    assert get(ns, "/readyz", port=9100) == (200, "ok\n")

    os.kill(k.pid("health"), signal.SIGKILL)
    assert [hear()[0]["STATUS"] for _ in range(2)] == ["not all roles serve", "all roles serve"]

    new = takeover(k)
    assert hear() == ({"STATUS": f"pid {new} takes over"}, k.program.pid)
    assert hear() == ({"MAINPID": str(new)}, k.program.pid)
    assert hear() == ({"READY": "1", "STATUS": "all roles serve"}, new)
    os.kill(new, signal.SIGTERM)
    assert hear() == ({"STOPPING": "1"}, new)


def test_abstract_socket_and_a_role_that_never_serves(keeper, store, fakes, unique, monkeypatch):
    """systemd does not wait for what a role waits for. (Abstract names belong to a network namespace.)"""
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(f"\0{unique}")
    manager.settimeout(20)
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{unique}")
    f = fakes(health="note('up')\nwhile receive()[0]: pass\n")
    keeper(None, "n1", store, roles="health", libexec_dir=f.path)
    assert manager.recv(4096) == b"READY=1\nSTATUS=not all roles serve"


# ---- nothing is interrupted

@pytest.mark.parametrize("family", [4, 6])
def test_traffic_goes_on(world, build, takeover, start, family):
    """Between pods of two nodes, while both nodes change to another build and back."""
    a, b = world.up(10, 10)
    p, q = world.pod(a, "p"), world.pod(b, "q")
    other = build()
    wait_ping(p.ns, q.ip(family))
    flows = Flows(start, p.ns, q.ns, q.ip(family))
    for path in (other, OUT):
        for node in (a, b):
            assert program_of(takeover(node.keeper, path)) == path / "bin/fairleadd"
    seen = flows.stop()
    assert seen["udp"]["lost"] == 0, seen
    assert seen["tcp"]["most"] <= 1, seen


def test_adds_during_takeovers(world, takeover):
    """Each ADD is done, or answered with "try again later" (11), and never refused; what is not done
    leaves nothing."""
    n1, = world.up(10)
    spaces = [world.netns(f"a{i}") for i in range(6)]
    wanted = ["ADD"] * 6
    done, later, rounds = set(), 0, 0
    for _ in range(4):
        p, _ = takeover(n1.keeper, check=False)
        while p.poll() is None:
            rounds += 1
            calls = [(i, n1.cni.start(wanted[i], f"a{i}", s.path)) for i, s in enumerate(spaces)]
            for i, call in calls:
                code, out = n1.cni.finish(call)
                assert code == 0 or out["code"] == 11, out
                if code:
                    later += 1
                elif wanted[i] == "ADD":
                    done.add(i)
                else:
                    done.discard(i)
                # As a runtime does, after a failed ADD comes a DEL.
                wanted[i] = "DEL" if wanted[i] == "ADD" else wanted[i] if code else "ADD"
        assert p.wait() == 0
    assert rounds >= 4
    for i, s in enumerate(spaces):
        has = any(link["ifname"] == "eth0" for link in s.ip("link"))
        assert has or i not in done
    for i, s in enumerate(spaces):
        assert n1.cni("DEL", f"a{i}", s.path) == (0, None)
    wait_for(lambda: not [l for l in n1.ns.ip("link") if re.fullmatch("fl[0-9a-f]{13}", l["ifname"])])
    assert not [d for d in n1.routes() if "/" not in d]
    shown = json.loads(world.store.fairlead("ipam", "show", "-o", "json", check=False).stdout or "{}")
    assert not shown.get("addresses")


def test_pod_that_is_not_known_yet(world, takeover):
    """An ADD that waits for its Pod is answered before the agent ends."""
    n1, = world.up(10)
    ns = world.netns("w")
    began = time.monotonic()
    call = n1.cni.start("ADD", "w", ns.path, args={"K8S_POD_NAMESPACE": "default", "K8S_POD_NAME": "w"})
    agent, space = Path(f"/proc/{n1.keeper.wait_role('agent')}/fd"), os.stat(ns.path)
    wait_for(lambda: any(os.path.samestat(f.stat(), space) for f in agent.iterdir()), 5,
             "the agent has read the request", every=0.002)
    takeover(n1.keeper)
    code, out = n1.cni.finish(call)
    assert code == 1 and out["code"] == 11 and "closed by the peer" not in out["msg"], out
    assert time.monotonic() - began < 10
    world.store.apply(pod_object("w", "n1"))
    assert wait_for(lambda: n1.cni("ADD", "w", ns.path, args={"K8S_POD_NAMESPACE": "default",
                                                              "K8S_POD_NAME": "w"})[0] == 0)


@needs("systemd-analyze")
def test_unit_file(scratch):
    """As systemd reads it, without a complaint, with the programs where the build has them."""
    text = (Path(__file__).parents[2] / "dist/fairleadd.service").read_text()
    unit = scratch / "fairleadd.service"
    unit.write_text(text.replace("/usr/bin/fairleadd", built("bin/fairleadd")))
    argv = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit]
    r = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=60)
    assert (r.returncode, r.stdout + r.stderr) == (0, "")
    unit.write_text(unit.read_text() + "[Service]\nRestartSeconds=1\n")
    r = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=60)
    assert "RestartSeconds" in r.stderr


def test_capabilities_of_the_unit_suffice(world, start):
    """A node whose programs can have no others."""
    text = (Path(__file__).parents[2] / "dist/fairleadd.service").read_text()
    caps = re.findall(r"cap_\w+", " ".join(re.findall(r"^CapabilityBoundingSet=(.*)", text, re.M)).lower())
    n1, = world.up(10)
    n1.keeper.stop()
    bound = ",".join(["-all", *(f"+{c.removeprefix('cap_')}" for c in caps)])
    n1.keeper.program = start(["setpriv", f"--bounding-set={bound}", built("bin/fairleadd"), "--config",
                               n1.keeper.conf], ns=n1.ns)
    n1.wait_serving()
    p = world.pod(n1, "p")
    wait_ping(n1.ns, p.ip(4))
    assert p.delete() == (0, None)
    held = bin(int(status_of(n1.keeper.program.pid)["CapBnd"], 16)).count("1")
    assert held == len(caps) == 12
