# SPDX-License-Identifier: Apache-2.0
"""ICMP errors about translated connections: they come back as errors about the Service, or the client's
kernel would not know whom they are for."""
import json
import subprocess
from pathlib import Path

import pytest
import yaml

from harness import wait_for

CLUSTER = {4: "10.96.0.7", 6: "fd00:10:96::7"}
PATH_MTU = 1300
OBJECTS = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}},
    *({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "x", "labels": {"app": name}},
       "spec": {"nodeName": node, "containers": [{"name": "c", "ports": [{"containerPort": 8080, "protocol": "UDP"}]}]}}
      for name, node in (("client", "n1"), ("server", "n2"))),
    {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "server", "namespace": "x"},
     "spec": {"type": "NodePort", "selector": {"app": "server"}, "ipFamilyPolicy": "RequireDualStack",
              "clusterIPs": [*CLUSTER.values()], "ports": [
                  {"name": "open", "protocol": "UDP", "port": 80, "targetPort": 8080, "nodePort": 30080},
                  {"name": "deaf", "protocol": "UDP", "port": 81, "targetPort": 8081, "nodePort": 30081}]}},
]


@pytest.fixture(scope="module")
def world(module_lab, tmp_path_factory):
    path = tmp_path_factory.mktemp("m") / "m.yaml"
    path.write_text(yaml.safe_dump_all(OBJECTS))
    a = module_lab("--nodes", 2, "--racks", 2, "--mode", "direct", manifests=[path])
    for family in (4, 6):
        wait_for(lambda: ask(a, "x/client", CLUSTER[family], 80)["connected"] == 1, 20, "the Service is there")
    return a


def ask(a, source, ip, port, *args):
    to = f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
    got = a.probe(source, to, "--proto", "udp", "--timeout", 1500, *args)
    return {**got["results"], "by": got.get("refused_by")}


def said_unreachable(a, family):
    """How often the server's own kernel said so."""
    name = {4: "IcmpOutDestUnreachs", 6: "Icmp6OutDestUnreachs"}[family]
    return int(a.exec("x/server", "nstat", "-asz", name).stdout.split(name)[1].split()[0])


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("source", ["x/client", "n1", "outside"])
def test_port_unreachable(world, source, family):
    """Nobody listens at the endpoint; a connected socket is told only if the error is about whom it asked."""
    ip, port = CLUSTER[family], 81
    if source == "outside":
        node = next(n for n in world.status()["nodes"] if n["name"] == "n1")
        ip, port = next(x for x in node["addresses"] if (":" in x) == (family == 6)), 30081
    before = said_unreachable(world, family)
    got = ask(world, source, ip, port)
    assert got["refused"] == 1 and got["by"] == "icmp-port"
    assert said_unreachable(world, family) > before, "no rule of ours, the endpoint"


@pytest.fixture
def narrow(world):
    """Makes the router's link to the server's rack too small, until the test's end."""
    state = Path(f"/run/fairlead-lab/{world.name}/state").read_text().splitlines()
    router = next(line.split()[2] for line in state if line.startswith("router "))

    def rack2(mtu):
        subprocess.run(["nsenter", f"--net=/proc/{router}/ns/net", "ip", "link", "set", "rack2", "mtu", str(mtu)], check=True)
    yield lambda: rack2(PATH_MTU)
    rack2(1500)


@pytest.mark.parametrize("family", [4, 6])
def test_too_big(world, narrow, family):
    """The client's kernel learns the path's MTU for the Service, whose address it uses."""
    def learned():
        r, = json.loads(world.exec("x/client", "ip", "-j", "route", "get", CLUSTER[family]).stdout)
        return r.get("metrics", [{}])[0].get("mtu")

    assert ask(world, "x/client", CLUSTER[family], 80, "--size", 1400)["connected"] == 1
    assert learned() is None
    narrow()
    ask(world, "x/client", CLUSTER[family], 80, "--size", 1400)
    wait_for(lambda: learned() == PATH_MTU, 5, "the client knows the path's MTU")
