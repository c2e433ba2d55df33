# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the integration tests; docs/testing.md shows how to use them."""
import itertools
import importlib.util
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

import harness
from harness import DirStore, Lab, NetNS, Program, wait_for

_serial = itertools.count()


def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        if os.geteuid() == 0:
            harness.sweep_leftovers()
        os.environ[harness.SESSION_ENV] = harness.stamp(os.getpid())
    runs_tests = hasattr(config, "workerinput") or not getattr(config.option, "numprocesses", None)
    if runs_tests and os.geteuid() == 0 and not config.option.collectonly:
        harness.enter_private_world()


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="needs root (network namespaces)"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        for p in getattr(item, "fairlead_programs", []):
            state = "running" if p.alive() else f"exit {p.proc.returncode}"
            report.sections.append((f"log of {p.name} (pid {p.pid}, {state})", p.log()[-20000:]))


@pytest.fixture(scope="session", autouse=True)
def no_process_left():
    """After the last test of a worker nothing that its tests started may live on."""
    yield
    me = os.environ.get(harness.WORKER_ENV)
    if not me:
        return

    def left():
        return list(harness.processes_where(harness.WORKER_ENV, lambda v: v == me))

    def none_left():
        """Looks twice: a process in the middle of exec has no environment to be known by."""
        if left():
            return False
        time.sleep(0.1)
        return not left()

    try:
        wait_for(none_left, timeout=5, what="all processes of the tests have ended")
    except BaseException:
        found = left()
        harness.kill_all(pid for pid, _ in found)
        pytest.fail("left running: " + "; ".join(f"{pid} {cmd}" for pid, cmd in found))


@pytest.fixture(scope="session")
def out():
    """Where the programs under test are: out / "bin/fairlead"."""
    return harness.OUT


@pytest.fixture(scope="session")
def suites():
    """The independent suites' folder; the test is skipped, with the reason, without them."""
    path = harness.suites_dir()
    if not path:
        pytest.skip("independent suites not found: set FAIRLEAD_SUITES or put them at "
                    "../shared/suites beside the checkout")
    return path


@pytest.fixture(scope="session")
def oracle(suites):
    """The suites' oracle of NetworkPolicy, as a module."""
    spec = importlib.util.spec_from_file_location("netpol_oracle", suites / "netpol_oracle.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_unique():
    """A short name that no other test, worker or session uses at the same time."""
    return f"t{os.getpid()}-{next(_serial)}"


@pytest.fixture
def unique():
    return make_unique()


@pytest.fixture
def scratch():
    """A fresh folder with a short path (UNIX sockets fit), removed afterwards."""
    path = Path("/run") / make_unique()
    path.mkdir()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def netns(request):
    """Factory: netns("node1") is a NetNS with a unique name; all are removed afterwards."""
    made = []

    def make(label="ns"):
        made.append(NetNS(f"{make_unique()}-{label}"))
        return made[-1]
    yield make
    for ns in reversed(made):
        ns.delete()


@pytest.fixture
def start(request, scratch):
    """Factory: start([program, …], ns=NetNS or None, **Popen options) is a Program; its log is
    shown when the test fails, and it is stopped afterwards, last started first."""
    started = request.node.fairlead_programs = []

    def run(argv, ns=None, **kw):
        argv = ns.argv(*argv) if ns else argv
        p = Program(argv, scratch / f"program{len(started)}.log", **kw)
        p.name = Path(next(a for a in argv[3 if ns else 0:])).name
        started.append(p)
        return p
    yield run
    for p in reversed(started):
        p.stop()


@pytest.fixture
def store(scratch):
    """An empty dir: store."""
    return DirStore(scratch / "store")


class Keeper:
    """fairleadd on a configuration of the test's own, in a namespace of the test's own."""

    def __init__(self, start, scratch, ns, node, store, roles, settings):
        self.ns, self.node = ns, node
        base = scratch / f"keeper-{node}"
        self.run_dir, self.state_dir = base / "run", base / "state"
        for d in (self.run_dir, self.state_dir):
            d.mkdir(parents=True)
        os.chmod(base, 0o755)
        lines = [f"node {node}", f"store {store.url}", f"run-dir {self.run_dir}",
                 f"state-dir {self.state_dir}", f"roles {roles}"]
        for key, value in settings.items():
            for v in value if isinstance(value, (list, tuple)) else [value]:
                lines.append(f"{key.replace('_', '-')} {v}")
        self.conf = base / "fairleadd.conf"
        self.conf.write_text("\n".join(lines) + "\n")
        self.program = start([harness.built("bin/fairleadd"), "--config", self.conf], ns=ns)

    cni_sock = property(lambda self: self.run_dir / "cni.sock")
    ctl_sock = property(lambda self: self.run_dir / "ctl.sock")

    def pid(self, role):
        """The role's pid, or None while it is down."""
        try:
            return int((self.run_dir / f"{role}.pid").read_text())
        except (OSError, ValueError):
            return None

    def wait_role(self, role, timeout=10):
        return wait_for(lambda: self.program.alive() and self.pid(role), timeout,
                        f"{self.node}: role {role} is up")

    def stop(self):
        return self.program.stop()


@pytest.fixture
def keeper(start, scratch):
    """Factory: keeper(ns, "node1", store, roles="agent watch", uplink="eth0", …) starts fairleadd;
    further keywords are configuration keys (_ for -; a list repeats the key)."""
    def run(ns, node, store, roles="agent watch", **settings):
        return Keeper(start, scratch, ns, node, store, roles, settings)
    return run


def _labs():
    made = []

    def up(*args, **kw):
        name = make_unique()
        made.append(name)
        return Lab(name, *args, **kw)
    yield up
    for name in reversed(made):
        subprocess.run([harness.built("bin/fairlead"), "lab", "down", "--name", name],
                       capture_output=True, timeout=60)


@pytest.fixture
def lab():
    """Factory: lab("--nodes", 3, "--mode", "vxlan", manifests=[path]) is a running Lab, taken down
    afterwards."""
    yield from _labs()


@pytest.fixture(scope="module")
def module_lab():
    """As lab, but a lab lives as long as its module: for tests that only look."""
    yield from _labs()
