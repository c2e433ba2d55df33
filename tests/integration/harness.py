# SPDX-License-Identifier: Apache-2.0
"""What integration tests stand on: private worlds, namespaces, programs with logs, waiting.

Every process that runs tests (each xdist worker) lives in a mount and network namespace of its
own, made by enter_private_world(): /run is an empty tmpfs; what is written to /etc, /opt and
/var/lib goes to an overlay; the network has only `lo`. So the machine's root namespace is out of
reach, default paths like /run/fairlead never collide, and what a killed test leaves behind dies
with its last process. Those processes carry SESSION_ENV, by which the next session finds them.
"""
import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OUT = Path(os.environ.get("FAIRLEAD_BUILD") or ROOT / "build/release/out").resolve()
SESSION_ENV = "FAIRLEAD_SESSION"  # stamp of pytest, of the controller when there are workers
WORKER_ENV = "FAIRLEAD_TEST_WORKER"    # stamp of the process that runs the test

# What tests start as python3 is the one that they run in, and not what a version manager's scripts look for, for a
# second of processor time at each start.
os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]

CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)


# ---- packets

# Frames as hexadecimal digits, out of a device: python3 -c SEND_FRAMES DEVICE FRAME...
SEND_FRAMES = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((sys.argv[1], 0))
for line in sys.argv[2:]:
    s.send(bytes.fromhex(line))
"""


# ---- waiting

def wait_for(cond, timeout=10.0, what=None, every=0.02):
    """Calls `cond` until it is truthy and returns that; an AssertionError or OSError inside it
    means "not yet". After `timeout` seconds the test fails and says what was last seen."""
    deadline = time.monotonic() + timeout
    while True:
        last = None
        try:
            value = cond()
            if value:
                return value
            last = repr(value)
        except (AssertionError, OSError, ValueError, KeyError, IndexError,
                subprocess.SubprocessError) as e:
            last = f"{type(e).__name__}: {e}"
        if time.monotonic() > deadline:
            name = what or getattr(cond, "__doc__", None) or getattr(cond, "__name__", "condition")
            pytest.fail(f"not within {timeout} s: {name}; last: {last}")
        time.sleep(every)


# ---- needs and places

def needs(*programs):
    """Mark: skip, and say why, where one of these programs is not installed."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    missing = [p for p in programs if not shutil.which(p, path=path)]
    return pytest.mark.skipif(bool(missing), reason="not installed: " + ", ".join(missing))


def built(path):
    """A built program, e.g. built("bin/fairlead"). What is not there fails the test: the build is
    never optional."""
    p = OUT / path
    if not p.exists():
        pytest.fail(f"{p} is not built (./dev build, or set FAIRLEAD_BUILD)")
    return str(p)


def suites_dir():
    """The independent test suites, or None: FAIRLEAD_SUITES, else shared/suites beside the
    checkout."""
    p = Path(os.environ.get("FAIRLEAD_SUITES") or ROOT.parent / "shared/suites")
    return p if p.is_dir() else None


# ---- processes

PID_NAMESPACE = os.stat("/proc/self/ns/pid").st_ino


def stamp(pid):
    """PID:START:NAMESPACE, which no later process repeats; None where there is no such process. A
    process of another pid namespace, a container beside us, has a number that means nothing here."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        return f"{pid}:{stat.rpartition(')')[2].split()[19]}:{PID_NAMESPACE}"
    except OSError:
        return None


def environ_of(pid):
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    return dict(v.split("=", 1) for v in raw.decode(errors="replace").split("\0") if "=" in v)


def processes_where(env_name, test):
    """(pid, command line) of living processes whose environment has env_name with test(value)."""
    for d in os.listdir("/proc"):
        if not d.isdigit() or int(d) == os.getpid():
            continue
        value = environ_of(d).get(env_name)
        if value and test(value):
            with contextlib.suppress(OSError):
                state = Path(f"/proc/{d}/stat").read_text().rpartition(")")[2].split()[0]
                cmd = Path(f"/proc/{d}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                if state != "Z":
                    yield int(d), cmd


def kill_all(pids, sig=signal.SIGKILL):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sig)


def sweep_leftovers():
    """Ends what a killed earlier session left running. Its namespaces and mounts go with it."""
    def is_dead(session):
        pid, _, rest = session.partition(":")
        return rest.endswith(f":{PID_NAMESPACE}") and stamp(pid) != session
    dead = [pid for pid, _ in processes_where(SESSION_ENV, is_dead)]
    kill_all(dead)
    return len(dead)


def _die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Program:
    """A program in the background, in a process group of its own, with its output in a file that
    is shown when the test fails."""

    def __init__(self, argv, log, **kw):
        self.argv = [str(a) for a in argv]
        self.name = Path(self.argv[0]).name
        self.log_path = log
        with open(log, "wb") as out:
            self.proc = subprocess.Popen(
                self.argv, stdin=kw.pop("stdin", subprocess.DEVNULL), stdout=kw.pop("stdout", out), stderr=out,
                start_new_session=True, preexec_fn=_die_with_parent, **kw)
        self.pid = self.proc.pid

    def log(self):
        return self.log_path.read_text(errors="replace")

    def alive(self):
        return self.proc.poll() is None

    def wait(self, timeout=10):
        return self.proc.wait(timeout)

    def wait_log(self, text, timeout=10):
        def seen():
            assert text in self.log()
            return True
        try:
            return wait_for(seen, timeout)
        except BaseException:
            if not self.alive():
                pytest.fail(f"{self.name} ended with {self.proc.returncode} before it said {text!r}")
            raise

    def stop(self, sig=signal.SIGTERM, timeout=5):
        """Signals, waits, and kills the whole group if that was not enough. Returns the code."""
        if self.alive():
            self.proc.send_signal(sig)
            try:
                self.proc.wait(timeout)
            except subprocess.TimeoutExpired:
                pass
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return self.proc.wait(timeout)


# ---- the private world of a test process

def _mount(source, target, fstype, flags=0, data=""):
    if libc.mount(source.encode(), str(target).encode(), fstype.encode(), flags, data.encode()):
        e = ctypes.get_errno()
        raise OSError(e, f"mount {fstype} on {target}: {os.strerror(e)}")


def _overlay(path, scratch):
    upper, work = scratch / "upper", scratch / "work"
    upper.mkdir(parents=True)
    work.mkdir()
    try:
        _mount("overlay", path, "overlay", 0, f"lowerdir={path},upperdir={upper},workdir={work}")
    except OSError:  # no overlayfs: a copy, which for these trees is a matter of a second
        shutil.copytree(path, upper, symlinks=True, dirs_exist_ok=True)
        _mount(str(upper), path, "none", 0x1000)  # MS_BIND


def world():
    """What tells one private world from another."""
    return {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in ("net", "mnt")}


FIRST_WORLD = world()


def enter_private_world():
    if libc.unshare(CLONE_NEWNS | CLONE_NEWNET):
        e = ctypes.get_errno()
        raise OSError(e, f"unshare: {os.strerror(e)}")
    _mount("none", "/", "none", 0x4000 | 0x40000)  # MS_REC | MS_PRIVATE
    _mount("fairlead-test", "/run", "tmpfs")
    for path in ("/etc", "/opt", "/var/lib"):
        _overlay(path, Path("/run/.overlay") / path.strip("/").replace("/", "-"))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    os.environ[WORKER_ENV] = stamp(os.getpid())


# ---- network namespaces

class NetNS:
    """A network namespace /run/netns/NAME. Entered with nsenter, which, unlike `ip netns exec`,
    leaves mounts alone (cgroups and bpffs stay visible)."""

    def __init__(self, name):
        self.name, self.path = name, f"/run/netns/{name}"
        subprocess.run(["ip", "netns", "add", name], check=True)
        self.run("ip", "link", "set", "lo", "up")

    def argv(self, *argv):
        return ["nsenter", f"--net={self.path}", "--", *[str(a) for a in argv]]

    def run(self, *argv, check=True, timeout=30, **kw):
        """Runs to the end; returns CompletedProcess with text output."""
        r = subprocess.run(self.argv(*argv), capture_output=True, text=True, timeout=timeout, **kw)
        if check and r.returncode:
            pytest.fail(f"{self.name}: {' '.join(map(str, argv))}: exit {r.returncode}\n"
                        f"{r.stdout}{r.stderr}")
        return r

    def sh(self, script, **kw):
        return self.run("sh", "-euc", script, **kw)

    def ip(self, *args):
        """`ip -j ARGS` of this namespace, decoded: ns.ip("-6", "route", "show", "table", "all")"""
        out = self.run("ip", "-j", "-d", *args).stdout
        return [o for o in json.loads(out or "[]") if o]

    def batch(self, *lines):
        """Many commands of ip, in one execution: ns.batch("link set eth0 up", "route add ::/0 via fd00::1")"""
        return self.run("ip", "-batch", "-", input="\n".join(lines) + "\n")

    def nft(self, text):
        return self.run("nft", "-f", "-", input=text)

    def ruleset(self):
        return self.run("nft", "list", "ruleset").stdout

    def sysctl(self, key, value=None):
        """Reads, or writes and reads back: ns.sysctl("net.ipv4.ip_forward", 0)"""
        path = "/proc/sys/" + key.replace(".", "/")
        return self.sh((f"echo {value} > {path}; " if value is not None else "") + f"cat {path}").stdout.strip()

    def pids(self):
        return [int(p) for p in
                subprocess.run(["ip", "netns", "pids", self.name], capture_output=True,
                               text=True).stdout.split()]

    def delete(self):
        kill_all(self.pids())
        subprocess.run(["ip", "netns", "del", self.name], stderr=subprocess.DEVNULL)


def veth(a, a_if, b, b_if, a_addrs=(), b_addrs=()):
    """A veth pair between two NetNS, its addresses usable at once in both families (no DAD)."""
    for ns in (a, b):
        ns.sh("cd /proc/sys/net/ipv6/conf; for key in all/accept_dad default/accept_dad default/dad_transmits; do echo 0 > $key; done")
    made = [f"link add {a_if} type veth peer name {b_if} netns {b.name}"]
    for ns, dev, addrs in ((a, a_if, a_addrs), (b, b_if, b_addrs)):
        ns.batch(*made, *(f"addr add {x} dev {dev}" + " nodad" * (":" in x) for x in addrs), f"link set {dev} up")
        made = []
    for ns, dev in ((a, a_if), (b, b_if)):
        wait_for(lambda: ns.ip("link", "show", dev)[0]["operstate"] == "UP", 5, f"{dev} has carrier")


# ---- a dir: store

class DirStore:
    """A store folder, written and read through the program that users have."""

    def __init__(self, path):
        path.mkdir(parents=True, exist_ok=True)
        self.path, self.url = path, f"dir:{path}"

    def fairlead(self, *args, check=True, **kw):
        argv = [built("bin/fairlead"), "--store", self.url, *map(str, args)]
        r = subprocess.run(argv, capture_output=True, text=True, timeout=60, **kw)
        if check and r.returncode:
            pytest.fail(f"{' '.join(argv)}: exit {r.returncode}\n{r.stdout}{r.stderr}")
        return r

    def apply(self, *objects, wait=0):
        """Objects as dicts or as manifest text. wait=0: only written; else seconds to wait."""
        text = "\n---\n".join(o if isinstance(o, str) else json.dumps(o) for o in objects)
        return self._with_file("apply", text, f"--wait={wait}")

    def delete(self, *objects, wait=0):
        text = "\n---\n".join(o if isinstance(o, str) else json.dumps(o) for o in objects)
        return self._with_file("delete", text, f"--wait={wait}")

    def get(self, kind, *args):
        """items of `get KIND -A -o json`, or the one object when a name is given"""
        doc = json.loads(self.fairlead("get", kind, *(args or ["-A"]), "-o", "json").stdout)
        return doc["items"] if "items" in doc else doc

    def _with_file(self, verb, text, *args):
        path = self.path.parent / f"{self.path.name}.{verb}.yaml"
        path.write_text(text)
        return self.fairlead(verb, "-f", path, *args)


# ---- labs

class Lab:
    """A running lab. lab.exec("ns/pod", "ip", "addr"), lab.node("n1", "nft", "list", "ruleset") return
    CompletedProcess; lab.status(), lab.probe(…), lab.matrix(…) the decoded JSON."""

    def __init__(self, name, *args, manifests=(), timeout=60):
        self.name = name
        files = [a for m in manifests for a in ("-f", str(m))]
        self("up", *args, *files, timeout=timeout)

    def fairlead(self, *args, check=True, timeout=60, **kw):
        argv = [built("bin/fairlead"), *map(str, args)]
        r = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, **kw)
        if check and r.returncode:
            pytest.fail(f"{' '.join(argv)}: exit {r.returncode}\n{r.stdout}{r.stderr}")
        return r

    def __call__(self, verb, *args, **kw):
        return self.fairlead("lab", verb, "--name", self.name, *args, **kw)

    def store(self, *args, **kw):
        """A verb on the lab's store: lab.store("get", "pods", "-A")"""
        return self.fairlead("--lab", self.name, *args, **kw)

    def status(self):
        return json.loads(self("status", "-o", "json").stdout)

    def exec(self, pod, *argv, **kw):
        return self("exec", pod, "--", *argv, **kw)

    def node(self, node, *argv, **kw):
        return self("node", node, "--", *argv, **kw)

    def probe(self, source, target, *args):
        """The answer, whatever the exit code; `code` is added to it."""
        r = self("probe", "--from", source, "--to", target, "-o", "json", *args, check=False)
        try:
            return {**json.loads(r.stdout), "code": r.returncode}
        except ValueError:
            pytest.fail(f"probe {source} {target}: exit {r.returncode}\n{r.stdout}{r.stderr}")

    def matrix(self, *args, timeout=60):
        return json.loads(self("matrix", "-o", "json", *args, timeout=timeout).stdout)["rows"]

    def down(self, **kw):
        return self("down", **kw)
