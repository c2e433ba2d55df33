# SPDX-License-Identifier: Apache-2.0
"""The keeper: configuration, sockets that outlive their roles, restarts, joins, privileges, its
own death. Where the rules between keeper and role are judged, the role is a script that speaks
the wire format by hand (roles.py)."""
import errno
import os
import pwd
import re
import signal
import socket
import stat
import subprocess
import textwrap
from datetime import datetime

import pytest

from harness import built, wait_for
from roles import fakes, get, gone, metric, status_of  # noqa: F401 (a fixture)

# ---- configuration

def check(scratch, text, *flags):
    conf = scratch / "c.conf"
    conf.write_text(text)
    return subprocess.run([built("bin/fairleadd"), "--config", conf, "--check", *flags],
                          capture_output=True, text=True)


def test_check(scratch):
    r = check(scratch, "node n1\nstore dir:/s\nroles agent health\n")
    assert (r.returncode, r.stderr) == (0, "")
    r = check(scratch, "node n1\n\nstore etcd:http://x\n")
    assert r.returncode == 2
    assert r.stderr == (f"fairleadd: {scratch}/c.conf:3: store: \"etcd:http://x\" is no store; "
                        "known is dir:/PATH\n")
    r = check(scratch, "node n1\n")
    assert r.returncode == 2 and "store: is not given" in r.stderr
    r = check(scratch, "node n1\nroles health\n", "--node", "N1")
    assert r.returncode == 2 and r.stderr.startswith("fairleadd: --node: node: \"N1\"")
    r = check(scratch, "roles health\n", "--node=n2", "--health-address", "off")
    assert r.returncode == 0
    r = check(scratch, "", "--nope", "x")
    assert r.returncode == 2 and "unknown key \"nope\"" in r.stderr
    r = check(scratch, "", "stray")
    assert r.returncode == 2


def test_missing_file(start, scratch):
    p = start([built("bin/fairleadd"), "--config", scratch / "none.conf"])
    assert p.wait() == 2
    assert "none.conf: No such file" in p.log()


def test_roles_read_what_the_keeper_decided(netns, keeper, store, fakes):
    f = fakes(health="note('args', sys.argv[1:], open(sys.argv[2]).read())\nreceive()\n")
    k = keeper(netns(), "n1", store, roles="health", libexec_dir=f.path,
               node_ip=["192.0.2.1", "2001:db8::1"])
    _, _, _, _, argv, text = f.wait("health", "args")[0]
    assert argv == ["--config", str(k.run_dir / "fairleadd.conf")]
    assert "node n1\n" in text and "roles health\n" in text
    assert "node-ip 192.0.2.1\nnode-ip 2001:db8::1\n" in text
    assert "bind tcp * 179\n" in text


def log_times(k, pattern):
    """Seconds of each line of the keeper's log that matches."""
    found = re.findall(r"^(\S+)Z \w+ fairleadd: " + pattern, k.program.log(), re.M)
    return [datetime.fromisoformat(t).timestamp() for t in found]


# ---- life

def test_life_of_a_role(netns, keeper, store):
    ns = netns()
    k = keeper(ns, "n1", store, roles="health")
    pid = k.wait_role("health")
    wait_for(lambda: get(ns, "/healthz") == (200, "ok\n"))
    assert int((k.run_dir / "fairleadd.pid").read_text()) == k.program.pid
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: k.pid("health") not in (None, pid))
    assert get(ns, "/healthz") == (200, "ok\n")
    assert metric(ns, "fairlead_role_restarts_total", 'role="health"') == 1
    assert f"role health (pid {pid}) ended: signal 9" in k.program.log()
    last = k.pid("health")
    assert k.stop() == 0
    assert gone(last)
    assert sorted(p.name for p in k.run_dir.iterdir()) == ["fairleadd.lock", "roles.lock"]


@pytest.mark.parametrize("address,host", [("127.0.0.1:9099", "127.0.0.1"), ("[::1]:9099", "::1"),
                                          ("*:9099", "127.0.0.1"), ("*:9099", "::1")])
def test_a_socket_outlives_its_role(netns, keeper, store, address, host):
    """Connections that are made while nobody serves wait, and are answered."""
    ns = netns()
    k = keeper(ns, "n1", store, roles="health", health_address=address)
    wait_for(lambda: get(ns, "/livez", host=host) == (200, "ok\n"))
    for _ in range(4):  # until it dies so young that it is not started at once
        pid = wait_for(lambda: k.pid("health"))
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: k.pid("health") != pid)
    assert k.pid("health") is None  # the delay before the next start is 400 ms now
    assert get(ns, "/livez", host=host) == (200, "ok\n")
    assert k.pid("health")


def test_delay_doubles(netns, keeper, store, fakes):
    f = fakes(health="note('start')\nsys.exit(3)\n")
    k = keeper(netns(), "n1", store, roles="health", libexec_dir=f.path)
    wait_for(lambda: len(f.notes()) >= 6)
    ended = log_times(k, "role health .* ended: exit 3")
    runs = log_times(k, "role health runs")
    gaps = [start - end for end, start in zip(ended, runs[1:])]
    for gap, want in zip(gaps, (0, 0.1, 0.2, 0.4, 0.8)):
        assert want - 0.002 <= gap < want + 0.1, gaps  # the log has milliseconds


def test_program_that_is_missing(netns, keeper, store, scratch):
    k = keeper(netns(), "n1", store, roles="health", libexec_dir=scratch / "nothing")
    k.program.wait_log(f"role health: {scratch}/nothing/health: start: No such file or directory")
    assert k.program.alive()


def test_role_that_does_not_end(netns, keeper, store, fakes):
    f = fakes(health="signal.signal(15, lambda *a: note('term'))\nnote('up')\n"
                     "while True: time.sleep(9)\n")
    k = keeper(netns(), "n1", store, roles="health", libexec_dir=f.path)
    pid = f.wait("health", "up")[0][1]
    k.program.proc.send_signal(signal.SIGTERM)
    f.wait("health", "term")
    assert k.program.wait(15) == 0
    assert gone(pid)
    assert "it is killed" in k.program.log()


# ---- the keeper's own death

def test_roles_end_with_the_keeper(netns, keeper, store, start):
    ns = netns()
    k = keeper(ns, "n1", store, roles="health")
    pid = k.wait_role("health")
    wait_for(lambda: get(ns, "/livez"))
    k.program.proc.kill()
    k.program.wait()
    wait_for(lambda: gone(pid), timeout=3)
    assert (k.run_dir / "health.pid").exists()  # nobody was there to remove it
    again = start(k.program.argv)
    wait_for(lambda: k.pid("health") not in (None, pid))
    wait_for(lambda: get(ns, "/healthz") == (200, "ok\n"))
    assert again.alive()


def test_next_keeper_waits_for_roles_of_the_last(netns, keeper, store, fakes, start):
    """Two agents must never write to one kernel."""
    f = fakes(health="note('up')\nwhile receive()[0]: pass\ntime.sleep(1)\nnote('down')\n")
    k = keeper(netns(), "n1", store, roles="health", libexec_dir=f.path)
    first = f.wait("health", "up")[0][1]
    k.program.proc.kill()
    k.program.wait()
    again = start(k.program.argv)
    again.wait_log("waiting for the roles of an earlier fairleadd to end")
    wait_for(lambda: len(f.notes()) == 3)
    notes = [(n[1] == first, n[3]) for n in f.notes()]
    assert notes == [(True, "up"), (True, "down"), (False, "up")]


def test_second_keeper_is_refused(netns, keeper, store, start):
    ns = netns()
    k = keeper(ns, "n1", store, roles="health")
    pid = k.wait_role("health")
    wait_for(lambda: get(ns, "/healthz")[0] == 200)
    second = start(k.program.argv)
    assert second.wait() == 1
    assert (f"run directory {k.run_dir} is that of a running fairleadd, pid {k.program.pid}"
            in second.log())
    assert k.pid("health") == pid
    assert get(ns, "/healthz")[0] == 200


# ---- SIGHUP

def test_reload(netns, keeper, store):
    ns = netns()
    k = keeper(ns, "n1", store, roles="health", health_address="127.0.0.1:9099")
    first = k.wait_role("health")
    wait_for(lambda: get(ns, "/livez")[0] == 200)
    good = k.conf.read_text()

    k.conf.write_text(good + "roles health\n")
    k.program.proc.send_signal(signal.SIGHUP)
    k.program.wait_log("fairleadd.conf:7: roles is given twice; the old configuration stays")
    k.conf.write_text(good)
    k.program.proc.send_signal(signal.SIGHUP)
    k.program.wait_log("nothing changed")
    assert k.pid("health") == first

    k.conf.write_text(good.replace(":9099", ":9100"))
    k.program.proc.send_signal(signal.SIGHUP)
    wait_for(lambda: get(ns, "/healthz", port=9100) == (200, "ok\n"))
    assert k.pid("health") != first
    with pytest.raises(OSError, match="refused"):
        get(ns, "/livez", port=9099)
    k.conf.write_text(good.replace(f"run-dir {k.run_dir}", "run-dir /run/elsewhere"))
    k.program.proc.send_signal(signal.SIGHUP)
    k.program.wait_log("node, run-dir and state-dir change with a new start only")
    assert k.program.alive()


def test_reload_adds_and_drops_roles(netns, keeper, store, fakes):
    code = "note('up')\nwhile receive()[0]: pass\n"
    f = fakes(health=code, watch=code)
    k = keeper(netns(), "n1", store, roles="health", libexec_dir=f.path)
    f.wait("health", "up")
    text = k.conf.read_text()
    k.conf.write_text(text.replace("roles health", "roles watch"))
    k.program.proc.send_signal(signal.SIGHUP)
    f.wait("watch", "up")
    wait_for(lambda: k.pid("health") is None)
    k.conf.write_text(text.replace("roles health", "roles watch health"))
    k.program.proc.send_signal(signal.SIGHUP)
    wait_for(lambda: len(f.notes("health")) == 2 and k.pid("health") and k.pid("watch"))


# ---- binding

BIND_CASES = [
    # proto, addr, port, path, wanted code
    ("tcp", "127.0.0.1", 9099, None, 0),  # its own
    ("tcp", "192.0.2.77", 80, None, 0),   # listed, though nobody has that address (IP_FREEBIND)
    ("tcp", "2001:db8::77", 443, None, 0),
    ("udp", "192.0.2.77", 53, None, 0),
    ("tcp", "127.0.0.1", 22, None, -13),
    ("udp", "127.0.0.1", 9099, None, -13),
    ("tcp", "127.0.0.2", 9099, None, -13),
    ("sctp", "127.0.0.1", 80, None, -13),
    ("tcp", "127.0.0.1", 0, None, -22),
    ("tcp", "127.0.0.1", 65536 + 80, None, -22),
    ("tcp", None, 80, None, -22),
    ("unix", None, 0, "cni.sock", -13),
    ("unix", None, 0, "../health.sock", -13),
]


def test_sockets_of_one_role_are_no_business_of_another(netns, keeper, store, fakes):
    """health gives up all that it did not ask for, after bgp has started anew; bgp asks for one of health's."""
    f = fakes("watch", health="""
        note('bind', bind('tcp', '127.0.0.1', 80)[0])
        while not os.path.exists(out + '.go'):
            time.sleep(0.02)
        send(22, b'')  # REC_UNBIND
        note('asked after that', bind('tcp', '127.0.0.1', 443)[0])
        while receive()[0]: pass
    """, bgp="""
        while '"health"' not in open(out).read():
            time.sleep(0.02)
        note('bind', bind('tcp', '127.0.0.1', 179)[0], bind('tcp', '127.0.0.1', 80)[0])
        while receive()[0]: pass
    """)
    ns = netns()
    keeper(ns, "n1", store, roles="health bgp", libexec_dir=f.path)

    def ports():
        return sorted(int(line.split()[3].rpartition(":")[2])
                      for line in ns.run("ss", "-Hltn").stdout.splitlines())
    f.wait("health", "bind")
    pid, *_ = [row[1] for row in f.wait("bgp", "bind")]
    os.kill(pid, signal.SIGKILL)
    rows = wait_for(lambda: len(rows := f.notes("bgp")) == 2 and rows)
    assert [row[4:] for row in rows] == [[0, -errno.EADDRINUSE]] * 2
    assert ports() == [80, 179]
    (f.out.parent / f"{f.out.name}.go").touch()
    assert f.wait("health", "asked after that")[0][4] == 0
    assert ports() == [80, 179, 443]


def test_what_a_role_may_bind(netns, keeper, store, fakes):
    f = fakes(health=f"""
        for case in {[c[:4] for c in BIND_CASES]!r}:
            code, why, fds = bind(*case)
            note('bind', case, code, why, len(fds))
            for fd in fds:
                s = socket.socket(fileno=fd)
                note('name', case, s.getsockname()[:2], s.type & 15,
                     s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
                s.detach()
        note('done')
        receive()
        """)
    ns = netns()
    keeper(ns, "n1", store, roles="health", libexec_dir=f.path)
    f.wait("health", "done")
    got = {tuple(n[4]): n for n in f.notes() if n[3] == "bind"}
    names = {tuple(n[4]): n[5:] for n in f.notes() if n[3] == "name"}
    for case in BIND_CASES:
        n = got[case[:4]]
        assert n[5] == case[4], n
        assert n[7] == (1 if case[4] == 0 else 0), n
        if case[4] == 0:
            tcp = case[0] == "tcp"
            assert names[case[:4]] == [[case[1], case[2]], 1 if tcp else 2, 1 if tcp else 0]
        else:
            assert n[6], "a refusal says why"
    listening = ns.run("ss", "-Htuln").stdout
    assert sorted(re.findall(r"(\S+):(\d+) +\S+:\*", listening)) == sorted(
        [("127.0.0.1", "9099"), ("192.0.2.77", "80"), ("[2001:db8::77]", "443"), ("192.0.2.77", "53")])


def test_bind_lines_replace_the_list(netns, keeper, store, fakes):
    f = fakes(health="""
        note('bind', [bind('tcp', '127.0.0.1', p)[0] for p in (80, 8000, 8009, 8010)])
        receive()
        """)
    keeper(netns(), "n1", store, roles="health", libexec_dir=f.path,
           bind=["tcp 127.0.0.1 8000-8009"])
    assert f.wait("health", "bind")[0][4] == [-13, 0, 0, -13]


def test_unix_sockets_are_for_the_agent(netns, keeper, store, fakes):
    ask = """
        code, why, fds = bind('unix', path='cni.sock')
        note('bind', code)
        if fds:
            s = socket.socket(fileno=fds[0])
            s.setblocking(True)
            note('serving')
            c, _ = s.accept()
            c.send(str(os.getpid()).encode())
        while receive()[0]: pass
        """
    f = fakes(agent=ask, watch=ask, controller=ask, health=ask)
    k = keeper(netns(), "n1", store, roles="agent watch controller health", libexec_dir=f.path)
    for role in ("watch", "controller", "health"):
        assert f.wait(role, "bind")[0][4] == -13
    assert f.wait("agent", "bind")[0][4] == 0
    f.wait("agent", "serving")
    st = os.stat(k.cni_sock)
    assert stat.S_ISSOCK(st.st_mode) and stat.S_IMODE(st.st_mode) == 0o600 and st.st_uid == 0
    # Asked again after a restart it is the same socket, with whoever waits in its queue.
    pid = k.pid("agent")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: gone(pid))
    with socket.socket(socket.AF_UNIX) as c:
        c.connect(str(k.cni_sock))
        c.settimeout(10)
        assert int(c.recv(16)) == wait_for(lambda: k.pid("agent")) != pid
    assert os.stat(k.cni_sock).st_ino == st.st_ino
    k.stop()
    assert not k.cni_sock.exists()


def test_stale_unix_socket_is_replaced(netns, keeper, store, fakes, start):
    f = fakes(agent="note('bind', bind('unix', path='ctl.sock')[0])\nwhile receive()[0]: pass\n",
              watch="while receive()[0]: pass\n")
    k = keeper(netns(), "n1", store, roles="agent", libexec_dir=f.path)
    f.wait("agent", "bind")
    k.program.proc.kill()
    k.program.wait()
    assert k.ctl_sock.exists()
    start(k.program.argv)
    wait_for(lambda: [n[4] for n in f.notes("agent")] == [0, 0])
    with socket.socket(socket.AF_UNIX) as c:
        c.connect(str(k.ctl_sock))


# ---- joins

JOINER = """
    def joins():
        while True:
            kind, got, fds = receive()
            if kind is None:
                sys.exit(0)
            if kind != JOIN:
                continue
            peer = got[1].decode()
            s = socket.socket(fileno=fds[0])
            s.setblocking(True)
            s.send(name.encode())
            hello = s.recv(100).decode()
            note('join', peer, hello)
            keep.append(s)
    keep = []
    note('up')
    """


def test_joins(netns, keeper, store, fakes):
    f = fakes(**{role: textwrap.dedent(JOINER) + "joins()\n"
                 for role in ("agent", "watch", "controller", "health")})
    k = keeper(netns(), "n1", store, roles="agent watch controller health", libexec_dir=f.path)
    wanted = {("agent", "watch"), ("watch", "agent"), ("controller", "watch"),
              ("watch", "controller"), ("health", "watch"), ("watch", "health"),
              ("health", "agent"), ("agent", "health"), ("health", "controller"),
              ("controller", "health")}

    def pairs():
        return [(n[0], n[4]) for n in f.notes() if n[3] == "join"]
    wait_for(lambda: len(pairs()) == len(wanted))
    assert set(pairs()) == wanted
    assert all(n[4] == n[5] for n in f.notes() if n[3] == "join")  # the right one answers
    # Who restarts is joined anew with all of its peers, the others stay as they are.
    os.kill(k.pid("watch"), signal.SIGKILL)
    wait_for(lambda: len(pairs()) == len(wanted) + 6)
    assert sorted(pairs()[len(wanted):]) == sorted(p for p in wanted if "watch" in p)


def test_rejoin_on_request(netns, keeper, store, fakes):
    """A role whose peer dropped the stream asks for a new one."""
    f = fakes(agent=textwrap.dedent(JOINER) + "send(JOIN, text(1, 'watch'))\njoins()\n",
              watch=textwrap.dedent(JOINER) + "joins()\n",
              health=textwrap.dedent(JOINER) + "send(JOIN, text(1, 'nobody'))\n"
                                               "send(JOIN, text(1, 'health'))\njoins()\n")
    k = keeper(netns(), "n1", store, roles="agent watch health", libexec_dir=f.path)
    wait_for(lambda: [n[4] for n in f.notes("agent") if n[3] == "join"].count("watch") == 2)
    wait_for(lambda: [n[4] for n in f.notes("health") if n[3] == "join"].count("watch") == 1)
    assert "health" not in [n[4] for n in f.notes("health") if n[3] == "join"]
    assert k.program.alive()


def test_role_that_speaks_no_records(netns, keeper, store, fakes):
    f = fakes(health="note('up')\nkeeper.send(b'GET / HTTP/1.1')\ntime.sleep(30)\n",
              watch="note('up')\nwhile receive()[0]: pass\n")
    k = keeper(netns(), "n1", store, roles="watch health", libexec_dir=f.path)
    wait_for(lambda: len(f.notes("health")) >= 2)  # ended and started anew
    assert len(f.notes("watch")) == 1
    assert "role health" in k.program.log()


# ---- privileges

def test_privileges(netns, keeper, store, fakes):
    k = keeper(netns(), "n1", store, roles="health")
    s = status_of(k.wait_role("health"))
    wait_for(lambda: status_of(k.pid("health"))["Seccomp_filters"] == "2")
    s = status_of(k.pid("health"))
    try:
        user = pwd.getpwnam("fairlead")
    except KeyError:
        user = pwd.getpwnam("nobody")
    assert s["Uid"].split() == [str(user.pw_uid)] * 4
    assert s["Gid"].split() == [str(user.pw_gid)] * 4
    assert s["Groups"].strip() == ""
    for cap in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(s[cap], 16) == 0, cap
    assert (s["NoNewPrivs"], s["Seccomp"]) == ("1", "2")
    s = status_of(k.program.pid)
    assert int(s["CapEff"], 16) == int(s["CapPrm"], 16) == 1 << 10 | 1 << 5  # net_bind_service, kill
    assert s["Seccomp"] == "2"


def test_configured_user(netns, keeper, store):
    k = keeper(netns(), "n1", store, roles="health", user="daemon")
    k.program.wait_log("role health is ready")
    assert status_of(k.wait_role("health"))["Uid"].split() == ["1"] * 4


def test_unknown_user(netns, keeper, store):
    k = keeper(netns(), "n1", store, roles="health", user="no-such-user")
    k.program.wait_log("user no-such-user: no such account")


def test_privileged_role_has_all(netns, keeper, store, fakes):
    """What the keeper gave up, an exec as root gives the agent."""
    f = fakes(agent="note('caps', open('/proc/self/status').read())\nwhile receive()[0]: pass\n",
              watch="while receive()[0]: pass\n")
    keeper(netns(), "n1", store, roles="agent", libexec_dir=f.path)
    s = dict(line.split(":\t", 1) for line in f.wait("agent", "caps")[0][4].splitlines()
             if ":\t" in line)
    mine = status_of(os.getpid())
    assert s["CapEff"] == mine["CapBnd"]
    assert s["NoNewPrivs"] == "0"


def test_roles_hold_only_their_descriptors(netns, keeper, store, fakes):
    f = fakes(health="note('fds', {int(n): os.readlink('/proc/self/fd/' + n)"
                     " for n in os.listdir('/proc/self/fd') if os.path.lexists('/proc/self/fd/' + n)})\n"
                     "while receive()[0]: pass\n")
    k = keeper(netns(), "n1", store, roles="health", libexec_dir=f.path)
    fds = {int(n): t for n, t in f.wait("health", "fds")[0][4].items() if "/proc/" not in t}
    assert sorted(fds) == [0, 1, 2, 3, 4]
    assert fds[3].startswith("socket:") and fds[4] == str(k.run_dir / "roles.lock")


# ---- all of it

def test_the_whole_node(netns, keeper, store):
    """Every role, each killed in turn, until all are ready again."""
    store.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
    ns = netns()
    k = keeper(ns, "n1", store, roles="agent watch controller health")
    wait_for(lambda: get(ns, "/readyz") == (200, "ok\n"))
    for role in ("agent", "watch", "controller", "health"):
        pid = k.pid(role)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: k.pid(role) not in (None, pid))
        wait_for(lambda: get(ns, "/readyz") == (200, "ok\n"))
        assert metric(ns, "fairlead_role_restarts_total", f'role="{role}"') == 1
    for name in ("fairlead_observed_revision", "fairlead_store_revision", "fairlead_controller_leads"):
        wait_for(lambda: re.search(rf"^{name}[ {{]", get(ns, "/metrics")[1], re.M),
                 what=f"{name} is served")
    assert metric(ns, "fairlead_store_objects", 'kind="Node"') == 1
    uids = {r: status_of(k.pid(r))["Uid"].split()[0] for r in ("agent", "watch", "controller", "health")}
    assert uids["agent"] == "0" and "0" not in [u for r, u in uids.items() if r != "agent"]
    assert k.stop() == 0
    assert sorted(p.name for p in k.run_dir.iterdir()) == ["fairleadd.lock", "roles.lock"]
