# SPDX-License-Identifier: Apache-2.0
"""A whole table from one peer: 100 000 routes from BIRD by role bgp and the agent into the kernel, and out of it again."""
import time

import pytest

from bgp_world import bgp_peer, bgp_world, configuration  # noqa: F401
from harness import wait_for

pytestmark = pytest.mark.alone

N = 100_000
SECONDS = 60  # far more than it takes here, for slow machines


def prefix(i):
    return f"20.{i >> 14}.{i >> 6 & 255}.{(i & 63) * 4}/30"


def count(w):
    """Of the kernel's routes, how many are BIRD's."""
    return int(w.ns.sh("ip -4 route show proto 70 | grep -c '^20.*via 10.0.0.2' || true").stdout)


def megabytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) // 1024 for line in f if line.startswith("VmHWM"))


def test_hundred_thousand(bgp_world):  # noqa: F811
    w = bgp_world
    w.begin(configuration(), bgp_peer(), roles="agent bgp", uplink="eth0")
    other = w.begin_other("bird")
    wait_for(w.is_up, 15)
    wait_for(lambda: w.ns.ip("route", "show", "10.2.0.0/24"))
    base = {role: megabytes(w.keeper.pid(role)) for role in ("bgp", "agent")}
    conf = other.dir / "bird.conf"
    text = conf.read_text()
    many = other.dir / "many.conf"
    many.write_text("protocol static many { ipv4;\n" + "".join(f"route {prefix(i)} via 10.0.0.2;\n" for i in range(N)) + "}\n")

    def reach(want):
        began = time.monotonic()
        assert "Reconfig" in other.ask("configure")
        wait_for(lambda: count(w) == want, SECONDS, f"{want} routes in the kernel", every=0.25)
        return time.monotonic() - began

    conf.write_text(text + f'include "{many}";\n')
    came = reach(N)
    assert w.peer()["received"] == N + 2
    wanted = {prefix(i) for i in range(N)}
    have = {line.split()[0] for line in w.ns.sh("ip -4 route show proto 70 | grep ^20").stdout.splitlines()}
    assert have == wanted
    most = {role: megabytes(w.keeper.pid(role)) for role in base}
    conf.write_text(text)
    went = reach(0)
    assert w.peer()["received"] == 2 and w.peer()["ends"] == 0
    assert w.ns.ip("route", "show", "10.2.0.0/24")  # the others stay
    print(f"{N} routes: there after {came:.1f} s, gone after {went:.1f} s; most memory, MB: "
          + ", ".join(f"{r} {most[r]} (without them {base[r]})" for r in base))
    assert came < SECONDS and went < SECONDS
