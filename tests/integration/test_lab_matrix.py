# SPDX-License-Identifier: Apache-2.0
"""Thirty pods, three nodes in two racks, every mode and attachment: who reaches whom, what the packets
look like on the wires, and that the fabric is as strict as it says."""
import json
import re
import subprocess
from pathlib import Path

import pytest

from harness import wait_for

PLAIN = Path(__file__).resolve().parents[2] / "examples/plain-30.yaml"
MODES = {"direct": ["--mode", "direct"], "vxlan": ["--mode", "vxlan"], "cross-subnet": ["--mode", "vxlan", "--cross-subnet"],
         "ipip": ["--mode", "ipip"], "ipip-cross-subnet": ["--mode", "ipip", "--cross-subnet"]}
LABS = [(m, a) for m in MODES for a in ("routed", "bridge")
        if (m, a) not in {("ipip", "bridge"), ("ipip-cross-subnet", "routed")}]


def kind(name):
    return "pod" if "/" in name else "outside" if name == "outside" else "node"


@pytest.fixture(scope="module", params=LABS, ids="-".join)
def plain(request, module_lab):
    mode, attachment = request.param
    lab = module_lab("--nodes", 3, "--racks", 2, *MODES[mode], "--attachment", attachment, manifests=[PLAIN])
    lab.mode, lab.attachment = mode, attachment
    lab.tunnel = {4: "ipip", 6: "vxlan"} if "ipip" in mode else {4: "vxlan", 6: "vxlan"}
    lab.strict = "router" if mode.endswith("cross-subnet") else "switch"  # who drops pods' addresses first
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


def test_selector_that_takes_nobody(plain):
    """A misspelt one must not look like a table without a denied cell."""
    for option, text in (("--from", "app=nonsense"), ("--to", "plain/nonsense"), ("--to", "outside")):
        r = plain("matrix", option, text, check=False)
        assert r.returncode == 2 and not r.stdout, r
        assert r.stderr == f"fairlead: {option} {text}: matches nobody (nodes and outside take part with --all)\n"


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


def racks(plain):
    state = Path(f"/run/fairlead-lab/{plain.name}/state").read_text()
    return {line.split()[1]: int(line.split()[2]) for line in state.splitlines() if line.startswith(("rack", "router"))}


# Prints every frame that any device of its namespace receives or sends.
CAPTURE = """
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
print("ready", flush=True)
while True:
    print(s.recv(65536).hex(), flush=True)
"""


def seen_on_the_wire(plain, where, source, target, port, out):
    """How the packets of a probe in each family look in a switch: {(4, "ipip"), (6, "plain"), ...}"""
    from scapy.all import IP, TCP, UDP, Ether
    from scapy.layers.vxlan import VXLAN

    def segments():
        for line in out.read_text().splitlines()[1:]:
            frame, look = Ether(bytes.fromhex(line)), "plain"
            if UDP in frame and frame[UDP].dport == 4789:
                frame, look = VXLAN(bytes(frame[UDP].payload)), "vxlan"
            if IP in frame and frame[IP].proto == 4:
                assert frame[IP].flags == "DF" and frame[IP].chksum == checksum(frame[IP]), frame
                frame, look = frame[IP].payload, "ipip"
            if TCP in frame and port in (frame[TCP].sport, frame[TCP].dport):
                yield (4 if IP in frame else 6, look), frame[TCP]

    def checksum(ip):
        head = ip.copy()
        del head.chksum
        return IP(bytes(head)).chksum

    def whole():
        """Both connections were closed, so their ends are the last to come: twice two FINs, in and out."""
        found = list(segments())
        assert sum("F" in str(t.flags) or "R" in str(t.flags) for _, t in found) >= 8, found
        return True
    with open(out, "w") as f:
        p = subprocess.Popen(["nsenter", "-n", "-t", str(racks(plain)[where]), "/usr/bin/python3", "-c", CAPTURE],
                             stdout=f)
    try:
        wait_for(lambda: out.read_text().startswith("ready"), 10, "the capture runs")
        for family in (4, 6):
            assert plain.probe(source, f"{target}:{port}", "--family", family)["code"] == 0
        wait_for(whole, 5, "the capture holds both connections")
    finally:
        p.kill()
        p.wait()
    return {look for look, _ in segments()}


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
def test_tunnels_only_where_they_must_be(plain, same_rack, tmp_path):
    a, b, rack = pair(plain, same_rack)
    looks = seen_on_the_wire(plain, f"rack{rack[a['node']]}", f"plain/{a['name']}", f"plain/{b['name']}", 80,
                             tmp_path / "capture")
    tunnel = plain.mode != "direct" and not (plain.strict == "router" and same_rack)
    assert looks == {(family, plain.tunnel[family] if tunnel else "plain") for family in (4, 6)}


def dropped(plain, where, family):
    text = subprocess.run(["nsenter", "-n", "-t", str(racks(plain)[where]), "nft", "list", "table", family, "lab"],
                          capture_output=True, text=True).stdout
    return sum(int(n) for n in re.findall(r"counter packets (\d+)", text))


INJECT = "import socket, sys; s = socket.socket(17, 3); s.bind(('eth0', 0)); s.send(bytes.fromhex(sys.argv[1]))"


@pytest.mark.parametrize("family", [4, 6])
def test_fabric_is_strict(plain, family):
    """A frame with pods' addresses and no tunnel, put on a node's wire behind the back of its kernel: it
    arrives where addresses are routed, else it is dropped by the first one who has to, and counted."""
    from scapy.all import IP, UDP, Ether, IPv6
    a, b, rack = pair(plain, False)
    src, dst = a["ips"][family == 6], b["ips"][family == 6]
    gateway = f"172.18.{rack[a['node']]}.1" if family == 4 else f"fd00:18:{rack[a['node']]}::1"
    plain.node(a["node"], "ping", "-c1", "-W2", gateway)
    neigh = plain.node(a["node"], "ip", "neigh", "show", gateway).stdout
    mac = plain.node(a["node"], "cat", "/sys/class/net/eth0/address").stdout.strip()
    frame = Ether(src=mac, dst=re.search(r"lladdr (\S+)", neigh)[1]) / \
        (IP if family == 4 else IPv6)(src=src, dst=dst) / UDP(sport=9, dport=9999) / b"no tunnel"
    plain.exec(f"plain/{b['name']}", "nft", f"add table inet seen{family}; add chain inet seen{family} c "
               f"{{ type filter hook input priority 0; }}; add rule inet seen{family} c udp dport 9999 counter")
    switch = f"rack{rack[a['node']]}"
    before = dropped(plain, switch, "bridge"), dropped(plain, "router", "inet")
    plain.node(a["node"], "/usr/bin/python3", "-c", INJECT, bytes(frame).hex())

    def happened():
        seen = plain.exec(f"plain/{b['name']}", "nft", "list", "table", "inet", f"seen{family}").stdout
        return (dropped(plain, switch, "bridge") - before[0], dropped(plain, "router", "inet") - before[1],
                int(re.search(r"counter packets (\d+)", seen)[1]))
    want = (0, 0, 1) if plain.mode == "direct" else (1, 0, 0) if plain.strict == "switch" else (0, 1, 0)
    wait_for(lambda: happened() != (0, 0, 0), 5, "the frame is seen")
    assert happened() == want


def test_router_has_routes_only_in_direct(plain):
    text = subprocess.run(["nsenter", "-n", "-t", str(racks(plain)["router"]), "ip", "route"], capture_output=True,
                          text=True).stdout
    routes = {line.split()[0] for line in text.splitlines() if line.startswith("10.244.")}
    blocks = plain.store("get", "ipblocks", "-o", "json")
    cidrs = {b["spec"]["cidr"] for b in json.loads(blocks.stdout)["items"] if "." in b["spec"]["cidr"]}
    assert cidrs and routes == (cidrs if plain.mode == "direct" else set())
    assert plain.status()["routerHasPodRoutes"] == (plain.mode == "direct")
