# SPDX-License-Identifier: Apache-2.0
"""The README's five minutes, typed as they stand there, and the manual pages against --help."""
import os
import re
import shlex
import subprocess

from harness import OUT, ROOT, built

ENV = {**os.environ, "PATH": f"{OUT}/bin:{os.environ['PATH']}"}


def readme_commands():
    block = re.search(r"## Five minutes\n\n```\n(.*?)```", (ROOT / "README.md").read_text(), re.S).group(1)
    lines = [line.split("  #")[0].strip() for line in block.splitlines()]
    return [line for line in lines if line.startswith("fairlead ")]


def test_readme_walk():
    commands = readme_commands()
    assert commands[0].startswith("fairlead lab up") and commands[-1] == "fairlead lab down"
    try:
        for command in commands:
            r = subprocess.run(shlex.split(command), env=ENV, cwd=ROOT, capture_output=True, text=True, timeout=60)
            assert r.returncode == 0, f"$ {command}\n{r.stdout}{r.stderr}"
            assert r.stdout.strip() or command.startswith(("fairlead lab up", "fairlead lab down")), command
    finally:
        subprocess.run([built("bin/fairlead"), "lab", "down"], capture_output=True, timeout=60)


def help_of(*verb):
    r = subprocess.run([built("bin/fairlead"), *verb, "--help"], capture_output=True, text=True)
    assert r.returncode == 0
    return r.stdout


def listed_verbs(*prefix):
    """What `fairlead [PREFIX] --help` lists under "Verbs:"."""
    listed = help_of(*prefix).partition("Verbs:\n")[2].partition("\n\n")[0]
    return re.findall(r"^  ([a-z][a-z-]*)\s", listed, re.M)


def all_verbs(*prefix):
    for verb in listed_verbs(*prefix):
        yield (*prefix, verb)
        yield from all_verbs(*prefix, verb)


def page_of(verb):
    name = "fairlead-lab.1" if verb[0] == "lab" and len(verb) > 1 else "fairlead.1"
    return (ROOT / "man" / name).read_text()


def test_manual_has_every_verb():
    verbs = list(all_verbs())
    assert ("apply",) in verbs and ("lab", "up") in verbs
    for verb in verbs:
        words = verb[1:] if verb[0] == "lab" and len(verb) > 1 else verb
        assert re.search(rf"^\.It Cm {' '.join(words)}\b", page_of(verb), re.M), f"fairlead {' '.join(verb)}"


def test_manual_has_every_option():
    for verb in all_verbs():
        for option in re.findall(r"^ +(?:-\w, )? *--([a-z-]+)", help_of(*verb), re.M):
            if option != "output":
                assert re.search(rf"(Fl|,) -{option}\b", page_of(verb)), f"fairlead {' '.join(verb)} --{option}"
