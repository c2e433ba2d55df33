# SPDX-License-Identifier: Apache-2.0
"""One node: what ADD, CHECK, DEL, GC and STATUS do to the kernel."""
import ipaddress
import json
import time

import pytest

from agent_world import NETWORK, POOL4, POOL6, Cni, capture, ping, pod_object, pool, pools, wait_ping, world
from harness import wait_for


def host_links(node):
    return {l["ifname"] for l in node.ns.ip("link") if l["ifname"].startswith("fl")}


def test_add_wires_a_pod(world):
    n1, = world.up(10)
    p = world.pod(n1, "c1")

    assert ipaddress.ip_address(p.ip(4)) in ipaddress.ip_network(POOL4)
    assert ipaddress.ip_address(p.ip(6)) in ipaddress.ip_network(POOL6)
    # inside, as `ip` sees it
    link = p.ns.ip("addr", "show", "dev", "eth0")[0]
    assert link["operstate"] == "UP" and link["mtu"] == 1450
    assert {f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"] if a["scope"] == "global"} == \
        {f"{p.ip(4)}/32", f"{p.ip(6)}/128"}
    assert [r["gateway"] for r in p.ns.ip("-4", "route", "show", "default")] == ["169.254.1.1"]
    assert [r["gateway"] for r in p.ns.ip("-6", "route", "show", "default")] == ["fe80::1"]
    # on the node
    host = n1.ns.ip("link", "show", "dev", p.host_if)[0]
    assert host["address"] == "ee:ee:ee:ee:ee:ee" and "c1" in host["ifalias"]
    assert n1.routes()[p.ip(4)]["dev"] == p.host_if
    assert n1.routes(6)[p.ip(6)]["dev"] == p.host_if
    mac = next(i for i in p.result["interfaces"] if i.get("sandbox"))["mac"]
    assert mac == link["address"]
    neigh = {x["dst"]: x for x in n1.ns.ip("neigh", "show", "dev", p.host_if)}
    assert neigh[p.ip(4)]["lladdr"] == mac and "PERMANENT" in neigh[p.ip(4)]["state"]
    # and packets, both ways, both families
    for ip in p.ips:
        assert ping(n1.ns, ip)
    for ip in (n1.ip4, n1.ip6, "169.254.1.1"):
        assert ping(p.ns, ip)
    assert ping(p.ns, "fe80::1%eth0")
    assert n1.ns.sysctl("net.ipv4.ip_forward") == "1"


def test_arping_of_the_gateway_is_answered(world):
    n1, = world.up(10)
    p = world.pod(n1, "c1")
    r = p.ns.run("python3", "-c", """
import socket, struct, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
s.bind(("eth0", 0)); s.settimeout(2)
me = s.getsockname()[4]
ip = lambda x: socket.inet_aton(x)
s.send(b"\\xff" * 6 + me + struct.pack(">HHHBBH", 0x0806, 1, 0x0800, 6, 4, 1)
       + me + ip(sys.argv[1]) + b"\\0" * 6 + ip("169.254.1.1"))
while True:
    f = s.recv(100)
    if f[20:22] == b"\\0\\2" and f[28:32] == ip("169.254.1.1"):
        print(f[22:28].hex(":")); break
""", p.ip(4))
    assert r.stdout.strip() == "ee:ee:ee:ee:ee:ee"


def test_del_answers_when_everything_is_dead(world):
    n1, = world.up(10)
    p = world.pod(n1, "c1")
    assert p.delete() == (0, None)
    # at once
    assert p.ip(4) not in n1.routes() and p.ip(6) not in n1.routes(6)
    assert not any(l["ifname"] == "eth0" for l in p.ns.ip("link"))
    assert not ping(n1.ns, p.ip(4), wait=0.3)
    # within a second
    wait_for(lambda: not host_links(n1), 1.5, "the link is reaped")
    assert p.delete() == (0, None) and p.delete(netns=False) == (0, None)


def test_name_is_free_for_a_new_attachment_at_once(world):
    n1, = world.up(10)
    p = world.pod(n1, "c1")
    p.delete()
    q = world.pod(n1, "c2", ns=p.ns)
    assert q.ips != p.ips, "a freed address cools down"
    wait_for(lambda: host_links(n1) == {q.host_if}, 3, "only the new link is left")
    assert ping(n1.ns, q.ip(4))


def test_second_add_changes_nothing(world):
    n1, = world.up(10)
    p = world.pod(n1, "c1")
    before = n1.ns.ip("route", "show", "proto", "70"), p.ns.ip("addr")
    code, err = n1.cni("ADD", "c1", p.ns.path)
    assert code and err["code"] == 100
    assert (n1.ns.ip("route", "show", "proto", "70"), p.ns.ip("addr")) == before


def test_failed_add_leaves_nothing(world):
    n1, = world.up(10)
    p = world.pod(n1, "c1")
    routes, links = n1.routes(), host_links(n1)
    busy = world.netns("busy")
    busy.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "peer0")
    code, err = n1.cni("ADD", "c2", busy.path)
    assert code and "eth0" in err["msg"]
    assert busy.ip("link", "show", "dev", "eth0")
    assert n1.routes() == routes
    wait_for(lambda: host_links(n1) == links, 2, "no link left")
    q = world.pod(n1, "c2", ns=world.netns("good"))
    assert q.check() == (0, None)


@pytest.mark.parametrize("harm, word", [
    ("ip link del eth0", "eth0"),
    ("ip addr flush dev eth0", "address"),
    ("ip route del default", "route"),
    ("ip -6 route del default", "route"),
    ("ip link set eth0 down", "down"),
    ("ip link set eth0 down; ip link set eth0 address 02:11:22:33:44:55; ip link set eth0 up", "MAC"),
])
def test_check_finds_what_is_wrong_inside(world, harm, word):
    n1, = world.up(10)
    p = world.pod(n1, "c1")
    assert p.check() == (0, None)
    p.ns.sh(harm)
    code, err = p.check()
    assert code and err["code"] == 102 and word in err["msg"]


def test_gc_keeps_the_valid_and_ends_the_others(world):
    n1, = world.up(10)
    a, b = world.pod(n1, "a"), world.pod(n1, "b")
    code, out = n1.cni("GC", **{"cni.dev/valid-attachments":
                                [{"containerID": "b", "ifname": "eth0"}]})
    assert (code, out) == (0, None)
    assert host_links(n1) == {b.host_if}, "links of garbage are gone when GC answers"
    assert a.ip(4) not in n1.routes() and b.ip(4) in n1.routes()
    assert ping(n1.ns, b.ip(4))


def test_add_waits_for_its_pod_as_configured(world):
    n1, = world.up(10, pod_wait=3)
    t = time.monotonic()
    code, err = n1.cni("ADD", "c1", world.netns("p").path, args={"K8S_POD_NAMESPACE": "default", "K8S_POD_NAME": "late"})
    assert code and err["code"] == 11 and 2.9 < time.monotonic() - t < 6


def test_pod_must_be_in_the_store(world):
    n1, = world.up(10)
    ns = world.netns("p")
    t = time.monotonic()
    code, err = n1.cni("ADD", "c1", ns.path, args={"K8S_POD_NAMESPACE": "default",
                                                   "K8S_POD_NAME": "late"})
    assert code and err["code"] == 11 and 0.9 < time.monotonic() - t < 3
    # one that arrives while ADD waits
    call = n1.cni.start("ADD", "c1", ns.path, args={"K8S_POD_NAMESPACE": "default",
                                                    "K8S_POD_NAME": "late"})
    time.sleep(0.1)
    world.store.apply(pod_object("late", "n1"))
    code, out = n1.cni.finish(call)
    assert code == 0, out
    ep = wait_for(lambda: world.store.get("workloadendpoints"), 5, "the endpoint is published")[0]
    assert ep["spec"]["pod"] == "late" and ep["spec"]["node"] == "n1"
    assert n1.cni("DEL", "c1", ns.path)[0] == 0
    wait_for(lambda: not world.store.get("workloadendpoints"), 5, "the endpoint is gone")


def test_pod_must_be_the_one_that_is_started(world):
    """A Pod of the same name, not yet gone, has other labels and so other policies."""
    n1, = world.up(10)
    ns = world.netns("p")
    args = {"K8S_POD_NAMESPACE": "default", "K8S_POD_NAME": "web-0"}
    world.store.apply(pod_object("web-0", "n1"),
                      pod_object("static", "n1", annotations={"kubernetes.io/config.hash": "5eed"}))
    old = world.store.get("pods", "web-0")["metadata"]["uid"]
    code, err = n1.cni("ADD", "c1", ns.path, args={**args, "K8S_POD_UID": "new"})
    assert code and err["code"] == 11 and "another one than that of uid new" in err["msg"], err
    assert world.pod(n1, "c2", args={**args, "K8S_POD_UID": old}).ips
    assert world.pod(n1, "c3", args={**args, "K8S_POD_NAME": "static", "K8S_POD_UID": "5eed"}).ips


def test_fixed_addresses(world):
    n1, = world.up(10)
    world.store.apply(
        pod_object("a", "n1", annotations={"fairlead.io/ips": '["10.244.0.40", "fd00:244::40"]'}))
    args = {"K8S_POD_NAMESPACE": "default", "K8S_POD_NAME": "a"}
    p = world.pod(n1, "c1", args=args)
    assert p.ips == ["10.244.0.40", "fd00:244::40"]
    code, err = n1.cni("ADD", "c2", world.netns("q").path, args=args)
    assert code and err["code"] == 101 and "10.244.0.40" in err["msg"]
    q = world.pod(n1, "c3", runtimeConfig={"ips": ["10.244.0.41/16"]})
    assert q.ip(4) == "10.244.0.41"


def test_mac_and_mtu_as_asked(world):
    n1, = world.up(10)
    p = world.pod(n1, "c1", runtimeConfig={"mac": "02:aa:bb:cc:dd:ee"}, mtu=1300)
    link = p.ns.ip("link", "show", "dev", "eth0")[0]
    assert link["address"] == "02:aa:bb:cc:dd:ee" and link["mtu"] == 1300
    assert ping(n1.ns, p.ip(4)) and ping(n1.ns, p.ip(6))


def test_two_interfaces_of_one_container(world):
    n1, = world.up(10)
    a = world.pod(n1, "c1")
    b = world.pod(n1, "c1", ns=a.ns, ifname="eth1")
    assert a.ips != b.ips and {l["ifname"] for l in a.ns.ip("link")} >= {"eth0", "eth1"}
    assert b.delete() == (0, None)
    assert a.check() == (0, None) and ping(n1.ns, a.ip(4))


def test_status_tells_why_not(world):
    node = world.add_node("n1")
    wait_for(lambda: node.cni("STATUS")[1], 10)
    world.store.apply(node.object())
    code, err = node.cni("STATUS")
    assert code and err["code"] == 50
    world.store.apply(pool("tiny", "10.9.0.0/30", "Direct", blockSize=30))
    node.wait_serving()
    pods = []
    for i in range(5):
        code, out = node.cni("ADD", f"c{i}", world.netns(f"t{i}").path)
        if code:
            break
        pods.append(out["ips"][0]["address"])
    assert err["code"] == 50 and out["code"] == 101
    assert len(pods) == len(set(pods)) == 4
    code, err = node.cni("STATUS")
    assert code and err["code"] == 51


def test_fairlead_ipam_gives_addresses_only(world):
    n1, = world.up(10)
    ipam = Cni(n1.ns, n1.keeper.cni_sock, network="other", plugin="fairlead-ipam",
               type="macvlan", ipam={"type": "fairlead-ipam", "socket": str(n1.keeper.cni_sock)})
    wait_for(lambda: any(l["ifname"] == "vxlan0" for l in n1.ns.ip("link")), 5)
    names = lambda: {l["ifname"] for l in n1.ns.ip("link")}
    links = names()
    ns = world.netns("p")
    code, out = ipam("ADD", "c1", ns.path)
    assert code == 0 and not out.get("interfaces") and len(out["ips"]) == 2
    for ip in out["ips"]:
        net = ipaddress.ip_interface(ip["address"])
        assert ipaddress.ip_address(ip["gateway"]) in net.network
        assert ip["gateway"] != str(net.ip)
    assert names() == links
    assert ipam("CHECK", "c1", ns.path, prevResult=out)[0] == 0
    assert ipam("DEL", "c1", ns.path) == (0, None)
    assert ipam("CHECK", "c1", ns.path, prevResult=out)[0] != 0


def test_the_agent_can_only_do_what_it_must(world):
    n1, = world.up(10)
    status = dict(l.split(":\t", 1) for l in
                  open(f"/proc/{n1.keeper.wait_role('agent')}/status").read().splitlines() if ":\t" in l)
    names = {1: "dac_override", 12: "net_admin", 13: "net_raw", 19: "sys_ptrace", 21: "sys_admin"}
    want = sum(1 << b for b in names)
    for field in ("CapEff", "CapPrm", "CapBnd"):
        assert int(status[field], 16) & ~want == 0, field
    assert int(status["CapEff"], 16) == want
    assert (status["NoNewPrivs"].strip(), status["Seccomp"].strip(), status["Seccomp_filters"].strip()) == ("1", "2", "2")


def test_a_list_with_gaps_takes_nothing_away(world):
    """An object that cannot be read is not taken for gone, also by an agent that starts then."""
    a, b = world.up(10, 10)
    p, q = world.pod(a, "p"), world.pod(b, "q")
    wait_ping(p.ns, q.ip(4))
    block = next(f for f in world.store.path.glob("**/*.json")
                 if "ipblock" in str(f).lower() and '"n2"' in f.read_text() and ":" not in f.name
                 and f.name.startswith("10-"))
    text = block.read_text()
    block.write_text("{ not json")
    try:
        world.restart(a)
        a.wait_serving()
        time.sleep(0.5)
        assert ping(p.ns, q.ip(4)) and ping(p.ns, q.ip(6))
    finally:
        block.write_text(text)
    wait_for(lambda: a.cni("STATUS")[0] == 0, 5)
    assert ping(p.ns, q.ip(4))
