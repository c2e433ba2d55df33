# SPDX-License-Identifier: Apache-2.0
"""The harness itself: its worlds are private, its cleaning cleans, its waiting ends."""
import os
import subprocess
import textwrap
from pathlib import Path

import pytest

import harness
from harness import ROOT, needs, veth, wait_for


def test_world_is_private():
    mine = harness.world()
    assert mine["net"] != harness.FIRST_WORLD["net"] and mine["mnt"] != harness.FIRST_WORLD["mnt"]
    mounts = {line.split()[4]: line for line in
              Path("/proc/self/mountinfo").read_text().splitlines()}
    for place in ("/run", "/etc", "/opt", "/var/lib"):
        assert place in mounts and "shared:" not in mounts[place]


@needs("ping")
def test_two_namespaces_reach_each_other(netns):
    a, b = netns("a"), netns("b")
    veth(a, "eth0", b, "eth0", ["192.0.2.1/24", "2001:db8::1/64"], ["192.0.2.2/24", "2001:db8::2/64"])
    a.run("ping", "-c1", "-W2", "192.0.2.2")
    a.run("ping", "-c1", "-W2", "2001:db8::2")
    assert [l["ifname"] for l in a.ip("link")] == ["lo", "eth0"]
    assert "198.51.100.1" not in str(b.ip("addr"))


def test_wait_for_gives_up_and_says_why():
    with pytest.raises(pytest.fail.Exception, match="not within 0.1 s: the moon is green; last: False"):
        wait_for(lambda: False, timeout=0.1, what="the moon is green")


def test_program_log_and_end(start):
    p = start(["sh", "-c", "echo hello; sleep 60 & wait"])
    p.wait_log("hello")
    assert p.alive()
    p.stop()
    assert not p.alive()
    wait_for(lambda: not [c for _, c in harness.processes_where(
        harness.WORKER_ENV, lambda v: v == os.environ[harness.WORKER_ENV]) if c.startswith("sleep")])


def run_pytest(tmp_path, text, *args):
    """A pytest of its own on one test file, beside this conftest."""
    for name in ("conftest.py", "harness.py"):
        (tmp_path / name).write_text((ROOT / "tests/integration" / name).read_text())
    (tmp_path / "test_x.py").write_text(textwrap.dedent(text))
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    return subprocess.Popen(["/usr/bin/python3", "-m", "pytest", "-p", "no:cacheprovider", *args,
                             str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, env=env, cwd=tmp_path)


def test_left_process_is_found_and_ended(tmp_path):
    p = run_pytest(tmp_path, """
        import subprocess
        def test_leaks():
            subprocess.Popen(["sleep", "4242"], start_new_session=True)
    """)
    text = p.communicate(timeout=60)[0]
    assert p.returncode == 1, text
    assert "left running:" in text and "sleep 4242" in text
    assert not [c for _, c in harness.processes_where(harness.SESSION_ENV, lambda v: True)
                if "sleep 4242" in c]


def test_killed_session_is_swept(tmp_path):
    p = run_pytest(tmp_path, """
        import subprocess, time
        def test_hangs(netns):
            ns = netns()
            subprocess.Popen(ns.argv("sleep", "4343"), start_new_session=True)
            time.sleep(60)
    """)

    def mine():
        return [pid for pid, c in harness.processes_where(harness.SESSION_ENV,
                lambda v: v.startswith(f"{p.pid}:")) if "sleep 4343" in c]
    wait_for(mine, timeout=30, what="the inner test runs")
    p.kill()
    p.communicate()
    assert mine()
    assert harness.sweep_leftovers() >= 1
    wait_for(lambda: not mine(), timeout=5, what="swept")


def test_sessions_of_other_pid_namespaces_are_left_alone(tmp_path):
    """Their process numbers are of another world: a container's tests run on beside ours."""
    p = subprocess.Popen(["unshare", "-p", "-f", "--kill-child", "sh", "-c",
                          "FAIRLEAD_SESSION=2:1:4026 sleep 4444"])
    try:
        def there():
            return [pid for pid, c in harness.processes_where(
                harness.SESSION_ENV, lambda v: v == "2:1:4026") if "sleep 4444" in c]
        wait_for(there)
        harness.sweep_leftovers()
        assert there()
    finally:
        p.kill()
        p.wait()
