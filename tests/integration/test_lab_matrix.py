# SPDX-License-Identifier: Apache-2.0
"""Thirty pods, three nodes in two racks, every mode and attachment: who reaches whom, what the packets
look like on the wires, and that the fabric is as strict as it says."""
import re
import subprocess
from pathlib import Path

import pytest

from harness import wait_for

PLAIN = Path(__file__).resolve().parents[2] / "examples/plain-30.yaml"
MODES = {"direct": ["--mode", "direct"], "vxlan": ["--mode", "vxlan"], "cross-subnet": ["--mode", "vxlan", "--cross-subnet"]}


def kind(name):
    return "pod" if "/" in name else "outside" if name == "outside" else "node"


@pytest.fixture(scope="module", params=[(m, a) for m in MODES for a in ("routed", "bridge")], ids="-".join)
def plain(request, module_lab):
    mode, attachment = request.param
    lab = module_lab("--nodes", 3, "--racks", 2, *MODES[mode], "--attachment", attachment, manifests=[PLAIN])
    lab.mode, lab.attachment = mode, attachment
    yield lab
    lab.down()


def test_everybody_reaches_everybody(plain):
    rows = plain.matrix("--all")
    kinds = {(kind(r["from"]), kind(r["to"]), r["family"]) for r in rows}
    assert kinds == {(f, t, v) for f in ("pod", "node", "outside") for t in ("pod", "node", "outside") for v in (4, 6)}
    assert len({r["from"] for r in rows}) == 34
    inward = [r for r in rows if kind(r["from"]) == "outside" and kind(r["to"]) == "pod"]
    others = [r for r in rows if r not in inward]
    wrong = [r for r in others if r["result"] != "connected"]
    assert not wrong, (len(wrong), wrong[:10])
    want = "connected" if plain.mode == "direct" else "timeout"
    wrong = [r for r in inward if r["result"] != want]
    assert inward and not wrong, (len(wrong), wrong[:10])
    # who answered is who was asked, also between pods of one node
    for r in others:
        if r["proto"] != "icmp":
            assert r["server"].startswith(f"{r['to']}@"), r


def test_outside_sees_the_node(plain):
    """natOutgoing: a pod's packets leave with its node's address; between pods nothing is translated."""
    status = plain.status()
    node = {n["name"]: n["addresses"] for n in status["nodes"]}
    by_name = {f"{p['namespace']}/{p['name']}": p for p in status["pods"]}
    rows = plain.matrix("--all", "--ports", "8080/tcp", "--to", "outside")
    for r in (r for r in rows if kind(r["from"]) == "pod"):
        assert r["server_sees"].rsplit(":", 1)[0].strip("[]") in node[by_name[r["from"]]["node"]], r
    rows = plain.matrix("--ports", "80/tcp", "--from", "plain/sidecar")
    for r in rows:
        assert r["server_sees"].rsplit(":", 1)[0].strip("[]") in by_name["plain/sidecar"]["ips"], r


def capture(pid, seconds_filter):
    return subprocess.Popen(["nsenter", "-n", "-t", str(pid), "tcpdump", "-i", "any", "-nn", "-l", "-U", *seconds_filter],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def racks(plain):
    state = Path(f"/run/fairlead-lab/{plain.name}/state").read_text()
    return {line.split()[1]: int(line.split()[2]) for line in state.splitlines() if line.startswith(("rack", "router"))}


def seen_on_the_wire(plain, where, source, target, port):
    """How packets of one probe look in a switch or the router: 'plain', 'vxlan', both or none."""
    pid = racks(plain)[where]
    p = capture(pid, ["udp port 4789 or port", str(port)])
    try:
        p.stderr.readline()
        p.stderr.readline()
        for family in (4, 6):
            assert plain.probe(source, f"{target}:{port}", "--family", family)["code"] == 0
        # a packet of our own marks the end of what has to be looked at
        subprocess.run(["nsenter", "-n", "-t", str(pid), "true"])
    finally:
        wait_for(lambda: True, 1, "")
        subprocess.run(["sleep", "0.3"])
        p.terminate()
    text = p.communicate()[0]
    looks = set()
    for line in text.splitlines():
        if "VXLAN" in line or re.search(r"\.4789: ", line):
            looks.add("vxlan")
        elif re.search(rf"[.]{port}[ :]", line):
            looks.add("plain")
    return looks


def pair(plain, same_rack):
    status = plain.status()
    rack = {n["name"]: n["rack"] for n in status["nodes"]}
    pods = [p for p in status["pods"] if p["name"].startswith(("tcp-", "ordered-"))]
    for a in pods:
        for b in pods:
            if a["node"] != b["node"] and (rack[a["node"]] == rack[b["node"]]) == same_rack:
                return a, b, rack
    raise AssertionError("no such pair")


@pytest.mark.parametrize("same_rack", [True, False], ids=["in-rack", "between-racks"])
def test_vxlan_only_where_it_must_be(plain, same_rack):
    a, b, rack = pair(plain, same_rack)
    looks = seen_on_the_wire(plain, f"rack{rack[a['node']]}", f"plain/{a['name']}", f"plain/{b['name']}", 80)
    tunnel = plain.mode == "vxlan" or (plain.mode == "cross-subnet" and not same_rack)
    assert looks == {"vxlan" if tunnel else "plain"}


def counters(plain, where, family):
    text = subprocess.run(["nsenter", "-n", "-t", str(racks(plain)[where]), "nft", "list", "table", family, "lab"],
                          capture_output=True, text=True).stdout
    return sum(int(n) for n in re.findall(r"counter packets (\d+)", text)), text


def test_fabric_is_strict(plain):
    """A node that sends a pod's address without a tunnel: passes where addresses are routed, is dropped and
    counted where they are not. The positive control is the counter itself."""
    a, b, rack = pair(plain, False)
    node = plain.status()["nodes"][0]
    ip = next(i for i in a["ips"] if "." in i)
    before, text = counters(plain, "router", "inet")
    assert ("drop" in text) == (plain.mode != "direct")
    got = plain.probe(a["node"], "outside:8080", "--source", ip, "--timeout", 300)
    switch, switch_text = counters(plain, f"rack{rack[a['node']]}", "bridge") if plain.mode == "vxlan" else (0, "")
    after, _ = counters(plain, "router", "inet")
    assert node["name"] and got["results"]["connected"] == 0 or plain.mode == "direct"
    if plain.mode == "vxlan":
        assert switch > 0 and after == before, switch_text
    elif plain.mode == "cross-subnet":
        assert after > before


def test_router_has_routes_only_in_direct(plain):
    text = subprocess.run(["nsenter", "-n", "-t", str(racks(plain)["router"]), "ip", "route"], capture_output=True,
                          text=True).stdout
    routes = {line.split()[0] for line in text.splitlines() if line.startswith("10.244.")}
    blocks = plain.store("get", "ipblocks", "-o", "json")
    import json
    cidrs = {b["spec"]["cidr"] for b in json.loads(blocks.stdout)["items"] if "." in b["spec"]["cidr"]}
    assert cidrs and routes == (cidrs if plain.mode == "direct" else set())
    assert plain.status()["routerHasPodRoutes"] == (plain.mode == "direct")
