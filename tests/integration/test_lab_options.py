# SPDX-License-Identifier: Apache-2.0
"""What the options of `lab up` make of the lab, as the kernel and the packets show it."""
import ipaddress
import json

import pytest
import yaml

from harness import wait_for


def links(lab, pod):
    return json.loads(lab.exec(pod, "ip", "-j", "-d", "link", "show", "eth0").stdout)[0]


def first(lab):
    p = lab.status()["pods"][0]
    return f"{p['namespace']}/{p['name']}"


@pytest.mark.parametrize("family", [4, 6])
def test_one_family(lab, family):
    a = lab("--nodes", 2, "--racks", 2, "--family", family)
    s = a.status()
    for ip in [i for m in s["nodes"] for i in m["addresses"]] + s["outside"]["addresses"] + \
            [i for p in s["pods"] for i in p["ips"]]:
        assert ipaddress.ip_address(ip).version == family
    rows = a.matrix("--all")
    assert {r["family"] for r in rows} == {family}
    r = a("matrix", "--family", 10 - family, check=False)  # no empty table
    assert r.returncode == 2 and f"has no IPv{10 - family}" in r.stderr
    bad = [r for r in rows if r["result"] != "connected" and not (r["from"] == "outside" and "/" in r["to"])]
    assert not bad, bad[:5]


@pytest.mark.parametrize("mode, less", [(["--mode", "direct"], 0), (["--mode", "vxlan"], 50)])
def test_mtu(lab, mode, less):
    a = lab("--nodes", 2, "--racks", 2, "--mtu", 1400, "--family", 4, *mode)
    node = json.loads(a.node("n1", "ip", "-j", "link", "show", "eth0").stdout)[0]
    assert node["mtu"] == 1400 and links(a, first(a))["mtu"] == 1400 - less
    one, two = ({p["node"]: f"{p['namespace']}/{p['name']}" for p in a.status()["pods"]}[n] for n in ("n1", "n2"))
    assert a.probe(one, two + ":8080", "--size", 30000)["code"] == 0
    assert a.probe(one, two, "--proto", "icmp", "--size", 1400 - less - 28)["code"] == 0


def test_cidrs_and_domain(lab):
    a = lab("--nodes", 1, "--racks", 1, "--pod-cidr", "10.77.0.0/20", "--pod-cidr", "fd00:77::/64", "--service-cidr",
            "10.66.0.0/16", "--cluster-domain", "lab.test")
    for p in a.status()["pods"]:
        assert ipaddress.ip_address(p["ips"][0]) in ipaddress.ip_network("10.77.0.0/20")
        assert ipaddress.ip_address(p["ips"][1]) in ipaddress.ip_network("fd00:77::/64")
    resolv = a.exec(first(a), "cat", "/etc/resolv.conf").stdout
    assert "svc.lab.test" in resolv and "nameserver 10.66.0.10" in resolv
    conf = a.node("n1", "cat", "/etc/fairlead/fairleadd.conf").stdout
    assert "service-cidr 10.66.0.0/16\n" in conf and "cluster-domain lab.test\n" in conf


def test_each_cidr_is_a_pool(lab):
    cidrs = ["fd00:77::/64", "fd00:78::/64", "10.77.0.0/24", "10.78.0.0/24", "10.79.0.0/24"]
    a = lab("--nodes", 1, "--racks", 1, *(x for c in cidrs for x in ("--pod-cidr", c)))
    assert {p["spec"]["cidr"] for p in json.loads(a.store("get", "ippools", "-o", "json").stdout)["items"]} == set(cidrs)


def test_objects_of_the_manifest(lab, tmp_path):
    """Nodes with names, labels, racks and addresses of their own; a pool that is not the default one."""
    path = tmp_path / "m.yaml"
    path.write_text(yaml.safe_dump_all([
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "edge", "labels": {
            "disk": "ssd", "topology.kubernetes.io/zone": "rack2"}},
         "status": {"addresses": [{"type": "InternalIP", "address": "172.18.2.99"},
                                  {"type": "ExternalIP", "address": "198.51.100.9"}]}},
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "core.example.org"}},
        {"apiVersion": "fairlead.io/v1", "kind": "IPPool", "metadata": {"name": "mine"},
         "spec": {"cidr": "10.199.0.0/16", "mode": "Direct", "natOutgoing": True}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "made-up"}, "spec": {
            "nodeName": "edge", "containers": [{"name": "c", "ports": [{"containerPort": 80}]}]}}]))
    a = lab("--racks", 2, manifests=[path])
    nodes = {n["name"]: n for n in a.status()["nodes"]}
    assert set(nodes) == {"edge", "core.example.org"}
    assert nodes["edge"]["rack"] == 2 and nodes["edge"]["addresses"][0] == "172.18.2.99"
    assert "198.51.100.9" in nodes["edge"]["addresses"]
    obj = json.loads(a.store("get", "node", "edge", "-o", "json").stdout)
    assert obj["metadata"]["labels"]["disk"] == "ssd" and obj["metadata"]["labels"]["kubernetes.io/hostname"] == "edge"
    assert {x["address"] for x in obj["status"]["addresses"]} >= {"172.18.2.99", "198.51.100.9"}
    assert a.status()["pods"][0]["ips"][0].startswith("10.199.")
    assert a.probe("outside", "made-up/p:80")["code"] == 0
    assert a.probe("core.example.org", "198.51.100.9", "--proto", "icmp")["code"] == 0
    assert a.store("get", "namespace", "made-up").returncode == 0


def test_a_pool_that_changes_changes_the_fabric(lab):
    """From VXLAN to Direct while the lab runs: the router lets pods' addresses pass and learns the way."""
    a = lab("--nodes", 2, "--racks", 2, "--mode", "vxlan", "--family", 4)
    pod = first(a)
    assert a.probe("outside", pod + ":8080", "--timeout", 300)["results"]["timeout"] == 1
    pool = json.loads(a.store("get", "ippool", "default-ipv4", "-o", "json").stdout)
    pool["spec"]["mode"] = "Direct"
    a.store("apply", "-f", "-", input=json.dumps(pool))
    wait_for(lambda: a.probe("outside", pod + ":8080", "--timeout", 300)["code"] == 0, 10, "outside reaches the pod")
    assert all(r["result"] == "connected" for r in a.matrix())
