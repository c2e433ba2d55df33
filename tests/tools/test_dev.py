# SPDX-License-Identifier: Apache-2.0
"""./dev teaches by --help, and what the documents tell a reader to type is there."""
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ["demo", "test", "build", "bench", "fuzz", "lint", "fmt"]


def dev(*args):
    return subprocess.run([ROOT / "dev", *args], capture_output=True, text=True, timeout=60)


def test_help_names_every_command():
    r = dev("help")
    assert r.returncode == 0
    for command in COMMANDS:
        assert re.search(rf"^  {command}\b", r.stdout, re.M)
    assert dev().stdout == dev("--help").stdout == r.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(command):
    r = dev(command, "--help")
    assert r.returncode == 0 and f"./dev {command}" in r.stdout


@pytest.mark.parametrize("args", [("frobnicate",), ("build", "--frobnicate"), ("build", "--flavour", "vanilla")])
def test_usage_errors_exit_2(args):
    assert dev(*args).returncode == 2


def test_documents_name_commands_that_exist():
    for page in ["README.md", *(str(p) for p in (ROOT / "docs").glob("*.md"))]:
        for command in re.findall(r"\./dev ([a-z]+)", (ROOT / page).read_text()):
            assert command in [*COMMANDS, "help"], f"{page}: ./dev {command}"


def test_documents_name_files_that_exist():
    for page in ROOT.glob("**/*.md"):
        for path in re.findall(r"`((?:docs|tools|tests|src|dist|examples|man)/[\w./-]+)`", page.read_text()):
            if "NAME" not in path and "ROOM" not in path:
                assert (ROOT / path).exists(), f"{page.name}: {path}"


def test_example_configuration_is_right():
    """The conflist that is shipped is the one that the manual shows, and fairleadd takes its example."""
    page = (ROOT / "man/fairlead-cni.8").read_text()
    shown = re.search(r"^\.Bd -literal\n(\{.*?^\})\n\.Ed", page, re.M | re.S).group(1)
    assert json.loads(shown) == json.loads((ROOT / "dist/10-fairlead.conflist").read_text())
    out = Path(os.environ.get("FAIRLEAD_BUILD") or ROOT / "build/release/out")
    r = subprocess.run([out / "bin/fairleadd", "--config", ROOT / "dist/fairleadd.conf", "--check"],
                       capture_output=True, text=True)
    assert r.returncode == 0, r.stderr


def test_fuzz_targets_name_their_parser():
    """What ./dev fuzz --coverage measures: a line in the first comment, of files that exist."""
    for target in (ROOT / "tests/fuzz").glob("fuzz_*.c"):
        named = re.findall(r"^ \* Parser: ([\w./ ]+?)(?: \*/)?$", target.read_text(), re.M)
        assert named, f"{target.name} names no parser"
        for name in " ".join(named).split():
            assert (ROOT / "src" / name).exists(), f"{target.name}: {name}"
