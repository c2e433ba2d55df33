# SPDX-License-Identifier: Apache-2.0
"""The checks of tools/ find what they are for, and are silent otherwise."""
import importlib.machinery
import importlib.util
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def tool(name, *args):
    return subprocess.run([ROOT / "tools" / name, *map(str, args)], capture_output=True, text=True)


def load(name):
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_"), str(ROOT / "tools" / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


# ---- check-layers

@pytest.fixture
def tree(tmp_path):
    """A source tree that keeps to the table, and a function that adds a file to it."""
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs/architecture.md", tmp_path / "docs")

    def write(path, text):
        p = tmp_path / "src" / path
        p.parent.mkdir(parents=True, exist_ok=True)
        p.write_text(text)
    write("base/addr.h", "#pragma once\nint addr(void);\n")
    write("model/record.h", "#pragma once\n")
    write("daemon/role.h", "#pragma once\n")
    return tmp_path, write


def test_layers_accept_what_the_table_allows(tree):
    root, write = tree
    write("core/ipam/plan.c", '#include "base/addr.h"\n#include "core/ipam/plan.h"\n#include <stdint.h>\n')
    write("core/ipam/plan.h", '#pragma once\n#include "model/record.h"\n')
    write("cmd/main.c", '#include "daemon/role.h"\n#include <unistd.h>\n')
    r = tool("check-layers", root)
    assert (r.returncode, r.stderr) == (0, ""), r.stdout


@pytest.mark.parametrize("path, text, says", [
    ("base/x.c", '#include "model/record.h"\n', "base/x.c:1: base may not include model/record.h"),
    ("core/ipam/x.c", '\n#include "daemon/role.h"\n', "core/ipam/x.c:2: core/ipam may not include daemon/role.h"),
    ("core/ipam/x.c", '#include "core/policy/p.h"\n', "core/ipam may not include core/policy/p.h"),
    ("core/ipam/x.c", "#include <unistd.h>\n", "core/ipam/x.c:1: core is pure, it may not include <unistd.h>"),
    ("sys/x.c", '#include "model/cluster.h"\n', "sys may not include model/cluster.h"),
    ("base/x.c", '#include "addr.h"\n', 'write the room: #include "base/addr.h"'),
    ("attic/x.c", "", "room attic is not in the table"),
    ("base/x.h", "#pragma once\nuint8_t x(void);\n", "base/x.h: does not compile alone"),
])
def test_layers_find(tree, path, text, says):
    root, write = tree
    write(path, text)
    r = tool("check-layers", root)
    assert r.returncode == 1 and says in r.stdout


# ---- check-links

def compile_c(path, text, *args):
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["gcc", "-x", "c", "-", "-o", path, *args], input=text, text=True, check=True)


JSON = "#include <jansson.h>\nint main(void) { return json_object() == NULL; }\n"
PLAIN = "int main(void) { return 0; }\n"


def test_links_accept_a_right_tree(tmp_path):
    out = tmp_path / "out"
    compile_c(out / "libexec/cni/fairlead-cni", PLAIN, "-static")
    compile_c(out / "bin/fairleadd", PLAIN)
    compile_c(out / "bin/fairlead", JSON, "-ljansson")
    compile_c(out / "libexec/fairlead/watch", JSON, "-ljansson")
    compile_c(out / "libexec/fairlead/agent", PLAIN)
    r = tool("check-links", out)
    assert r.returncode == 0, r.stdout


@pytest.mark.parametrize("path, args, says", [
    ("libexec/cni/fairlead-cni", (), "fairlead-cni: must be static"),
    ("bin/fairleadd", ("-ljansson",), "the keeper links libc only, not libjansson"),
    ("libexec/fairlead/agent", ("-ljansson",), "agent: must not need libjansson"),
    ("libexec/fairlead/bgp", ("-ljansson",), "bgp: must not need libjansson"),
])
def test_links_find(tmp_path, path, args, says):
    compile_c(tmp_path / "out" / path, JSON if args else PLAIN, *args)
    r = tool("check-links", tmp_path / "out")
    assert r.returncode == 1 and says in r.stdout


@pytest.mark.parametrize("call, pure", [
    ('snprintf(b, 9, "x")', True), ("(int)time(0)", False), ("(int)write(1, b, 1)", False),
    ('printf("x")', False), ("rand()", False),
])
def test_links_find_io_in_core(tmp_path, call, pure):
    compile_c(tmp_path / "out/bin/fairlead", PLAIN)
    text = "#include <stdio.h>\n#include <stdlib.h>\n#include <time.h>\n#include <unistd.h>\n" \
           f"int f(char *b);\nint f(char *b) {{ return {call}; }}\n"
    compile_c(tmp_path / "x.o", text, "-c", "-D_FORTIFY_SOURCE=2", "-O2", "-w")
    lib = tmp_path / "src/core/ipam/libcore_ipam.a"
    lib.parent.mkdir(parents=True)
    subprocess.run(["ar", "rcs", lib, tmp_path / "x.o"], check=True)
    r = tool("check-links", tmp_path / "out")
    assert (r.returncode == 0) == pure, r.stdout
    assert pure or "core is pure" in r.stdout


def test_links_without_programs_is_a_failure(tmp_path):
    assert tool("check-links", tmp_path).returncode == 1


# ---- root-state

def test_root_state_compares():
    compare = load("root-state").compare
    before = ["network: lo", "sysctl: net/a = 0", "sysctl: net/b = 1"]
    assert compare(before, list(before)) == []
    assert compare(before, before + ["sysctl: net/new = 7"]) == []
    assert "+sysctl: net/a = 1" in compare(before, ["network: lo", "sysctl: net/a = 1", "sysctl: net/b = 1"])
    assert "+network: eth9" in compare(before, ["network: eth9", *before])
    assert "-network: lo" in compare(before, before[1:])
    assert compare(["cgroups: /gone", "ebpf: prog 7"], []) == []
    assert "+ebpf: prog 8" in compare(["ebpf: prog 7"], ["ebpf: prog 7", "ebpf: prog 8"])


@pytest.mark.alone
def test_root_state_of_cgroups():
    """A new empty cgroup is ours to explain, one in which others live is not."""
    compare = load("root-state").compare
    top = next(p for p in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")) if (p / "cgroup.procs").exists())
    group = top / f"fltest{os.getpid()}"
    group.mkdir()
    try:
        assert f"+cgroups: {group}" in compare([], [f"cgroups: {group}"])
        other = subprocess.Popen(["sleep", "30"], env={"PATH": os.environ["PATH"]})
        (group / "cgroup.procs").write_text(str(other.pid))
        assert compare([], [f"cgroups: {group}"]) == []
        other.kill()
        other.wait()
    finally:
        group.rmdir()


@pytest.mark.alone
def test_root_state_sees_a_change_of_each_kind(tmp_path):
    script = f"""
        mount --make-rprivate / && mount -t tmpfs t /run
        f={tmp_path}/state; compare() {{ {ROOT}/tools/root-state compare $f; }}
        differs() {{ if compare; then echo "unseen: $1"; exit 1; fi; }}
        {ROOT}/tools/root-state save $f; compare
        ip link add fltest type bridge; differs link; ip link del fltest; compare
        nft add table inet fltest; differs table; nft delete table inet fltest; compare
        mkdir /run/m; differs run; rmdir /run/m; compare
        mount -t tmpfs m /mnt; differs mount; umount /mnt; compare
        echo 1 >/proc/sys/net/ipv4/ip_forward; differs sysctl; echo 0 >/proc/sys/net/ipv4/ip_forward
        sleep 30 & sleep 0.2; differs process; kill $!; wait $! || true
        compare
    """
    r = subprocess.run(["unshare", "-m", "-n", "bash", "-eu", "-c", script], capture_output=True, text=True,
                       env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "FAIRLEAD_RUN": str(tmp_path)})
    assert r.returncode == 0, r.stdout + r.stderr
    for seen in ("fltest", "table inet fltest", "/run/m", "tmpfs m", "ip_forward = 1", "sleep 30"):
        assert seen in r.stdout


# ---- tally

def test_tally_adds_up(tmp_path):
    def log(name, result, text):
        return json.dumps({"name": name, "result": result, "stdout": text})
    ok = "[==========] Running 2 test(s).\n[       OK ] a\n[  SKIPPED ] b\n[  PASSED  ] 1 test(s).\n"
    bad = "[       OK ] a\n[  FAILED  ] b\n[  FAILED  ] tests: 1 test(s), listed below:\n[  FAILED  ] b\n"
    (tmp_path / "meson-release.json").write_text("\n".join([
        log("good", "OK", ok), log("bad", "FAIL", bad), log("plain", "OK", ""),
        log("crash", "FAIL", "[       OK ] a\n")]))
    (tmp_path / "pytest-release.xml").write_text(
        '<testsuites><testsuite><testcase classname="m" name="p"/>'
        '<testcase classname="m" name="f"><failure/></testcase>'
        '<testcase classname="m" name="s"><skipped message="why"/></testcase></testsuite></testsuites>')
    (tmp_path / "layers.check").write_text("pass\n")
    r = tool("tally", tmp_path)
    lines = r.stdout.splitlines()
    assert lines[-1] == "6 passed, 3 failed, 2 skipped"
    assert "failed: meson-release: bad: b" in lines and "skipped 1: why" in lines
    assert "failed: meson-release: crash (FAIL)" in lines
    assert r.returncode == 1


def test_tally_of_what_was_asked_again(tmp_path):
    """Only what passed then is unsteady; a test that left something broken behind itself has failed."""
    def xml(**results):
        return "<testsuites><testsuite>" + "".join(
            f'<testcase classname="tests.tools.test_tools" name="{name}">{"<failure/>" * bad}</testcase>'
            for name, each in results.items() for bad in each) + "</testsuite></testsuites>"
    first = tmp_path / "pytest-release.xml"
    first.write_text(xml(good=[0], late=[1], bad=[1], left=[0, 1]))
    (tmp_path / "pytest-release-again.xml").write_text(xml(late=[0], bad=[1], left=[0, 1]))
    lines = tool("tally", tmp_path).stdout.splitlines()
    assert lines == ["unsteady: pytest-release: tests.tools.test_tools::late",
                     "failed: pytest-release: tests.tools.test_tools::bad",
                     "failed: pytest-release: tests.tools.test_tools::left", "2 passed, 2 failed, 0 skipped"]
    assert tool("tally", "--failed", first).stdout.splitlines() == [
        f"tests/tools/test_tools.py::{name}" for name in ("late", "bad", "left")]


def test_tally_of_nothing_is_no_success(tmp_path):
    assert tool("tally", tmp_path).returncode == 1


# ---- documents that must not drift from the code

def test_manual_lists_every_configuration_key():
    code = (ROOT / "src/daemon/config_keys.c").read_text()
    keys = re.findall(r'^\t\{ "([a-z-]+)", \w+, (?:true|false) \}', code, re.M)
    page = (ROOT / "man/fairleadd.conf.5").read_text()
    assert keys and sorted(keys) == sorted(re.findall(r"^\.It Cm ([a-z-]+) Ar", page, re.M))


# ---- packages

def test_services_stay_down_while_packages_are_installed(tmp_path):
    """apt-get, replaced by one that looks, sees a policy-rc.d that forbids; afterwards it is gone.
    One that an administrator wrote stays."""
    fake = tmp_path / "apt-get"
    fake.write_text("#!/bin/sh\ncase $* in *--simulate*) exit 0;; esac\n"
                    f"/usr/sbin/policy-rc.d; echo \"$? $*\" >>{tmp_path}/seen\n[ ! -e {tmp_path}/broken ]\n")
    fake.chmod(0o755)
    script = f"""
        mount --make-rprivate /
        mount -t tmpfs t /mnt; mkdir /mnt/u /mnt/w
        mount -t overlay o -o lowerdir=/usr/sbin,upperdir=/mnt/u,workdir=/mnt/w /usr/sbin
        rm -f /usr/sbin/policy-rc.d /usr/sbin/apt-get
        ln -s {fake} /usr/sbin/apt-get
        sed '/^ARGV=/,$d; s/^cd .*//' {ROOT}/dev >{tmp_path}/functions
        cd {ROOT}; . {tmp_path}/functions
        missing_packages() {{ echo some-daemon; }}
        need_packages build
        test ! -e /usr/sbin/policy-rc.d
        touch {tmp_path}/broken
        (need_packages build) && exit 9
        test ! -e /usr/sbin/policy-rc.d
        rm {tmp_path}/broken
        printf '#!/bin/sh\\nexit 7\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d
        need_packages build
        test -e /usr/sbin/policy-rc.d
    """
    r = subprocess.run(["unshare", "-m", "bash", "-eu", "-c", script], capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    install = "install -y -q --no-install-recommends some-daemon"
    seen = (tmp_path / "seen").read_text().splitlines()
    assert seen[0] == f"101 {install}" and seen[-1] == f"7 {install}" and seen.count(f"101 {install}") > 1


# ---- the corpus replayer

@pytest.mark.parametrize("corpus, breaks", [(b"good", False), (b"bad!", True), (b"bad!tail", True), (None, True)])
def test_replay_fails_when_the_target_does(tmp_path, corpus, breaks):
    """The target breaks on exactly "bad!": found whole, and as a cut of a longer file."""
    target = '#include "tests/fuzz/fuzz.h"\n#include <stdlib.h>\n#include <string.h>\n' \
             "int LLVMFuzzerTestOneInput(const uint8_t *d, size_t n)\n" \
             '{ if (n == 4 && !memcmp(d, "bad!", 4)) abort(); return 0; }\n'
    compile_c(tmp_path / "replay", target, "-D_GNU_SOURCE", f"-I{ROOT}", str(ROOT / "tests/fuzz/replay.c"))
    (tmp_path / "corpus").mkdir()
    if corpus:
        (tmp_path / "corpus/one").write_bytes(corpus)
    r = subprocess.run([tmp_path / "replay", tmp_path / "corpus"], capture_output=True)
    assert (r.returncode != 0) == breaks
