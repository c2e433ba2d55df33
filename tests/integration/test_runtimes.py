# SPDX-License-Identifier: Apache-2.0
"""Container runtimes of Debian start and stop containers on fairlead-cni: podman through its CNI
backend, containerd through `ctr run --cni`. The image is one static program, no registry needed.
Everything of theirs lives in this test process' own mount namespace."""
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from agent_world import world  # noqa: F401 (a fixture)
from harness import built, needs, wait_for

IMAGE = "localhost/web:latest"


def image_archive(path):
    """A docker-archive with one layer that holds one program."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as t:
        t.add(built("../tests/integration/helpers/web"), "web")
        for name in ("etc", "proc", "sys", "dev", "run", "tmp"):
            d = tarfile.TarInfo(name)
            d.type, d.mode = tarfile.DIRTYPE, 0o755
            t.addfile(d)
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    config = json.dumps({"architecture": "amd64", "os": "linux",
                         "config": {"Cmd": ["/web"], "Env": ["PATH=/"]},
                         "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]}}).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [IMAGE],
                            "Layers": [f"{digest}/layer.tar"]}]).encode()
    with tarfile.open(path, "w") as t:
        for name, data in (("config.json", config), (f"{digest}/layer.tar", layer.getvalue()),
                           ("manifest.json", manifest)):
            f = tarfile.TarInfo(name)
            f.size = len(data)
            t.addfile(f, io.BytesIO(data))
    return path


def conflist(node, *more, name="fairlead", version="1.0.0"):
    return {"cniVersion": version, "cniVersions": ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"],
            "name": name,
            "plugins": [{"type": "fairlead-cni", "socket": str(node.keeper.cni_sock)}, *more]}


def fetch(ns, ip, port=80):
    r = ns.run("python3", "-c",
               "import socket,sys\n"
               "s=socket.create_connection((sys.argv[1],int(sys.argv[2])),2)\n"
               "print(s.recv(99).decode())", ip, port, check=False)
    return r.stdout.strip() or None


def container_ips(pid):
    """Addresses of eth0 in the namespace of a process, as the kernel says."""
    out = subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-j", "addr", "show", "eth0"],
                         capture_output=True, text=True, check=True).stdout
    return [a["local"] for a in json.loads(out)[0]["addr_info"] if a["scope"] == "global"]


def nothing_left(node):
    """No link, no host route: what containers had is gone."""
    links = [x["ifname"] for x in node.ns.ip("link") if x["ifname"].startswith("fl")]
    assert not links, links
    pods = [d for f in (4, 6) for d, r in node.routes(f).items()
            if "/" not in d and str(r.get("dev", "")).startswith("fl")]
    assert not pods, pods
    return True


@pytest.fixture
def cgroup(unique):
    """The name of a cgroup, in every hierarchy, for all that a runtime makes; removed with it."""
    yield unique
    for top in [*Path("/sys/fs/cgroup").glob(f"*/{unique}"), Path("/sys/fs/cgroup") / unique]:
        for path, _, _ in os.walk(top, topdown=False):
            wait_for(lambda: os.rmdir(path) is None, 5, f"{path} is empty")


@pytest.fixture
def plugin_dir():
    """/opt/cni/bin, as an installation has it (an overlay of this test process)."""
    path = Path("/opt/cni/bin")
    path.mkdir(parents=True, exist_ok=True)
    made = []
    for name in ("fairlead-cni", "fairlead-ipam"):
        made.append(path / name)
        made[-1].symlink_to(built(f"bin/{name}"))
    yield path
    for p in made:
        p.unlink()


# ---- podman

class Podman:
    def __init__(self, node, scratch, plugin_dir, cgroup):
        self.ns, self.scratch, self.cgroup = node.ns, scratch, cgroup
        self.nets = scratch / "net.d"
        self.nets.mkdir()
        (scratch / "storage.conf").write_text(
            f'[storage]\ndriver="vfs"\nrunroot="{scratch}/runroot"\ngraphroot="{scratch}/root"\n')
        (scratch / "containers.conf").write_text(
            '[containers]\ndefault_ulimits=["nofile=1024:1024","nproc=1024:1024"]\n'
            'log_driver="k8s-file"\n'
            f'[network]\nnetwork_backend="cni"\nnetwork_config_dir="{self.nets}"\n'
            f'cni_plugin_dirs=["{plugin_dir}","/usr/lib/cni"]\ndefault_network="fairlead"\n'
            '[engine]\ncgroup_manager="cgroupfs"\nruntime="runc"\nevents_logger="none"\n'
            f'tmp_dir="{scratch}/tmp"\n')
        self.env = {**os.environ, "CONTAINERS_CONF": f"{scratch}/containers.conf",
                    "CONTAINERS_STORAGE_CONF": f"{scratch}/storage.conf", "HOME": str(scratch),
                    "TMPDIR": str(scratch)}

    def __call__(self, *args, check=True):
        return self.ns.run("podman", *args, check=check, env=self.env, timeout=60).stdout.strip()

    def run(self, name, *args):
        return self("run", "-d", "--cgroup-parent", f"/{self.cgroup}", "--name", name, *args, IMAGE)

    def inspect(self, name):
        return json.loads(self("inspect", name))[0]


@pytest.fixture
def podman(world, scratch, plugin_dir, cgroup):
    made = []

    def make(node):
        made.append(Podman(node, scratch, plugin_dir, cgroup))
        made[-1]("load", "-i", image_archive(scratch / "web.tar"))
        return made[-1]
    yield make
    for p in made:
        p("rm", "-f", "-a", "-t", "0", check=False)
        p("system", "reset", "-f", check=False)


@needs("podman", "runc", "conmon")
def test_podman(world, podman):
    n1, = world.up(10)
    p = podman(n1)
    (p.nets / "10-fairlead.conflist").write_text(json.dumps(conflist(n1)))
    ids = [p.run(f"w{i}") for i in range(3)]
    assert len(set(ids)) == 3
    seen = []
    for i in range(3):
        what = p.inspect(f"w{i}")
        net = what["NetworkSettings"]["Networks"]["fairlead"]
        ips = container_ips(what["State"]["Pid"])
        assert sorted(ips) == sorted([net["IPAddress"], net["GlobalIPv6Address"]])
        seen += ips
        for ip in ips:
            assert wait_for(lambda: fetch(n1.ns, ip), 5)
    assert len(set(seen)) == 6
    # One to another: the caller is seen by its own address.
    a, b = (p.inspect(f"w{i}") for i in (0, 1))
    there = container_ips(b["State"]["Pid"])[0]
    got = subprocess.run(
        ["nsenter", f"--net=/proc/{a['State']['Pid']}/ns/net", "python3", "-c",
         "import socket,sys\nprint(socket.create_connection((sys.argv[1],80),2).recv(99).decode())",
         there], capture_output=True, text=True).stdout.strip()
    assert got.removeprefix("::ffff:") in container_ips(a["State"]["Pid"])
    p("stop", "-t", "2", "w0")
    assert fetch(n1.ns, seen[0]) is None
    p("start", "w0")
    again = container_ips(p.inspect("w0")["State"]["Pid"])
    assert wait_for(lambda: fetch(n1.ns, again[0]), 5)
    p("rm", "-f", "-t", "1", "w0", "w1", "w2")
    wait_for(lambda: nothing_left(n1), 3)


@needs("podman", "runc", "conmon", "iptables")
@pytest.mark.parametrize("chained", [False, True])
def test_podman_with_ports_and_fixed_address(world, podman, chained):
    """`-p` and `--ip` reach the plugins as capabilities, whoever of the chain has the ports."""
    n1, = world.up(10)
    p = podman(n1)
    conf = conflist(n1, *([{"type": "portmap", "capabilities": {"portMappings": True}}] if chained else []))
    conf["plugins"][0]["capabilities"] = {"ips": True, "mac": True, "portMappings": not chained}
    (p.nets / "10-fairlead.conflist").write_text(json.dumps(conf))
    p.run("w", "-p", "8080:80", "--ip", "10.244.9.9", "--mac-address", "02:aa:bb:cc:dd:ee")
    pid = p.inspect("w")["State"]["Pid"]
    assert "10.244.9.9" in container_ips(pid)
    link = subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-j", "link", "show", "eth0"],
                          capture_output=True, text=True, check=True).stdout
    assert json.loads(link)[0]["address"] == "02:aa:bb:cc:dd:ee"
    assert wait_for(lambda: fetch(world.router, n1.ip4, 8080), 5) == "::ffff:192.168.10.1"
    p("rm", "-f", "-t", "1", "w")
    wait_for(lambda: nothing_left(n1), 3)


# ---- containerd

class Containerd:
    def __init__(self, node, scratch, start, cgroup):
        self.ns, self.sock = node.ns, scratch / "ctd.sock"
        # Containers of a containerd namespace have a cgroup of its name as parent.
        self.argv = ["ctr", "-n", cgroup, "-a", self.sock]
        (scratch / "config.toml").write_text(
            'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'root = "{scratch}/root"\nstate = "{scratch}/state"\n'
            f'[grpc]\naddress = "{self.sock}"\n'
            '[plugins."io.containerd.internal.v1.opt"]\n'
            f'path = "{scratch}/opt"\n')
        self.program = start(["containerd", "--config", scratch / "config.toml"], ns=node.ns)
        wait_for(lambda: self("version", check=False), 20, "containerd answers")

    def __call__(self, *args, check=True):
        return self.ns.run(*self.argv, *args, check=check, timeout=60).stdout.strip()

    def pid(self, name):
        rows = [line.split() for line in self("task", "ls").splitlines()[1:]]
        return next((int(r[1]) for r in rows if r[0] == name and r[2] == "RUNNING"), None)


@pytest.fixture
def containerd(world, scratch, plugin_dir, start, cgroup):
    made = []

    def make(node):
        made.append(Containerd(node, scratch, start, cgroup))
        made[-1]("images", "import", "--snapshotter", "native",
                 image_archive(scratch / "web.tar"))
        return made[-1]
    confs = Path("/etc/cni/net.d")
    confs.mkdir(parents=True, exist_ok=True)
    yield make
    for c in made:
        for name in c("container", "ls", "-q", check=False).split():
            c("task", "rm", "-f", name, check=False)
            c("container", "rm", name, check=False)
    shutil.rmtree(confs)


@needs("containerd", "ctr", "runc")
def test_containerd(world, containerd, start):
    n1, = world.up(10)
    c = containerd(n1)
    Path("/etc/cni/net.d/10-fairlead.conflist").write_text(json.dumps(conflist(n1)))
    for i in range(2):
        c("run", "--cni", "-d", "--snapshotter", "native", IMAGE, f"w{i}", "/web")
    seen = []
    for i in range(2):
        ips = container_ips(wait_for(lambda: c.pid(f"w{i}"), 5))
        assert len(ips) == 2
        seen += ips
        for ip in ips:
            assert wait_for(lambda: fetch(n1.ns, ip), 5)
    assert len(set(seen)) == 4
    for i in range(2):
        c("task", "kill", "-s", "SIGTERM", f"w{i}")
        wait_for(lambda: c.pid(f"w{i}") is None, 5)
        c("task", "rm", f"w{i}", check=False)
        c("container", "rm", f"w{i}")
    # `ctr run -d` leaves DEL to whoever comes: the network's garbage collection.
    n1.cni.conf["name"] = "fairlead"
    assert n1.cni("GC", **{"cni.dev/valid-attachments": []}) == (0, None)
    wait_for(lambda: nothing_left(n1), 3)
    # In the foreground ctr calls DEL itself.
    p = start(c.argv + ["run", "--cni", "--rm", "--snapshotter", "native", IMAGE, "fg", "/web"],
              ns=n1.ns)
    ips = container_ips(wait_for(lambda: c.pid("fg"), 10))
    assert wait_for(lambda: fetch(n1.ns, ips[0]), 5)
    c("task", "kill", "-s", "SIGTERM", "fg")
    assert p.wait(20) is not None
    wait_for(lambda: nothing_left(n1), 3)
