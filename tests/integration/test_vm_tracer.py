# SPDX-License-Identifier: Apache-2.0
"""A tracer's programs on Debian 12's own kernel, whose structures and tracepoints are not those of the kernel under the other
tests: an echo through a router and back, then one that a rule drops, then one for which the
connection table has no room."""
import json
from pathlib import Path

import pytest

import vm
from harness import built

pytestmark = [pytest.mark.all_only("boots virtual machines"), pytest.mark.alone]

NONCE = 0x0102030405060708
SCRIPT = rf"""
modprobe -a veth nf_tables nft_ct 2>/dev/null || true
ip() {{ /usr/sbin/ip "$@"; }}
for n in c r s; do ip netns add $n; ip -n $n link set lo up; done
ip -n c link add name eth0 type veth peer name toc netns r
ip -n s link add name eth0 type veth peer name tos netns r
ip -n c addr add 10.1.0.2/24 dev eth0; ip -n r addr add 10.1.0.1/24 dev toc
ip -n s addr add 10.2.0.2/24 dev eth0; ip -n r addr add 10.2.0.1/24 dev tos
for x in "c eth0" "s eth0" "r toc" "r tos"; do set -- $x; ip -n $1 link set $2 up; done
ip -n c route add default via 10.1.0.1; ip -n s route add default via 10.2.0.1
nsenter --net=/run/netns/r sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
echo_to() {{ nsenter --net=/run/netns/c /usr/bin/ping -n -c 1 -W "$1" -s 8 -p {NONCE:016x} 10.2.0.2 >/dev/null 2>&1 || true; }}
echo_to 10
follow() {{
	mkfifo /tmp/end
	/opt/tracer 1 {NONCE} /run/netns/c +/run/netns/r /run/netns/s </tmp/end >/tmp/told &
	exec 9>/tmp/end
	until grep -q ready /tmp/told; do kill -0 $!; sleep 0.1; done
	echo_to "$1"
	exec 9>&-
	wait $!
	cat /tmp/told
	rm /tmp/end
}}
nsenter --net=/run/netns/r nft 'add table ip t; add chain ip t c {{ type filter hook forward priority 0; }}'
echo "== through"; follow 10
nsenter --net=/run/netns/r nft 'add rule ip t c icmp type echo-request drop'
echo "== dropped"; follow 2
nsenter --net=/run/netns/r nft 'flush chain ip t c; add rule ip t c ct state new accept'
echo_to 10  # has an entry now
echo 1 > /proc/sys/net/netfilter/nf_conntrack_max
echo "== full"; follow 2
"""


def events(part):
    ready, *told, last = part.splitlines()
    assert ready.split()[:2] == ["ready", "5"], ready
    assert json.loads(last) == {"lost": 0}
    return [json.loads(x) for x in told]


def way(seen, kind):
    return [(x["space"], x["kind"], x["device"]) for x in seen if x["kind"] in ("in", "out") and x["type"] == kind]


@vm.needed
def test_debian_kernel():
    helper = Path(built("../tests/integration/helpers/tracer"))
    r = vm.run(SCRIPT, programs=["nft", "ping", "nsenter"], files={"/opt/tracer": helper})
    assert r.code == 0, r.output
    parts = r.parts()
    through = events(parts["through"])
    assert way(through, 8) == [(0, "out", "eth0"), (1, "in", "toc"), (1, "out", "tos"), (2, "in", "eth0")]
    assert way(through, 0) == [(2, "out", "eth0"), (1, "in", "tos"), (1, "out", "toc"), (0, "in", "eth0")]
    assert len({x["packet"] for x in through if x["kind"] in ("in", "out") and x["type"] == 8}) == 1
    route, = (x for x in through if x["kind"] == "route" and x["space"] == 1 and x["flow"].split()[3] == "10.2.0.2")
    assert (route["oif"] > 1, route["via"], route["error"]) == (True, "", 0)
    assert [x for x in through if x["kind"] == "rule" and x["chain"] == "prerouting"]
    dropped = events(parts["dropped"])
    assert way(dropped, 8) == [(0, "out", "eth0"), (1, "in", "toc")]
    drop, = (x for x in dropped if x["kind"] == "drop")
    assert (drop["space"], drop["reason"], drop["place"].split("+")[0]) == (1, "NETFILTER_DROP", "nft_do_chain")
    full = events(parts["full"])
    assert way(full, 8) == [(0, "out", "eth0"), (1, "in", "toc")]
    drop, = (x for x in full if x["kind"] == "drop")
    assert (drop["space"], drop["reason"], drop["place"].split("+")[0]) == (1, "NETFILTER_DROP", "nf_hook_slow")  # advice.c knows it
