# SPDX-License-Identifier: Apache-2.0
"""Debian 12's own kernel, in a virtual machine: the lab comes up, connects and goes away, and the tests of what
talks to the kernel pass there too."""
import difflib
import json
import re

import pytest

import vm
from harness import OUT

pytestmark = [pytest.mark.all_only("boots virtual machines"), pytest.mark.alone]

# The guest's root namespaces, as text: what a lab must not change. Of processes the paths of their programs.
STATE = r"""
state() {
	for what in "-d link" "-4 addr" "-6 addr" "-4 rule" "-6 rule" "netns list" "neigh show nud permanent" \
		"-4 route show table all" "-6 route show table all"; do
		ip -o $what
	done | sed 's/ qlen .*//; s/ valid_lft .*//'
	nft list ruleset
	cat /proc/mounts
	find /sys/fs/cgroup /sys/fs/bpf -type d
	find /run /etc /opt /var
	for p in /proc/[0-9]*; do readlink $p/exe || true; done >/tmp/programs # no pipe: sort is one too
	sort /tmp/programs
	grep -r . /proc/sys/net 2>/dev/null | grep -v nf_conntrack_count | sed 's/^/sysctl /'
}
"""

SCRIPT = STATE + r"""
export PATH=/opt/fairlead/bin:$PATH
echo "== before"; state
echo "== up"
fairlead lab up --name x --nodes 3 --racks 2 --wait=150 $LAB || { tail /run/fairlead-lab/x/lab.log /run/fairlead-lab/x/nodes/*/log/*; exit 1; }
echo "== during"; state
fairlead lab status --name x -o json >/tmp/status
echo "== status"; cat /tmp/status
echo "== matrix"; fairlead lab matrix --name x --all --timeout 8000 -o json
echo "== links"; fairlead lab node --name x n1 -- ip -j -d link
echo "== ruleset"; fairlead lab node --name x n1 -- nft list ruleset
echo "== ping"
from=shop/$(grep -o 'web-[a-z0-9-]*' /tmp/status | head -n 1)
for to in $(grep -oE '"(10.244|fd00:10:244:)[0-9a-f.:]*"' /tmp/status | tr -d '"'); do
	fairlead lab exec --name x $from -- ping -n -q -c 1 -W 5 $to >/dev/null && echo "$to answers" || echo "$to is silent"
done
echo "== down"; fairlead lab down --name x
rm /tmp/status
echo "== after"; state
"""

def changes(before, after):
    """A diff; sysctls that came with a module count no more than in tools/root-state."""
    known = {line.partition(":")[0] for line in before if line.startswith("sysctl ")}
    after = [line for line in after if not line.startswith("sysctl ") or line.partition(":")[0] in known]
    return list(difflib.unified_diff(before, after, "before", "after", lineterm="", n=0))


@pytest.mark.parametrize("mode, attachment", [("vxlan", "routed"), ("direct", "routed"), ("vxlan", "bridge")])
@vm.needed
def test_lab(mode, attachment):
    r = vm.run(f'LAB="--mode {mode} --attachment {attachment}"\n{SCRIPT}', programs=["nft", "ping"], files={"/opt/fairlead": OUT})
    assert r.code == 0, r.output[-5000:]
    part = r.parts()
    assert "all pods ready" in part["up"]

    rows = json.loads(part["matrix"])["rows"]
    assert {(r["family"], r["proto"]) for r in rows} >= {(4, "tcp"), (6, "tcp")}
    inward = [r for r in rows if r["from"] == "outside" and "/" in r["to"]]
    among = [r for r in rows if r not in inward]
    assert len(among) > 200 and {r["result"] for r in among} == {"connected"}
    assert {r["result"] for r in inward} == {"connected" if mode == "direct" else "timeout"}

    ips = [ip for p in json.loads(part["status"])["pods"] for ip in p["ips"]]
    assert len(ips) == 12 and sorted(part["ping"].splitlines()) == sorted(f"{ip} answers" for ip in ips)
    tunnels = [link for link in json.loads(part["links"]) if link.get("linkinfo", {}).get("info_kind") == "vxlan"]
    assert [t["ifname"] for t in tunnels] == (["vxlan0"] if mode == "vxlan" else [])
    assert "table inet fairlead" in part["ruleset"]

    before, during, after = (part[name].splitlines() for name in ("before", "during", "after"))
    assert "/opt/fairlead/libexec/fairlead/lab-supervisor" in "\n".join(changes(before, during))
    assert not changes(before, after), "\n".join(changes(before, after))


@vm.needed
def test_what_talks_to_the_kernel():
    """The unit tests of sys/ and of the filters, on this kernel."""
    tests = ["test_sys_net", "test_sys_priv", "test_keeper_filter", "test_role_filter"]
    folder = OUT.parent / "tests/unit"
    r = vm.run("rc=0; for t in /tests/*; do $t || rc=1; done; exit $rc", programs=["bridge", "sysctl", "echo"],
               files={f"/tests/{t}": folder / t for t in tests})
    assert r.code == 0, r.output[-5000:]
    assert len(re.findall(r"^\[==========\] Running", r.output, re.M)) == len(tests)
