# SPDX-License-Identifier: Apache-2.0
"""What benches stand on: the private world and the nodes of the integration tests, figures, and
the statistics of a machine on which others work too.

Everything is measured side by side in one run: rounds in which each competitor has a turn, and of
the rounds' ratios the median. So a burst of foreign load spoils a round and not the figure."""
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
sys.dont_write_bytecode = True

import harness  # noqa: E402 (the path above)
from agent_world import World  # noqa: E402
from conftest import Keeper  # noqa: E402

HELPERS = "../tests/bench"


def helper(name):
    """A C program of tests/bench: what measures."""
    return harness.built(f"{HELPERS}/{name}")


def median_ratio(ours, theirs):
    """Of figures taken in turns: the median of the rounds' quotients."""
    return statistics.median(a / b for a, b in zip(ours, theirs))


def percentile(values, p):
    v = sorted(values)
    return v[min(len(v) - 1, int(len(v) * p / 100))]


def first_in_line():
    """All competitors alike run before whatever else this machine does, and at once when they wake:
    by the real-time class, which children inherit. A nice value would not do: a task that has
    the CPU keeps it for its slice, and each of an ADD's hand-overs would wait for that."""
    with contextlib.suppress(PermissionError):  # some containers forbid it
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


class Bench:
    """with Bench("cni") as b: …; b.figure("add.median", 1.2, "ms"). The last line that it prints is
    one JSON object of all figures. State is on the disk below `folder`, not on the /run of the
    private world, which is memory."""

    def __init__(self, name):
        self.name, self.figures, self.stack, self.serial = name, {}, [], 0
        self.roles = "agent watch"
        harness.enter_private_world()
        first_in_line()
        self.folder = Path(tempfile.mkdtemp(prefix="fairlead-bench.", dir="/var/tmp"))
        os.chmod(self.folder, 0o755)

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        self.clear()
        shutil.rmtree(self.folder, ignore_errors=True)
        if kind is None:
            self.figure("load", os.getloadavg()[0], "processes")
            print(json.dumps({"bench": self.name, **self.figures}), flush=True)

    def figure(self, name, value, unit):
        value = float(f"{value:.4g}")
        self.figures[name] = value
        print(f"{name} {value:g} {unit}", flush=True)

    def clear(self):
        """Ends all programs and worlds so far."""
        while self.stack:
            self.stack.pop()()

    # ---- the factories that World takes

    def netns(self, label):
        ns = harness.NetNS(label)
        self.stack.append(ns.delete)
        return ns

    def start(self, argv, ns=None, **kw):
        argv = ns.argv(*argv) if ns else argv
        p = harness.Program(argv, self.folder / f"program{self.serial}-{len(self.stack)}.log", **kw)
        self.stack.append(p.stop)
        return p

    def keeper(self, ns, node, store, roles=None, **settings):
        return Keeper(self.start, self.place, ns, node, store, self.roles,
                      {**settings, "log_level": "info"})

    def world(self, suffix="", store=None):
        """`suffix` of its namespaces' names: for worlds that live side by side."""
        self.serial += 1
        self.place = self.folder / f"world{self.serial}"
        self.place.mkdir()
        return World(lambda label: self.netns(label + suffix), self.keeper,
                     harness.DirStore(store or self.place / "store"), self.start)


def running(pod):
    """So that `apply --wait` waits for the nodes to know it, and not for a kubelet."""
    return {**pod, "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}


def make_netns(names):
    """Many at once, in one process."""
    subprocess.run(["ip", "-batch", "-"], input="".join(f"netns add {n}\n" for n in names),
                   text=True, check=True)
    return [f"/run/netns/{n}" for n in names]


def pss(pid):
    """kB: proportional, and what is the process's alone."""
    pairs = [line.split(":") for line in open(f"/proc/{pid}/smaps_rollup") if "kB" in line]
    v = {k: int(n.split()[0]) for k, n in pairs}
    return v["Pss"], v["Private_Dirty"] + v["Private_Clean"]


def rss(pid):
    """kB that are resident, as VmHWM counts them."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


# ---- request and response

def serve_rr(b, pod, port, cpu):
    b.start(["taskset", "-c", cpu, helper("rr"), "serve", port], ns=pod.ns).wait_log("ready")


def rr(client, address, kind, count, port, cpu):
    """Microseconds: the median of them."""
    r = client.ns.run("taskset", "-c", cpu, helper("rr"), kind, address, port, count)
    return int(r.stdout.split()[0]) / 1e3


def take_turns(players, rounds, measure):
    """{competitor: a figure per round}; who begins changes."""
    out = {name: [] for name in players}
    names = list(players)
    for i in range(rounds):
        for name in names[i % len(names):] + names[:i % len(names)]:
            out[name].append(measure(players[name]))
    return out
