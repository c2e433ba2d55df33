# SPDX-License-Identifier: Apache-2.0
"""A virtual machine with Debian's own kernel, for what the kernel under the tests does not have or
does differently: `vm.run(script, programs=[…], files={…})`.

The guest has two processors (qemu's own: no KVM is asked for), no network card and no disk. All it has
is an initramfs, packed for each run: busybox, the modules of networking (build/vm, by tools/vm-kernel),
the programs asked for with the libraries that ldd names, at the paths they have here, and files.
`script` runs as `sh -eu`; where busybox and a real program share a name, the real one is found. Output
comes back over a serial line, the exit status over another, and the kernel's log over the first;
so a guest that hangs or panics is a failure that shows how far it came.

Limits: programs that open further libraries by dlopen need those named in `files`. The guest is up
after some 4 s of idle processors; emulated code is 10 to 30 times slower, so waits inside must be generous and
no figure is measured here.
"""
import dataclasses
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from harness import ROOT

KERNELS = ROOT / "build/vm"
QEMU = "qemu-system-x86_64"
BUSYBOX = "/bin/busybox"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/busybox HOME=/root LANG=C.UTF-8
/busybox/busybox --install -s /busybox
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
for d in /run /tmp; do mount -t tmpfs -o mode=1777 tmpfs $d; done
ln -s /proc/self/fd /dev/fd
hostname vm
ip link set lo up
stty -F /dev/ttyS1 115200 raw
{ sh -eu /script; echo "exit $?" >/dev/ttyS2; } </dev/null 2>&1 | cat >/dev/ttyS1
poweroff -f
"""
FOLDERS = ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "busybox", "proc", "sys", "dev", "run", "tmp", "root",
           "etc", "opt", "var/lib", "var/log", "mnt")


@dataclasses.dataclass
class Run:
    """What a guest left: the script's exit status and output, the kernel's log."""
    code: int
    output: str
    console: str

    def parts(self):
        """The output between lines of "== NAME", by name."""
        words = re.split(r"^== (\S+)\n", self.output, flags=re.M)
        return dict(zip(words[1::2], words[2::2]))


def missing():
    """Why no guest can be started here, or None."""
    absent = [p for p in (QEMU, "busybox", "cpio", "kmod") if not shutil.which(p, path=PATH)]
    if absent:
        return "not installed: " + ", ".join(absent)
    if not kernel():
        return "no Debian kernel in build/vm: `./dev test` downloads it, where apt can"
    return None


def kernel():
    """tools/vm-kernel leaves one, or none."""
    return next(KERNELS.glob("[0-9]*/vmlinuz"), None)


# Mark: skip, and say why, where no guest can be started.
needed = pytest.mark.skipif(bool(missing()), reason=missing() or "")


def libraries(program):
    """Every shared library and the loader, by ldd; none for a static program or a script."""
    r = subprocess.run(["ldd", str(program)], capture_output=True, text=True)
    return re.findall(r"(/\S+) \(0x", r.stdout)


class Tree:
    """The guest's files, gathered in a folder. Merged /usr, as Debian has it."""

    def __init__(self, top):
        self.top = Path(top)
        for d in FOLDERS:
            (self.top / d).mkdir(parents=True)
        for d in ("bin", "sbin", "lib", "lib64"):
            (self.top / d).symlink_to(f"usr/{d}")

    def place(self, path):
        """Where a path of the guest is gathered; its folders are made."""
        first, _, rest = str(path).lstrip("/").partition("/")
        place = self.top / ("usr" if first in ("bin", "sbin", "lib", "lib64") else "") / first / rest
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def text(self, path, text, mode=0o644):
        place = self.place(path)
        place.write_text(text)
        place.chmod(mode)

    def copy(self, source, path):
        """A file with its libraries, or a folder with those of its programs."""
        source = Path(source)
        if source.is_dir():
            for f in source.rglob("*"):
                if f.is_file():
                    self.copy(f, Path(path) / f.relative_to(source))
            return
        place = self.place(path)
        if not place.exists():
            shutil.copy(source, place)
            if os.access(source, os.X_OK):
                for lib in libraries(source):
                    self.copy(lib, lib)

    def program(self, name):
        found = shutil.which(name, path=PATH)
        assert found, f"{name} is not installed"
        self.copy(found, found)

    def pack(self, archive):
        names = "\n".join(str(p.relative_to(self.top)) for p in sorted(self.top.rglob("*")))
        with open(archive, "wb") as f:
            subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], cwd=self.top, input=names.encode(),
                           stdout=f, check=True)


def _gather(top, script, programs, files):
    tree, modules = Tree(top), kernel().parent / "modules"
    tree.text("/init", INIT, 0o755)
    tree.text("/script", script)
    tree.text("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    tree.text("/etc/group", "root:x:0:\nnogroup:x:65534:\n")
    tree.copy(shutil.which("busybox", path=PATH), "/busybox/busybox")
    tree.copy(shutil.which("kmod", path=PATH), "/sbin/modprobe")
    for name in ("sh", "ip", *programs):
        tree.program(name)
    shutil.copytree(modules, tree.place(f"/lib/modules/{modules.parent.name}"))
    for path, source in files.items():
        if isinstance(source, Path):
            tree.copy(source, path)
        else:
            tree.text(path, source)
    return tree


def run(script, programs=(), files=None, timeout=300, memory="1G"):
    """Boots a guest that runs the script, and powers off. `programs` are names found in PATH here; `files` maps
    a path of the guest to a Path of a file or folder here, or to text. Fails the test where the guest
    does not come to the script's end within `timeout` seconds."""
    with tempfile.TemporaryDirectory(prefix="vm", dir="/run") as scratch:
        scratch = Path(scratch)
        _gather(scratch / "tree", script, programs, files or {}).pack(scratch / "initrd")
        shutil.rmtree(scratch / "tree")
        lines = [scratch / name for name in ("console", "output", "status")]
        argv = [QEMU, "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", memory, "-nodefaults", "-no-user-config",
                "-display", "none", "-no-reboot", "-kernel", str(kernel()), "-initrd", str(scratch / "initrd"),
                "-append", "console=ttyS0 quiet loglevel=5 panic=-1"]
        for line in lines:
            line.touch()
            argv += ["-serial", f"file:{line}"]
        late = ""
        try:
            r = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
            late = r.stderr
        except subprocess.TimeoutExpired:
            late = f"ended after {timeout} s"
        console, output, status = (line.read_text(errors="replace") for line in lines)
    code = re.fullmatch(r"exit (\d+)\s*", status)
    if not code:
        pytest.fail(f"the guest did not come to the script's end: {late}\n--- kernel\n{console[-5000:]}\n"
                    f"--- script\n{output[-5000:]}")
    return Run(int(code[1]), output, console)
