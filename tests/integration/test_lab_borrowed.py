# SPDX-License-Identifier: Apache-2.0
"""Addresses that a node of another rack borrowed, in a pool whose pods are reached directly: nodes of the block's
rack have a route to the block, which is not the way to them. The router between the racks knows them."""
import json

import pytest

from harness import wait_for

IPS = {"owner": ["10.80.0.5", "fd00:80::5"], "beside": ["10.80.7.5", "fd00:80::7:5"], "borrower": ["10.80.0.6", "fd00:80::6"]}
NODES = {"owner": "n1", "beside": "n2", "borrower": "n3"}  # n3 is in the second rack


def pod(name):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "x", "name": name, "annotations": {
        "fairlead.io/ips": json.dumps(IPS[name])}}, "spec": {"nodeName": NODES[name], "containers": [
            {"name": "c", "ports": [{"containerPort": 80}]}]}}


@pytest.fixture(scope="module")
def world(module_lab, tmp_path_factory):
    """The owner has its block before the borrower asks."""
    path = tmp_path_factory.mktemp("b") / "b.json"

    def write(*names):
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [pod(n) for n in names]}))
        return path
    a = module_lab("--nodes", 3, "--racks", 2, "--mode", "direct", "--pod-cidr", "10.80.0.0/16", "--pod-cidr", "fd00:80::/48",
                   manifests=[write("owner", "beside")])
    a.store("apply", "-f", write("borrower"), "--wait=20")
    loans = {b["address"]: b["node"] for o in json.loads(a.store("get", "ipblocks", "-o", "json").stdout)["items"]
             for b in o["spec"].get("borrowed", [])}
    assert loans == {ip: "n3" for ip in IPS["borrower"]}
    return a


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("source, to", [("owner", "borrower"), ("beside", "borrower"), ("borrower", "owner"), ("borrower", "beside")])
def test_every_way(world, source, to, family):
    ip = IPS[to][family == 6]
    at = f"[{ip}]:80" if family == 6 else f"{ip}:80"
    wait_for(lambda: world.probe(f"x/{source}", at, "--timeout", 700)["results"]["connected"], 10, "the way is open")
    got = world.probe(f"x/{source}", at, "--count", 5, "--timeout", 700)
    assert got["results"]["connected"] == 5
    assert {s.rsplit(":", 1)[0].strip("[]") for s in got["server_sees"]} == {IPS[source][family == 6]}
