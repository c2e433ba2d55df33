# SPDX-License-Identifier: Apache-2.0
"""Our programs of IP-in-IP against the ipip driver of Debian 12's kernel, in one machine: node a has an ifb with the
programs and role bgp, node b the driver's own tunl0 and BIRD, with a router between. Where a's pods are, b knows from BIRD alone.
Pods' packets go both ways; TCP's in aggregates. And a lab there, whose agents use the driver."""
import json
from pathlib import Path

import pytest

import vm
from bgp_world import configuration, node
from harness import OUT, built

pytestmark = pytest.mark.alone

SCRIPT = """
modprobe -a veth ifb ipip cls_bpf sch_ingress
ip() { /usr/sbin/ip "$@"; }
on() { n=$1; shift; nsenter --net=/run/netns/$n "$@"; }
for n in pa a r b pb; do ip netns add $n; ip -n $n link set lo up; done
wire() { ip -n $1 link add name $2 type veth peer name $4 netns $3; ip -n $1 link set $2 up; ip -n $3 link set $4 up; }
wire pa eth0 a pod; wire a eth0 r toa; wire r tob b eth0; wire b pod pb eth0
ip -n a addr add 192.168.1.1/24 dev eth0; ip -n r addr add 192.168.1.254/24 dev toa
ip -n b addr add 192.168.2.1/24 dev eth0; ip -n r addr add 192.168.2.254/24 dev tob
ip -n a route add default via 192.168.1.254; ip -n b route add default via 192.168.2.254
ip -n pa addr add 10.1.0.2/24 dev eth0; ip -n a addr add 10.1.0.1/24 dev pod; ip -n pa route add default via 10.1.0.1
ip -n pb addr add 10.2.0.2/24 dev eth0; ip -n b addr add 10.2.0.1/24 dev pod; ip -n pb route add default via 10.2.0.1
for n in a r b; do on $n sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'; done
echo "== driver"
on a /opt/ipip driver
on b ip link show tunl0 | grep -o 'link/ipip'
on a ip link set tunl0 name other
ip -n a link add name tunl0 address 02:00:00:00:00:0a mtu 1480 type ifb; ip -n a link set tunl0 up
ip -n b link set tunl0 mtu 1480 up
ip -n a route add 10.2.0.0/24 via 192.168.2.1 dev tunl0 onlink
echo "== learned"
fairlead="/opt/fairlead/bin/fairlead --store dir:/store"
$fairlead apply --wait=0 -f /objects
on a /opt/fairlead/bin/fairleadd --config /conf >/tmp/log 2>&1 &
on b bird -f -c /bird.conf -s /run/bird.ctl >/tmp/bird 2>&1 &
n=0
until birdc -s /run/bird.ctl show route all >/tmp/routes 2>&1 && grep -q 'BGP.next_hop: 192.168.1.1' /tmp/routes; do
	n=$((n + 1)); [ $n -lt 300 ] || { cat /tmp/routes /tmp/log; exit 1; }; sleep 0.1
done
cat /tmp/routes
learned=$(grep -o '^10[0-9./]*' /tmp/routes)
ip -n b route add $learned via 192.168.1.1 dev tunl0 onlink
echo "== before"
on pa /usr/bin/ping -n -c 1 -W 1 10.2.0.2 || true
on a /opt/ipip eth0 192.168.1.1 192.168.2.1
echo "== there"
on pa /usr/bin/ping -n -c 3 -i 0.2 -W 10 10.2.0.2
on pa /usr/bin/ping -n -c 1 -W 10 -s 1452 -M do 10.2.0.2
echo "== back"
on pb /usr/bin/ping -n -c 3 -i 0.2 -W 10 10.1.0.2
head -c 1000000 /dev/urandom >/tmp/sent
send() {
	{ sleep 30 | on $2 nc -l -p $4 >/tmp/got; } >/dev/null 2>&1 &
	sleep 1
	{ { cat /tmp/sent; sleep 30; } | on $1 nc $3 $4; } >/dev/null 2>&1 &
	n=0
	until cmp -s /tmp/sent /tmp/got; do n=$((n + 1)); [ $n -lt 300 ]; sleep 0.1; done
	echo same
}
echo "== bytes"
send pa pb 10.2.0.2 98
send pb pa 10.1.0.2 99
echo "== mtu"
ip -n r link set tob mtu 1300; ip -n b link set eth0 mtu 1300
on pa /usr/bin/ping -n -c 1 -W 2 -s 1400 -M do 10.2.0.2 || true
ip -n pa route get 10.2.0.2 | grep -o 'mtu 1280'
killall fairleadd bird
"""


BIRD = """router id 192.168.2.1;
protocol device {}
protocol bgp a { local 192.168.2.1 as 65000; neighbor 192.168.1.1 as 65000; multihop; connect retry time 1; connect delay time 1;
	ipv4 { import all; export none; }; }
"""
CONF = """node a
store dir:/store
run-dir /run/a
state-dir /var/lib/a
roles bgp
"""
OBJECTS = [node("a", "192.168.1.1"), configuration(networks=["10.1.0.0/24"]),
           {"apiVersion": "fairlead.io/v1", "kind": "BGPPeer", "metadata": {"name": "b"}, "spec": {"peerIP": "192.168.2.1", "asNumber": 65000}}]


@vm.needed
def test_against_the_driver():
    helper = Path(built("../tests/integration/helpers/ipip"))
    r = vm.run(SCRIPT, programs=["ping", "nsenter", "bird", "birdc"], files={
        "/opt/ipip": helper, "/opt/fairlead": OUT, "/conf": CONF, "/bird.conf": BIRD,
        "/objects": json.dumps({"apiVersion": "v1", "kind": "List", "items": OBJECTS})})
    assert r.code == 0, (r.output, r.console[-2000:])
    parts = r.parts()
    assert parts["driver"].split() == ["driver", "1", "link/ipip"], parts
    assert parts["learned"].splitlines()[-1].strip() and "10.1.0.0/24" in parts["learned"], parts
    assert "1 packets transmitted, 0 received" in parts["before"]  # without programs nothing leaves
    assert parts["there"].count(" 0% packet loss") == 2 and " 0% packet loss" in parts["back"], parts
    assert parts["bytes"].split() == ["same", "same"]
    assert "mtu 1280" in parts["mtu"]  # of the router's 1300


LAB = """
modprobe ipip
export PATH=/opt/fairlead/bin:$PATH
fairlead lab up --name x --nodes 2 --racks 2 --mode ipip --wait=150 -f /pods || { tail /run/fairlead-lab/x/lab.log /run/fairlead-lab/x/nodes/*/log/*; exit 1; }
echo "== status"; fairlead node status --lab x -o json
echo "== link"; fairlead lab node --name x n1 -- ip -j -d link show tunl0
echo "== routes"; fairlead lab node --name x n1 -- ip -j route show dev tunl0
echo "== guard"; fairlead lab node --name x n1 -- tc filter show dev tunl0 egress; fairlead lab node --name x n1 -- tc filter show dev eth0 ingress
echo "== matrix"; fairlead lab matrix --name x --timeout 8000 -o json
fairlead lab down --name x
"""
PODS = [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": n, "namespace": "plain"},
         "spec": {"nodeName": n, "containers": [{"name": "c", "image": "none", "ports": [{"containerPort": 80}]}]}} for n in ("n1", "n2")]


@pytest.mark.all_only("boots virtual machines")
@vm.needed
def test_nodes_use_the_driver():
    """A lab's agents take the kernel's tunl0 where there is one, with only the guard of ours on the uplink; all pods reach each other."""
    r = vm.run(LAB, programs=["nft", "tc"], files={
        "/opt/fairlead": OUT, "/pods": json.dumps({"apiVersion": "v1", "kind": "List", "items": PODS})})
    assert r.code == 0, (r.output[-5000:], r.console[-2000:])
    parts = r.parts()
    assert [n["ipip"] for n in json.loads(parts["status"])["nodes"]] == ["driver", "driver"], parts["status"]
    tunl0, = json.loads(parts["link"])
    assert tunl0["link_type"] == "ipip" and "UP" in tunl0["flags"] and tunl0["mtu"] == 1480, tunl0
    assert [route["dst"] for route in json.loads(parts["routes"])], parts["routes"]
    assert parts["guard"].count("fairlead-ipip") == 1, parts["guard"]
    rows = json.loads(parts["matrix"])["rows"]
    among = {(x["from"], x["to"], x["family"]): x["result"] for x in rows if "/" in x["from"] and "/" in x["to"]}
    assert {("plain/n1", "plain/n2", f) for f in (4, 6)} | {("plain/n2", "plain/n1", f) for f in (4, 6)} <= set(among)
    assert set(among.values()) == {"connected"}, rows
