# SPDX-License-Identifier: Apache-2.0
"""Pods in a lab: what a pod sees, its containers, its end. lab-node is judged by the kernel's tables
and by what the processes inside say."""
import os
import signal
from pathlib import Path

import pytest
import yaml

from harness import wait_for

SLEEP = ["sleep", "1000000"]


def pod(name, node=None, containers=None, **spec):
    if node:
        spec["nodeName"] = node
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
            "spec": {"containers": containers or [{"name": "c", "ports": [{"containerPort": 80}]}], **spec}}


@pytest.fixture
def manifest(tmp_path):
    def write(*objects):
        path = tmp_path / "m.yaml"
        path.write_text(yaml.safe_dump_all(objects))
        return path
    return write


def apply(lab, path, *args):
    return lab.store("apply", "-f", path, *args)


def record(lab, name):
    return next((p for p in lab.status()["pods"] if p["name"] == name), None)


def get_pod(lab, name):
    import json
    return json.loads(lab.store("get", "pod", f"default/{name}", "-o", "json").stdout)


def condition(lab, name):
    return next((c for c in get_pod(lab, name)["status"].get("conditions", []) if c["type"] == "Ready"), {})


def ns_of(pid, kind):
    return os.readlink(f"/proc/{pid}/ns/{kind}")


def test_what_a_pod_sees(lab, manifest):
    a = lab("--nodes", 1, "--racks", 1, manifests=[manifest(pod("web", "n1", subdomain="sub"))])
    ip4, ip6 = record(a, "web")["ips"]
    assert a.exec("default/web", "hostname").stdout == "web\n"
    hosts = a.exec("default/web", "cat", "/etc/hosts").stdout
    assert f"{ip4}\tweb.sub.default.svc.cluster.local web\n" in hosts and f"{ip6}\tweb.sub." in hosts
    resolv = a.exec("default/web", "cat", "/etc/resolv.conf").stdout
    assert "nameserver 10.96.0.10\n" in resolv and "search default.svc.cluster.local " in resolv
    assert sorted(a.exec("default/web", "ls", "/sys/class/net").stdout.split()) == ["eth0", "lo"]
    assert "UP" in a.exec("default/web", "ip", "link", "show", "lo").stdout
    assert a.exec("default/web", "ls", "/run").stdout == ""
    assert a.exec("default/web", "sh", "-c", "exit 7", check=False).returncode == 7
    assert a.exec("default/web", "nonexistent-program", check=False).returncode == 127
    assert a.exec("default/nobody", "true", check=False).returncode == 1
    got = get_pod(a, "web")["status"]
    assert [p["ip"] for p in got["podIPs"]] == [ip4, ip6] and got["podIP"] == ip4
    assert got["phase"] == "Running" and got["hostIP"] == a.status()["nodes"][0]["addresses"][0]


def test_a_node_is_its_own(lab):
    a = lab("--nodes", 2, "--racks", 1)
    assert a.node("n1", "hostname").stdout == "n1\n"
    a.node("n1", "sh", "-c", "echo x >/etc/only-n1; echo x >/run/only-n1; echo x >/var/lib/fairlead/only-n1")
    for f in ("/etc/only-n1", "/run/only-n1", "/var/lib/fairlead/only-n1"):
        assert a.node("n1", "cat", f).stdout == "x\n"
        assert a.node("n2", "cat", f, check=False).returncode == 1
        assert not Path(f).exists()
    assert a.node("n1", "ls", "/etc/cni/net.d").stdout == "10-fairlead.conflist\n"
    assert "fairlead-cni" in a.node("n1", "ls", "/opt/cni/bin").stdout
    assert a.node("n1", "cat", "/proc/sys/net/ipv4/conf/all/rp_filter").stdout == "1\n"
    assert a.node("n1", "sh", "-c", "exit 5", check=False).returncode == 5


def test_containers_share_the_network(lab, manifest):
    """Two containers with commands and one without: one network, one host name, own processes."""
    a = lab("--nodes", 1, "--racks", 1, manifests=[manifest(pod("three", "n1", [
        {"name": "one", "command": SLEEP},
        {"name": "two", "command": ["sh", "-c", "echo $WHO >/tmp/$FILE; exec sleep 1000000"],
         "env": [{"name": "WHO", "value": "me"}, {"name": "FILE", "value": f"lab-{os.getpid()}"}]},
        {"name": "three", "ports": [{"containerPort": 80}, {"containerPort": 81, "protocol": "UDP"}]}]))])
    pause = record(a, "three")["pid"]
    inside = [p for p in Path("/proc").glob("[0-9]*") if _same_net(p, pause)]
    names = sorted((p / "comm").read_text().strip() for p in inside)
    assert names == ["lab-pause", "lab-responder", "sleep", "sleep"]
    for p in inside:
        for kind in ("net", "ipc", "uts", "mnt"):
            assert ns_of(p.name, kind) == ns_of(pause, kind)
    said = Path(f"/tmp/lab-{os.getpid()}")
    assert said.read_text() == "me\n"
    said.unlink()
    for port, proto in ((80, "tcp"), (81, "udp")):
        assert a.probe("n1", f"default/three:{port}", "--proto", proto)["results"]["connected"] == 1
    # what listens in one container is reached on the other's loopback
    assert a.exec("default/three", "curl", "-s", "-m2", "http://127.0.0.1/hostname").stdout == "three"


def _same_net(p, pid):
    try:
        return os.readlink(p / "ns/net") == ns_of(pid, "net")
    except OSError:
        return False


def test_end_of_a_pod(lab, manifest):
    path = manifest(pod("gone", "n1"))
    a = lab("--nodes", 1, "--racks", 1, manifests=[path])
    r = record(a, "gone")
    links = a.node("n1", "sh", "-c", "ls /sys/class/net").stdout.split()
    assert any(i.startswith("fl") for i in links)
    a.store("delete", "-f", path)
    wait_for(lambda: not Path(f"/proc/{r['pid']}").exists(), 5, "the pause process has ended")
    wait_for(lambda: not [i for i in a.node("n1", "ls", "/sys/class/net").stdout.split() if i.startswith("fl")],
             5, "the node's end of the wire is gone")
    assert record(a, "gone") is None
    assert a.node("n1", "ls", f"/run/fairlead-lab/{a.name}/nodes/n1/pods").stdout == ""
    # and the same name may come again
    apply(a, path, "--wait=20")
    assert a.probe("n1", "default/gone:80")["code"] == 0


def test_pause_killed(lab, manifest):
    a = lab("--nodes", 1, "--racks", 1, manifests=[manifest(pod("web", "n1"))])
    old = record(a, "web")["pid"]
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: (record(a, "web") or {"pid": old})["pid"] != old, 10, "the pod has a new sandbox")
    a("wait", "--timeout", 10)
    assert a.probe("n1", "default/web:80")["code"] == 0


def test_restart_policies(lab, manifest):
    a = lab("--nodes", 1, "--racks", 1, "--wait=0", manifests=[manifest(
        pod("done", "n1", [{"name": "c", "command": ["true"]}], restartPolicy="Never"),
        pod("failed", "n1", [{"name": "c", "command": ["sh", "-c", "exit 3"]}], restartPolicy="Never"),
        pod("tries", "n1", [{"name": "c", "command": ["sh", "-c", "exit 4"]}]))])
    wait_for(lambda: get_pod(a, "done")["status"].get("phase") == "Succeeded", 10, "the pod that ended well")
    wait_for(lambda: get_pod(a, "failed")["status"].get("phase") == "Failed", 10, "the pod that ended badly")
    def between_tries():
        ready = condition(a, "tries")
        return "exit code 4" in ready.get("message", "") and ready["status"] == "False"

    wait_for(between_tries, 10, "the pod that tries again")
    assert record(a, "done") is None and record(a, "tries")


def test_init_containers(lab, manifest, tmp_path):
    """One after the other, each until it ends well, before anything else of the pod runs."""
    log = tmp_path / "log"
    say = ["sh", "-c", f"echo $0 >>{log}; sleep 0.2; echo end of $0 >>{log}"]
    a = lab("--nodes", 1, "--racks", 1, manifests=[manifest(
        pod("p", "n1", [{"name": "c", "command": ["sh", "-c", f"echo main >>{log}; exec sleep 1000000"]}],
            initContainers=[{"name": "i1", "command": say, "args": ["one"]}, {"name": "image-only"},
                            {"name": "i2", "command": ["sh", "-c", f"test -e {log}.x || {{ touch {log}.x; exit 1; }};"
                                                       f" echo two >>{log}"]}]))])
    wait_for(lambda: "main" in log.read_text(), 5, "the container runs")
    assert log.read_text().splitlines() == ["one", "end of one", "two", "main"]
    apply(a, manifest(pod("never", "n1", restartPolicy="Never",
                          initContainers=[{"name": "i", "command": ["false"]}])), "--wait=0")
    wait_for(lambda: get_pod(a, "never")["status"].get("phase") == "Failed", 10, "the pod has failed")


def test_host_network(lab, manifest):
    a = lab("--nodes", 2, "--racks", 1, manifests=[manifest(pod("host", "n2", hostNetwork=True), pod("web", "n1"))])
    node = a.status()["nodes"][1]
    host = record(a, "host")
    assert host["ips"] == node["addresses"]
    assert ns_of(host["pid"], "net") == ns_of(node["pid"], "net")
    seen = a.probe("default/web", "n2:80")
    assert seen["code"] == 0 and list(seen["servers"]) == [f"default/host@{node['addresses'][0]}:80"]


def test_network_that_fails_is_told_and_tried_again(lab, manifest):
    """A configuration of the lab's own choosing: a plugin that is not there, then one that is."""
    a = lab("--nodes", 1, "--racks", 1)
    conf = Path(f"/run/fairlead-lab/{a.name}/nodes/n1/cni.d/00-broken.conflist")
    conf.write_text('{"cniVersion": "1.0.0", "name": "x", "plugins": [{"type": "no-such-plugin"}]}')
    apply(a, manifest(pod("late", "n1")), "--wait=0")
    wait_for(lambda: "no-such-plugin" in condition(a, "late").get("message", ""), 10, "the reason is in the status")
    assert get_pod(a, "late")["status"]["phase"] == "Pending"
    conf.unlink()
    a("wait", "--timeout", 15)
    assert a.probe("n1", "default/late:80")["code"] == 0


def test_del_is_repeated_until_it_works(lab, manifest):
    """A pod deleted while nobody answers on the agent's socket: nothing of it is left in the end."""
    path = manifest(pod("web", "n1"))
    a = lab("--nodes", 1, "--racks", 1, manifests=[path])
    sock = Path(a.status()["nodes"][0]["run"]) / "cni.sock"
    pods = Path(f"/run/fairlead-lab/{a.name}/nodes/n1/pods")
    away = sock.rename(sock.with_suffix(".away"))
    a.store("delete", "--wait=0", "-f", path)
    log = Path(f"/run/fairlead-lab/{a.name}/nodes/n1/log/lab-node.log")
    wait_for(lambda: log.read_text().count("CNI DEL") > 1, 10, "DEL is tried again")
    assert list(pods.iterdir())
    away.rename(sock)
    wait_for(lambda: not list(pods.iterdir()), 10, "the pod is gone")
    wait_for(lambda: "web" not in a.store("get", "workloadendpoints", "-A").stdout, 10, "the agent has forgotten it")


def test_a_killed_lab_node_takes_over(lab, manifest):
    """Deleted while nobody looks, half made while killed: both are put right by the next one."""
    path = manifest(*[pod(f"p{i}", "n1") for i in range(6)])
    a = lab("--nodes", 1, "--racks", 1, "--wait=0", manifests=[path])

    def node_pid():
        out = a.node("n1", "pgrep", "-x", "lab-node", check=False).stdout.split()
        # pgrep sees the whole machine's processes: the one with the node's network is ours
        pause = a.status()["nodes"][0]["pid"]
        return next((int(p) for p in out if _same_net(Path("/proc") / p, pause)), None)
    first = wait_for(node_pid, 10, "lab-node runs")
    wait_for(lambda: list(Path(f"/run/fairlead-lab/{a.name}/nodes/n1/pods").glob("*/record")), 10, "a pod begins")
    os.kill(first, signal.SIGKILL)
    second = wait_for(lambda: node_pid() not in (first, None) and node_pid(), 10, "lab-node is back")
    a("wait", "--timeout", 30)
    assert len(a.status()["pods"]) == 6
    os.kill(second, signal.SIGSTOP)
    a.store("delete", "--wait=0", "pod", "default/p0")
    os.kill(second, signal.SIGKILL)
    wait_for(lambda: record(a, "p0") is None, 10, "the deleted pod is gone")
    assert len(a.status()["pods"]) == 5
