# SPDX-License-Identifier: Apache-2.0
"""What the agent finds of what others did to its rulesets: told by a notice, told by nobody, and
while it was away. (How quickly: test_agent_guard.py; what it costs: ./dev bench services --parts audit.)"""
import json
import os
import signal
from pathlib import Path

import pytest

from agent_world import world  # noqa: F401
from harness import needs, wait_for

pytestmark = needs("nft")

FRONTS = [f"10.96.7.{i}" for i in range(1, 5)]


def service(i, front):
    meta = {"name": f"s{i}", "namespace": "default"}
    port = {"name": "web", "protocol": "TCP", "port": 80}
    return [{"apiVersion": "v1", "kind": "Service", "metadata": meta,
             "spec": {"type": "ClusterIP", "clusterIP": front, "clusterIPs": [front], "ipFamilies": ["IPv4"],
                      "ports": [port]}},
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
             "metadata": {**meta, "labels": {"kubernetes.io/service-name": f"s{i}"}},
             "addressType": "IPv4", "ports": [{**port, "port": 8080}],
             "endpoints": [{"addresses": [f"10.9.{i}.{k}"], "conditions": {"ready": True}}
                           for k in range(1, 9)]}]


def elements(node):
    """What all sets and maps of ours have, without what packets count."""
    t = json.loads(node.ns.run("nft", "-j", "list", "table", "inet", "fairlead").stdout)["nftables"]
    out = {}
    for kind in ("set", "map"):
        for s in (o[kind] for o in t if kind in o):
            for e in s.get("elem", []):
                key = e[0] if isinstance(e, list) else e
                if isinstance(key, dict) and "elem" in key:
                    key["elem"].pop("counter", None)
            text = json.dumps(sorted(s.get("elem", []), key=json.dumps))
            out[s["name"]] = text
    return out


@pytest.fixture
def node(world):  # noqa: F811
    n1, = world.up(10)
    world.store.apply(*[o for i, front in enumerate(FRONTS) for o in service(i, front)])
    wait_for(lambda: all(f in n1.ns.ruleset() for f in FRONTS), 10, "Services are in the kernel")
    n1.pod = world.pod(n1, "p")
    n1.wanted = elements(n1)
    return n1


# Something that is missing, something too many, and something else instead.
FRONT = "delete element inet fairlead vip4 { tcp . 10.96.7.1 . 80 }\n"
HARM = """
delete element inet fairlead cluster_ips4 { 10.96.7.2 }
add element inet fairlead cluster_ips4 { 10.96.200.200 }
add element inet fairlead hairpin6 { fd00::1 . fd00::1 }
delete element inet fairlead masq4 { tcp . 10.96.7.3 . 80 }
add element inet fairlead masq4 { tcp . 10.96.7.3 . 80 : 0:1 }
"""


def test_what_a_notice_names_is_repaired(node):
    node.ns.nft(FRONT + HARM)
    wait_for(lambda: elements(node) == node.wanted, 5, "all is as it was")
    log = node.keeper.program.log()
    for what in ("missing element inet fairlead vip4", "changed element inet fairlead masq4",
                 "extra element inet fairlead hairpin6", "extra element inet fairlead cluster_ips4"):
        assert f"audit: nftables: {what}" in log
    assert "tcp4_endpoints" not in log, "what is right is no finding"


def test_what_no_notice_tells_is_found(node):
    """While the agent does not read, more notices come than its socket takes: what is harmed
    after that, it is never told."""
    agent = node.keeper.wait_role("agent")
    os.kill(agent, signal.SIGSTOP)
    many = ", ".join(f"10.{i // 250}.{i % 250}.1" for i in range(20000))
    for _ in range(2):
        node.ns.nft(f"table inet other {{\n set s {{\n type ipv4_addr\n elements = {{ {many} }}\n }}\n}}\n"
                    "delete table inet other\n")
    node.ns.nft(FRONT + HARM)
    assert elements(node) != node.wanted
    os.kill(agent, signal.SIGCONT)
    wait_for(lambda: elements(node) == node.wanted, 5, "all is as it was")
    assert "nft changed table fairlead" not in node.keeper.program.log(), "nobody told it"
    assert node.pod.check() == (0, None)


def test_what_happened_while_no_agent_ran_is_undone(node):
    """(A front that is gone would get another group: a new agent knows them by their fronts.)"""
    keeper = node.keeper.program.pid
    os.kill(keeper, signal.SIGSTOP)  # it starts no other agent
    try:
        node.kill_agent()
        node.ns.nft(HARM)
        assert elements(node) != node.wanted
    finally:
        os.kill(keeper, signal.SIGCONT)
    node.wait_serving()
    wait_for(lambda: elements(node) == node.wanted, 5, "all is as it was")


def test_check_tells_what_the_pod_misses(node):
    """CHECK looks at the pod's own elements. Here it waits when the harm is done, so it comes before
    the audit, which gives others a moment to finish."""
    agent, pod = node.keeper.wait_role("agent"), node.pod
    os.kill(agent, signal.SIGSTOP)
    try:
        node.ns.nft(f'delete element inet fairlead pod_src4 {{ "{pod.host_if}" . {pod.ip(4)} }}')
        call = pod.cni.start("CHECK", pod.container, pod.ns.path, pod.ifname, prevResult=pod.result)
        fds = Path(f"/proc/{call.pid}/fd")
        wait_for(lambda: any("socket" in os.readlink(fd) for fd in fds.iterdir()), 5, "it asks")
    finally:
        os.kill(agent, signal.SIGCONT)
    code, out = pod.cni.finish(call)
    assert code and "missing element inet fairlead pod_src4" in json.dumps(out), out
    wait_for(lambda: elements(node) == node.wanted, 5, "it is repaired")
    assert pod.check() == (0, None)
