# SPDX-License-Identifier: Apache-2.0
"""The independent CNI cases (suites/cni_cases.py) with everything they offer, against
fairlead-cni as the plugin that makes the interface, in both attachments, and as IPAM plugin."""
import json
import subprocess
import sys

import pytest

from harness import built

# Cases that cannot be asked of us, with the reason. None is.
NOT_OURS = {"interface": {}, "ipam": {}}

POOLS = {
    "interface": [("p4", "10.77.0.0/22", 26), ("p6", "fd00:77::/112", 122)],
    # So small that the cases reach its end.
    "ipam": [("p4", "10.80.0.0/29", 29)],
}

# The node: an uplink, its other end, and fairleadd, in the namespace that the cases use as host.
SETUP = """\
#!/bin/sh -eu
# node start|stop|end
dir=$(dirname "$0")
ready() {
    echo '{"cniVersion":"1.1.0","name":"net","socket":"'"$dir"'/run/cni.sock"}' |
        CNI_COMMAND=STATUS "$PLUGIN" >"$dir/status"
}
case $1 in
setup)
    ip netns identify $$ >"$dir/netns"
    ip link add eth0 type veth peer name fabric
    ip addr add 192.0.2.1/24 dev eth0
    ip addr add 2001:db8::1/64 dev eth0 nodad
    ip link set eth0 up
    ip link set fabric up
    "$0" start
    ;;
start)
    "$FAIRLEADD" --config "$dir/fairleadd.conf" >>"$dir/log" 2>&1 &
    echo $! >"$dir/pid"
    for i in $(seq 200); do
        ready && exit 0
        sleep 0.05
    done
    cat "$dir/status" "$dir/log" >&2
    exit 1
    ;;
stop)
    pid=$(cat "$dir/pid")
    kill "$pid"
    while [ -d /proc/$pid ] && ! grep -q 'State:.Z' /proc/$pid/status; do sleep 0.02; done
    ;;
restart)
    exec ip netns exec "$(cat "$dir/netns")" "$0" start
    ;;
esac
"""


def prepare(scratch, store, role):
    base = scratch / "node"
    for name in ("run", "state"):
        (base / name).mkdir(parents=True)
    store.apply(
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"},
         "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "ns", "name": "p"},
         "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "none"}]}},
        *[{"apiVersion": "fairlead.io/v1", "kind": "IPPool", "metadata": {"name": name},
           "spec": {"cidr": cidr, "blockSize": size, "mode": "Direct"}}
          for name, cidr, size in POOLS[role]])
    (base / "fairleadd.conf").write_text(
        f"node n1\nstore {store.url}\nrun-dir {base}/run\nstate-dir {base}/state\n"
        "roles agent watch\nuplink eth0\n")
    script = base / "node.sh"
    script.write_text(SETUP.replace("$PLUGIN", built("bin/fairlead-cni"))
                      .replace("$FAIRLEADD", built("bin/fairleadd")))
    script.chmod(0o755)
    return base, script


@pytest.mark.parametrize("role,attachment", [("interface", "routed"), ("interface", "bridge"),
                                             ("ipam", None)])
def test_cases(suites, scratch, store, role, attachment):
    base, script = prepare(scratch, store, role)
    plugin = built("bin/fairlead-ipam" if role == "ipam" else "bin/fairlead-cni")
    conf = {"name": "net", "type": "fairlead-cni", "socket": f"{base}/run/cni.sock", "timeout": 10}
    if role == "ipam":
        conf |= {"type": "fairlead-ipam", "ipam": {"type": "fairlead-ipam"}}
    elif attachment == "bridge":
        conf |= {"attachment": "bridge", "bridge": "flbr-suite"}
    (base / "conf.json").write_text(json.dumps(conf))
    r = subprocess.run(
        [sys.executable, "-B", suites / "cni_cases.py", "--plugin", plugin, "--role", role,
         "--conf", base / "conf.json", "--slow", "--json", base / "results.json",
         "--setup-cmd", f"{script} setup", "--teardown-cmd", f"{script} stop",
         "--break-cmd", f"{script} stop", "--unbreak-cmd", f"{script} restart"],
        capture_output=True, text=True, timeout=600)
    said = f"{r.stdout}{r.stderr}\n{(base / 'log').read_text()[-5000:]}"
    assert (base / "results.json").exists(), said
    results = json.loads((base / "results.json").read_text())["results"]
    bad = [x for x in results if x["result"] != "pass" and x["id"] not in NOT_OURS[role]]
    assert not bad, said
    assert r.returncode == 0, said
    # None was left out in silence.
    cases = json.loads((suites / "cni/cases.json").read_text())["cases"]
    asked = {c["id"] for c in cases if role in c["role"]}
    assert {x["id"] for x in results} == asked
    print(f"{len(results)} passed, {len(asked)} cases")
