# SPDX-License-Identifier: Apache-2.0
"""The command line on a dir: store: exit codes, messages, output. Python's json and yaml read what
it prints; NodeStates are written by hand where an agent would write them."""
import json
import os
import re
import socket
import subprocess
from pathlib import Path

import pytest
import yaml

from harness import DirStore, built, wait_for


def pod(name, ns="shop", **spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": ns},
            "spec": {"containers": [{"name": "c", "image": "x"}], **spec}}


NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}
POOL = {"apiVersion": "fairlead.io/v1", "kind": "IPPool", "metadata": {"name": "default"},
        "spec": {"cidr": "10.244.0.0/16"}}


def node_state(store, revision):
    """As an agent would report it."""
    folder = store.path / "NodeState" / "_"
    folder.mkdir(parents=True, exist_ok=True)
    tmp = folder / ".n1"
    tmp.write_text(json.dumps({"apiVersion": "fairlead.io/v1", "kind": "NodeState",
                               "metadata": {"name": "n1"}, "status": {"observedRevision": revision}}))
    tmp.rename(folder / "n1.json")


def test_apply_get_delete(store):
    r = store.apply(NODE, POOL, pod("web", nodeName="n1"), pod("db"))
    assert r.stdout.split("\n")[:4] == ["node/n1 created", "ippool/default created",
                                        "pod/shop/web created", "pod/shop/db created"]
    assert "unchanged" in store.apply(pod("db")).stdout
    assert "configured" in store.apply(pod("db", hostname="db")).stdout
    items = store.get("pods")
    assert [i["metadata"]["name"] for i in items] == ["db", "web"]
    assert store.get("pod", "shop/db")["spec"]["containers"][0]["image"] == "x"
    text = store.fairlead("get", "po", "-n", "shop", "-o", "yaml").stdout
    assert yaml.safe_load(text)["items"] == items
    lines = store.fairlead("get", "pods", "-A", "-o", "wide").stdout.splitlines()
    assert lines[0].split() == ["NAMESPACE", "NAME", "READY", "STATUS", "IPS", "NODE", "LABELS"]
    assert lines[1].split() == ["shop", "db", "no", "Pending", "-", "-", "-"]
    assert lines[0].index("NODE") == lines[2].index("n1")
    assert store.fairlead("delete", "pod", "web", "-n", "shop", "--wait=0").stdout == "pod/shop/web deleted\n"
    assert [i["metadata"]["name"] for i in store.get("pods")] == ["db"]
    store.delete(POOL, pod("db"))
    assert store.get("pods") == store.get("ippools") == []


def test_services(store):
    """The columns are kubectl's, without AGE."""
    ports = [{"name": "http", "port": 80, "nodePort": 30080}, {"name": "dns", "port": 53, "protocol": "UDP"}]
    addresses = ["10.244.0.%d" % i for i in range(1, 6)]
    store.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"},
                 "spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10", "fd00:96::10"],
                          "selector": {"app": "web"}, "externalIPs": ["192.0.2.30"], "ports": ports},
                 "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}, {"hostname": "lb.example"}]}}},
                {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "later", "namespace": "shop"},
                 "spec": {"type": "LoadBalancer", "ports": [{"port": 443}]}},
                {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "ext", "namespace": "shop"},
                 "spec": {"type": "ExternalName", "externalName": "db.example"}},
                {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                 "metadata": {"name": "web-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
                 "addressType": "IPv4", "endpoints": [{"addresses": [a]} for a in addresses],
                 "ports": [{"name": "http", "port": 8080}, {"name": "dns", "port": 5353, "protocol": "UDP"}]})
    rows = [re.split(" {2,}", l) for l in store.fairlead("get", "svc", "-n", "shop", "-o", "wide").stdout.splitlines()]
    assert rows == [["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "SELECTOR", "LABELS"],
                    ["ext", "ExternalName", "-", "db.example", "-", "-", "-"],
                    ["later", "LoadBalancer", "-", "<pending>", "443/TCP", "-", "-"],
                    ["web", "LoadBalancer", "10.96.0.10,fd00:96::10", "192.0.2.7,lb.example,192.0.2.30", "80:30080/TCP,53/UDP",
                     "app=web", "-"]]
    row = store.fairlead("get", "endpointslices", "-n", "shop").stdout.splitlines()[1]
    assert re.split(" {2,}", row) == ["web-1", "IPv4", "8080,5353", ",".join(addresses[:3]) + " + 2 more"]
    assert ",".join(addresses) in store.fairlead("get", "endpointslices", "-A", "-o", "wide").stdout
    assert store.get("service", "shop/web")["spec"]["ports"] == ports


def test_an_applied_service_keeps_what_was_allocated(store):
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"},
               "spec": {"ports": [{"port": 80}]}}
    store.apply({**service, "spec": {**service["spec"], "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"]}})
    store.apply({**service, "spec": {"ports": [{"port": 81}]}})
    spec = store.get("service", "shop/web")["spec"]
    assert (spec["clusterIP"], spec["clusterIPs"], spec["ports"]) == ("10.96.0.10", ["10.96.0.10"], [{"port": 81}])


def test_exit_codes(store, scratch):
    def run(*args, **kw):
        r = store.fairlead(*args, check=False, **kw)
        return r.returncode, r.stderr

    store.apply(NODE)
    assert run("get", "pod", "shop/none") == (1, "fairlead: Pod shop/none: does not exist\n")
    assert run("delete", "node", "none", "--wait=0")[0] == 1
    assert run("delete", "node", "none", "--wait=0", "--ignore-not-found")[0] == 0
    for usage in ([], ["get"], ["get", "unicorns"], ["apply"], ["apply", "x"], ["delete", "pod"],
                  ["get", "pods", "-A", "-n", "x"], ["get", "pods", "-o", "xml"], ["nonsense"],
                  ["get", "pods", "--nonsense"], ["get", "pod", "a/b/c"], ["version", "x"]):
        code, err = run(*usage)
        assert code == 2 and err.startswith("fairlead: ") and "--help" in err, usage
    for url, code in (("etcd:http://x", 2), ("kube:", 2), ("nonsense", 2), ("dir:relative", 2),
                      (f"dir:{scratch}/missing", 3)):
        r = subprocess.run([built("bin/fairlead"), "--store", url, "get", "pods"], capture_output=True,
                           text=True, timeout=10)
        assert (r.returncode, r.stdout) == (code, ""), r.stderr
    assert run("apply", "-f", scratch / "missing.yaml")[0] == 1


def test_network_policies_are_kept(store, scratch):
    def policy(name, **spec):
        return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": {"name": name, "namespace": "shop"}, "spec": spec}
    good = policy("db", podSelector={"matchLabels": {"app": "db"}, "matchExpressions": [
        {"key": "tier", "operator": "In", "values": ["b", "a"]}, {"key": "old", "operator": "DoesNotExist"}]},
        egress=[{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}])
    bad = policy("bad", podSelector={}, ingress=[{"ports": [{"port": 80}, {"port": 5432, "endPort": 80}]}])
    path = scratch / "p.json"
    path.write_text("\n---\n".join(json.dumps(o) for o in (good, policy("all", podSelector={}, policyTypes=["Egress"]), bad)))
    r = store.fairlead("apply", "-f", path, "--wait=0", check=False)
    assert r.returncode == 1
    assert r.stdout.splitlines() == ["networkpolicy/shop/db created", "networkpolicy/shop/all created"]
    assert "NetworkPolicy shop/bad: spec.ingress[0].ports[1].endPort: must be ≥ port (5432)" in r.stderr
    rows = [line.split() for line in store.fairlead("get", "networkpolicies", "-n", "shop").stdout.splitlines()]
    assert rows == [["NAME", "POD-SELECTOR", "TYPES"], ["all", "<all>", "Egress"],
                    ["db", "!old,app=db,tier", "in", "(a,b)", "Ingress,Egress"]]
    assert store.fairlead("get", "netpol", "db", "-n", "shop", "-o", "json").stdout.count("10.0.0.0/8") == 1


def test_secrets_are_kept_and_not_shown(store, scratch):
    """Only those of our type are kept; nobody but their owner can read the file, and no command shows what they hold."""
    ours = {"apiVersion": "v1", "kind": "Secret", "type": "fairlead.io/bgp-password",
            "metadata": {"name": "bgp", "namespace": "kube-system",
                         "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "correct horse"}},
            "data": {"rack": "aHVudGVyMg=="}, "stringData": {"mesh": "correct horse"}}
    other = {**ours, "type": "Opaque", "metadata": {"name": "token", "namespace": "kube-system"}}
    r = store.apply(ours, other)
    assert r.stdout.splitlines()[0] == "secret/kube-system/bgp created" and "Secret kube-system/token: type" in r.stderr
    path = store.path / "Secret" / "kube-system" / "bgp.json"
    assert "correct horse" in path.read_text() and path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.glob("[!.]*")] == ["bgp.json"]
    shown = store.get("secret", "kube-system/bgp")
    assert shown["data"] == {"rack": "***", "mesh": "***"} and "stringData" not in shown
    for args in (["-o", "json"], ["-o", "yaml"], ["-o", "wide"], []):
        r = store.fairlead("get", "secrets", "-A", *args)
        assert "bgp" in r.stdout and not re.search("hunter2|aHVudGVyMg|horse", r.stdout + r.stderr)
    assert r.stdout.split()[-4:] == ["kube-system", "bgp", "fairlead.io/bgp-password", "2"]
    back = scratch / "back.json"
    back.write_text(json.dumps(shown))
    r = store.fairlead("apply", "-f", back, "--wait=0", check=False)
    assert r.returncode and "Secret kube-system/bgp: data.mesh: must be" in r.stderr and "correct horse" in path.read_text()


def test_a_bad_object_does_not_stop_the_others(store, scratch):
    text = yaml.safe_dump_all([NODE, {**POOL, "spec": {"cidr": "10.244.0.1/16"}}, pod("Bad"), pod("ok"), {
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "ing"}}])
    (scratch / "in").mkdir()
    (scratch / "in/a.yaml").write_text(text)
    (scratch / "in/b.json").write_text(json.dumps(pod("b")))
    (scratch / "in/notes.txt").write_text("not a manifest")
    (scratch / "in/c.yaml").write_text("kind: [")
    r = store.fairlead("apply", "-f", scratch / "in", "--wait=0", check=False)
    assert r.returncode == 1
    assert r.stdout.splitlines() == ["node/n1 created", "pod/shop/ok created", "pod/shop/b created"]
    assert f"{scratch}/in/a.yaml:6: IPPool default: spec.cidr: host bits must be zero" in r.stderr
    assert "Pod shop/Bad: metadata.name" in r.stderr
    assert f"ignored: {scratch}/in/a.yaml:" in r.stderr and "Ingress ing" in r.stderr
    assert f"{scratch}/in/c.yaml:2: " in r.stderr


def test_two_of_one_name(store, scratch):
    """Twice the same is once; two that differ are an error that names both places."""
    path = scratch / "m.yaml"
    path.write_text("\n---\n".join(yaml.safe_dump(o) for o in (pod("a"), pod("b"), pod("a"), pod("b", hostname="x"))))
    lines = [i + 1 for i, line in enumerate(path.read_text().splitlines()) if line.startswith("apiVersion")]
    r = store.fairlead("apply", "-f", path, "--wait=0", check=False)
    assert (r.returncode, r.stdout) == (1, "pod/shop/a created\npod/shop/b created\n")
    assert r.stderr == f"fairlead: {path}:{lines[3]}: Pod shop/b: is also at {path}:{lines[1]}, and differs\n"
    assert "hostname" not in store.get("pod", "shop/b")["spec"]
    r = subprocess.run([built("bin/fairlead"), "lab", "up", "--name", "none", "-f", path], capture_output=True, text=True,
                       timeout=10)
    assert r.returncode == 2 and "is also at" in r.stderr


def test_hostile_words(store, scratch):
    """One clear error each, nothing to the terminal that it would obey, nothing outside of the store."""
    def run(*args, **kw):
        return store.fairlead(*args, check=False, **kw)

    store.apply(NODE)
    for verb in ("apply", "delete"):
        for text in ("", "# nothing\n", "---\n---\n"):
            r = run(verb, "-f", "-", "--wait=0", input=text)
            assert (r.returncode, r.stderr) == (1, "fairlead: -: no object is there\n"), (verb, text)
    for args in (["get", "pods"], ["get", "pod", "a"], ["delete", "pod", "a"]):
        for ns in ("", "../..", "Bad", "a b"):
            r = run(*args, "-n", ns)
            assert r.returncode == 2 and f'"{ns}" is no name of a namespace' in r.stderr, (args, ns)
    for name in ("\033[31m", "..", "../Node/_/n1", ""):
        r = run("get", "node", name)
        assert r.returncode == 1 and "\033" not in r.stderr and r.stderr.count("\n") == 1, r.stderr
    r = run("get", "node", "none", "-o", "json")
    assert r.returncode == 1 and json.loads(r.stdout)["items"] == []
    r = subprocess.run([built("bin/fairlead"), "--store", store.url, "get", "nodes"], stdout=open("/dev/full", "w"),
                       stderr=subprocess.PIPE, text=True, timeout=10)
    assert (r.returncode, r.stderr) == (1, "fairlead: standard output: No space left on device\n")
    r = run("lab", "probe", "--from", "a/b", "--to", "c/d", "--name", "none")
    assert (r.returncode, r.stderr) == (2, 'fairlead: no lab "none" is up\n')  # 1 would be: not connected
    r = run("lab", "wait", "--name", "none")
    assert (r.returncode, r.stderr) == (1, 'fairlead: no lab "none" is up\n')


@pytest.mark.parametrize("args", [["get", "pot"], ["delete", "pot", "x"], ["schema", "pot"]])
def test_unknown_kind(store, args):
    r = store.fairlead(*args, check=False)
    assert r.returncode == 2 and 'unknown kind "pot"; there are: ' in r.stderr
    assert "pods" in r.stderr and "ippools" in r.stderr


def test_standard_input(store):
    r = store.fairlead("apply", "-f", "-", "--wait=0", input=json.dumps(pod("a")) + json.dumps(pod("b")))
    assert r.stdout == "pod/shop/a created\npod/shop/b created\n"


def test_wait(store, start):
    """Waits for the node's revision and for the pod to be Ready; says what is missing."""
    store.apply(NODE)
    r = store.fairlead("apply", "-f", "-", "--wait=0.3", input=json.dumps(pod("a", nodeName="n1")), check=False)
    assert r.returncode == 3
    assert "pod shop/a: Pending on n1\n" in r.stderr
    r2 = store.fairlead("apply", "-f", "-", "--wait=0.1", input=json.dumps(pod("b", nodeName="n9")), check=False)
    assert r2.returncode == 3 and "pod shop/b: Pending on n9, which is no Node\n" in r2.stderr
    assert store.fairlead("delete", "pod", "shop/b", "--wait=0").returncode == 0
    assert "node n1: no agent has reported" in r.stderr
    node_state(store, 0)
    r = store.fairlead("apply", "-f", "-", "--wait=0.3", input=json.dumps(POOL), check=False)
    assert r.returncode == 3
    revision = int(store.get("ippool", "default")["metadata"]["resourceVersion"])
    assert f"node n1: is at revision 0, not {revision}" in r.stderr
    (store.path.parent / "pod.json").write_text(json.dumps(pod("a", nodeName="n1", hostname="h")))
    waiter = start([built("bin/fairlead"), "--store", store.url, "apply", "-f",
                    store.path.parent / "pod.json", "--wait=20"])
    wait_for(lambda: "configured" in waiter.log())
    ready = pod("a", nodeName="n1", hostname="h")
    ready["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    store.apply(ready)
    revision = int(store.get("pod", "shop/a")["metadata"]["resourceVersion"])
    assert waiter.alive()
    node_state(store, revision)
    wait_for(lambda: not waiter.alive(), timeout=5)
    assert waiter.proc.returncode == 0


def test_which_store(scratch, store):
    """--store, --lab, FAIRLEAD_STORE, the only running lab, in this order."""
    def run(*args, env=None):
        return subprocess.run([built("bin/fairlead"), *args], capture_output=True, text=True, timeout=10,
                              env={"PATH": os.environ["PATH"], **(env or {})})

    labs = [DirStore(scratch / f"lab{i}") for i in range(2)]
    for i, lab in enumerate(labs):
        lab.apply({**NODE, "metadata": {"name": f"lab{i}"}})
    store.apply({**NODE, "metadata": {"name": "env"}})
    env = {"FAIRLEAD_STORE": store.url}
    assert run("get", "nodes").returncode == 2
    folder = scratch.parent / "fairlead-lab"
    try:
        for i, lab in enumerate(labs):
            (folder / f"x{i}").mkdir(parents=True)
            (folder / f"x{i}/store").write_text(lab.url + "\n")
            if i == 0:
                assert "lab0" in run("get", "nodes").stdout
        r = run("get", "nodes")
        assert r.returncode == 2 and "several labs" in r.stderr
        assert "lab1" in run("--lab", "x1", "get", "nodes", env=env).stdout
        assert "lab1" in run("get", "nodes", "--lab=x1").stdout
        assert "env" in run("get", "nodes", env=env).stdout
        assert "lab0" in run("--store", labs[0].url, "get", "nodes", env=env).stdout
        assert run("--lab", "x2", "get", "nodes").returncode == 2
        assert run("--lab", "../x1", "get", "nodes").returncode == 2
    finally:
        for i in range(2):
            (folder / f"x{i}/store").unlink(missing_ok=True)


def complete(words):
    """What bash offers for the last of the words."""
    script = """
        source <("$0" completion bash)
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
        compopt() { :; }
        _fairlead; printf '%s\\n' "${COMPREPLY[@]}" """
    r = subprocess.run(["bash", "-c", script, built("bin/fairlead"), *words], capture_output=True, text=True,
                       timeout=10)
    assert r.returncode == 0 and not r.stderr, r.stderr
    return r.stdout.split()


def test_completion():
    assert "apply" in complete(["fairlead", ""])
    assert complete(["fairlead", "comp"]) == ["completion"]
    assert "pods" in complete(["fairlead", "--store", "dir:/x", "get", ""])
    assert complete(["fairlead", "get", "ippo"]) == ["ippools"]
    assert "--namespace" in complete(["fairlead", "get", "-"])
    assert complete(["fairlead", "get", "pods", "-o", ""]) == ["json", "yaml", "wide"]
    assert complete(["fairlead", "--st"]) == ["--store"]
    assert complete(["fairlead", "policy", ""]) [:1] == ["matrix"]
    assert complete(["fairlead", "policy", "test", "/proc/self/statu"]) == ["/proc/self/status"]


def test_completion_of_labs(unique):
    folder = Path("/run/fairlead-lab") / unique
    folder.mkdir(parents=True)
    try:
        for words in (["--lab"], ["lab", "down", "--name"]):
            assert unique in complete(["fairlead", *words, ""])
    finally:
        folder.rmdir()


def test_agents_that_do_not_answer(scratch):
    """Who it was: one that says nothing in time, and one that root alone may ask."""
    path = scratch / "ctl.sock"
    status = [built("bin/fairlead"), "node", "status", "--run-dir", scratch]
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path))
        s.listen()
        r = subprocess.run(status, capture_output=True, text=True, timeout=30)
        assert (r.returncode, r.stderr) == (3, f"fairlead: the agent did not answer in time ({path})\n")
        path.chmod(0o600)
        r = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *status], capture_output=True,
                           text=True, timeout=30)
        assert (r.returncode, r.stderr) == (3, f"fairlead: the agent answers root alone ({path})\n")


def test_help_everywhere():
    """Every verb explains itself with an example, and --help never needs a store."""
    def run(*args):
        r = subprocess.run([built("bin/fairlead"), *args], capture_output=True, text=True, timeout=10)
        assert r.returncode == 0, r.stderr
        return r.stdout

    def verbs(text):
        part = text.split("Verbs:\n")[1].split("\n\n")[0]
        return [line.split()[0] for line in part.splitlines()]

    def walk(path):
        text = run(*path, "--help")
        assert text == run("help", *path)
        if "\nVerbs:\n" in text:
            for v in verbs(text):
                walk([*path, v])
        else:
            assert f"Usage: fairlead {' '.join(path)}" in text
    top = run("--help")
    assert {"apply", "delete", "get", "version", "completion"} <= set(verbs(top))
    for v in verbs(top):
        walk([v])
    assert run("--version") == run("version")
    assert json.loads(run("version", "-o", "json"))["version"] == run("version").split()[1]
