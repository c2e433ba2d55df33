# SPDX-License-Identifier: Apache-2.0
"""One case of the Service suites as a lab: `test-node` with the case's addresses, a node for each name
that its EndpointSlices say, and a real pod at each address that a flow comes from or an endpoint has,
on the node of its slice. The suite's outside is around them:

    outside ─┐                          `outside` has the clients' addresses. What is no node's address goes
             router ── rack1 ── nodes   to test-node when it comes from there, and to `beyond`, which has
    beyond ──┘                          every address, when it comes from a node

Everybody listens, on each port that a flow names: a packet that nobody translates is answered too, by
another name, and silence means that it was dropped. `default_route=False`: all that nodes know outside
of their rack is a way to the clients."""
import importlib.util
import ipaddress
import json
import os
import signal
import subprocess
from collections import Counter
from pathlib import Path

from harness import built, wait_for

NODE, OTHER, BEYOND = "test-node", "another-node", "beyond"
EACH = 20  # connections per endpoint: of three, one is missed once in 10^10 flows
PATIENT, SILENT = 5000, 600  # ms to wait for an answer, and for none
IN_RACK = ["172.18.1.11", "fd00:18:1::11"]  # what other nodes reach test-node by
TABLE = 100


def oracle(suites):
    spec = importlib.util.spec_from_file_location("services_oracle", suites / "services_oracle.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def expected(flow):
    """Where kube-proxy's two back ends differ, ours does as the one in nftables."""
    if "expect" in flow:
        return flow["expect"]
    return next(e["expect"] for e in flow["expect_any"] if any("nftables" in by for by in e["by"]))


def within(ip, cidr):
    return ipaddress.ip_address(ip) in ipaddress.ip_network(cidr)


def plain(ip):
    """Leading zeros are decimal, as in Kubernetes."""
    return ip if ":" in ip else ".".join(str(int(n)) for n in ip.split("."))


class Space:
    """The network of one of the lab's members, by the process that holds it."""

    def __init__(self, pid):
        self.pid = pid

    def argv(self, *argv):
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--", *map(str, argv)]

    def run(self, *argv, **kw):
        return subprocess.run(self.argv(*argv), capture_output=True, text=True, check=True, timeout=60, **kw).stdout


class Flow:
    """A connection that the suite or its oracle judges. got: (result, server, source that it saw) of each try."""

    def __init__(self, name, source, protocol, to, port, want):
        self.name, self.source, self.protocol, self.to, self.port = name, source, protocol, to, port
        self.want, self.got = want, []

    def tries(self):
        return EACH * len(self.want.get("endpoints", ())) or 2

    def __str__(self):
        return (f"{self.name}: {self.protocol} {self.source} to {self.to} {self.port}: wanted {self.want}, "
                f"got {dict(Counter(self.got))}")


def slices(case):
    return [o for o in case["objects"] if o["kind"] == "EndpointSlice"]


def place(case):
    """{address: node} of the pods: clients at home, endpoints where their slices say."""
    pods = {f["from"]: NODE for f in case["flows"] if within(f["from"], case["config"]["podCIDR"])}
    for e in (e for s in slices(case) for e in s["endpoints"]):
        ip = plain(e["addresses"][0])
        if pods.get(ip) != NODE:
            pods[ip] = e.get("nodeName") or OTHER
    return pods


def fits_bridges(case):
    """A bridge lends its node's pods no way out of blocks that are all another node's, and has the first
    address of a block for itself."""
    nodes = {}
    for ip, node in place(case).items():
        block = ipaddress.ip_network(f"{ip}/{122 if ':' in ip else 26}", strict=False)
        if ip in map(str, (block[0], block[1])) or nodes.setdefault(block, node) != node:
            return False
    return True


class ServiceWorld:
    def __init__(self, lab, netns, start, scratch, case, default_route=True, attachment="routed"):
        self.case, self.cfg = case, case["config"]
        self.family = 6 if self.cfg["ipFamily"] == "IPv6" else 4
        self.start, self.default_route = start, default_route
        self.slices = slices(case)
        self.ports = sorted({(f["protocol"], f["port"]) for f in case["flows"]} |
                            {(p["protocol"], p["port"]) for s in self.slices for p in s["ports"]})
        sources = {f["from"] for f in case["flows"]}
        self.pods = place(case)
        self.clients = sources - set(self.pods) - set(self.cfg["nodeIPs"]) - {"127.0.0.1", "::1"}
        self.lab = lab("--racks", 1, "--mode", "direct", "--attachment", attachment, *self.ranges(),
                       manifests=[self.write(scratch / "world.json", self.objects())])
        self.look()
        self.wire(netns)
        for name in (*self.nodes, BEYOND):
            self.serve(name)
        for name in self.nodes:
            self.configure(name)
        self.apply(case["objects"], scratch)

    def apply(self, objects, scratch):
        if objects:
            self.lab.store("apply", "-f", self.write(scratch / "case.json", objects), "--wait=20")

    # ---- what there is

    def ranges(self):
        """The case's own, one for endpoints that its proxy does not know as pods, and some of the other family."""
        pods, services = [self.cfg["podCIDR"]], [self.cfg["serviceCIDR"]]
        if not all(within(ip, pods[0]) for ip in self.pods):
            pods.append("fd00:10:180::/48")
        pods.append({4: "fd00:99::/64", 6: "10.99.0.0/16"}[self.family])
        services.append({4: "fd00:98::/112", 6: "10.98.0.0/16"}[self.family])
        return [a for c in pods for a in ("--pod-cidr", c)] + [a for c in services for a in ("--service-cidr", c)]

    def objects(self):
        def node(name, ips):
            return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
                    "status": {"addresses": [{"type": "InternalIP", "address": ip} for ip in ips]}}

        def pod(number, ip, on):
            return {"apiVersion": "v1", "kind": "Pod", "metadata": {
                "name": f"p{number}", "namespace": "pods", "annotations": {"fairlead.io/ips": json.dumps([ip])}},
                "spec": {"nodeName": on, "containers": [{"name": "c", "ports": [
                    {"containerPort": port, "protocol": p} for p, port in self.ports]}]}}

        names = {o["metadata"]["namespace"] for o in self.case["objects"]} | {"pods"}
        return [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}} for n in sorted(names)] + \
            [node(NODE, [*IN_RACK, *self.cfg["nodeIPs"]])] + \
            [node(n, []) for n in sorted({OTHER, *self.pods.values()} - {NODE})] + \
            [pod(i, ip, on) for i, (ip, on) in enumerate(sorted(self.pods.items()))]

    @staticmethod
    def write(path, objects):
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        return path

    def look(self):
        s = self.lab.status()
        self.nodes = {n["name"]: Space(n["pid"]) for n in s["nodes"]}
        self.addresses = {n["name"]: n["addresses"] for n in s["nodes"]}
        self.outside = Space(s["outside"]["pid"])
        self.homes = {ip: Space(p["pid"]) for p in s["pods"] for ip in p["ips"] if ip in self.pods}
        assert set(self.homes) == set(self.pods)
        state = Path(f"/run/fairlead-lab/{self.lab.name}/state").read_text().splitlines()
        self.router = Space(next(line.split()[2] for line in state if line.startswith("router ")))

    def address(self, node):
        """In the rack, which is what other nodes and the router use."""
        return next(a for a in self.addresses[node] if (":" in a) == (self.family == 6))

    # ---- the outside

    def wire(self, netns):
        gateway, far, length = {4: ("198.18.0.1", "198.18.0.2", 24), 6: ("fd00:97::1", "fd00:97::2", 64)}[self.family]
        outside = {4: "203.0.113.10", 6: "2001:db8:113::10"}[self.family]
        foreign = sorted({f["to"] for f in self.case["flows"] if not self.own(f["to"])})
        nodad = "nodad" if self.family == 6 else ""
        self.beyond = netns(BEYOND)
        self.ip(self.router, f"link add {BEYOND} type veth peer name eth0 netns {self.beyond.path}",
                f"addr add {gateway}/{length} dev {BEYOND} {nodad}", f"link set {BEYOND} up",
                f"route add default via {far} table {TABLE}",
                *(f"route add {ip} via {outside}" for ip in self.clients),
                *(f"route add {ip} via {self.address(NODE)}" for ip in foreign),
                *(f"rule add iif rack1 to {ip} lookup {TABLE}" for ip in foreign))
        self.ip(self.beyond, f"addr add {far}/{length} dev eth0 {nodad}", "link set eth0 up",
                f"route add default via {gateway}", *(f"addr add {ip} dev lo" for ip in foreign))
        self.ip(self.outside, *(f"addr add {ip} dev lo" for ip in self.clients))
        if not self.default_route:
            for name in self.nodes:
                self.forget_default(name)

    def forget_default(self, name):
        """What stays are ways to the clients, and to the addresses of test-node that are not in the rack."""
        router, node = {4: "172.18.1.1", 6: "fd00:18:1::1"}[self.family], self.nodes[name]
        node.run("ip", "-4", "route", "del", "default")
        node.run("ip", "-6", "route", "del", "default")
        peers = [ip for ip in self.cfg["nodeIPs"] if name != NODE and (":" in ip) == (self.family == 6)]
        self.ip(node, *(f"route add {ip} via {router}" for ip in self.clients),
                *(f"route add {ip} via {self.address(NODE)}" for ip in peers))

    def ip(self, space, *commands):
        space.run("ip", f"-{self.family}", "-batch", "-", input="\n".join(commands))

    def serve(self, name):
        space = self.nodes.get(name) or self.beyond
        server = self.start([built("libexec/fairlead/lab-responder"), name, *(f"{p.lower()}:{n}" for p, n in self.ports)],
                            ns=space, stdin=subprocess.PIPE)
        server.wait_log("ready")

    # ---- fairlead's configuration

    def configure(self, node):
        lines = [f"node-port-addresses {c}" for c in self.cfg["nodePortAddresses"] if c != "all-local"] + \
            [f"{key} yes" for key, on in (("localhost-node-ports", self.cfg["localhostNodePorts"]),
                                          ("masquerade-all", self.cfg["masqueradeAll"])) if on]
        # Or refusals that come at once are not all said.
        self.nodes[node].run("sysctl", "-q", "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0")
        if not lines:
            return
        roles = self.roles(node)
        self.lab.node(node, "sh", "-euc", 'printf "%s\\n" "$@" >> /etc/fairlead/fairleadd.conf', "sh", *lines)
        os.kill(roles["fairleadd"], signal.SIGHUP)
        wait_for(lambda: self.roles(node)["agent"] not in (None, 0, roles["agent"]), 10, f"{node}: a new agent")

    def roles(self, node):
        return next(n for n in self.lab.status()["nodes"] if n["name"] == node)["roles"]

    # ---- packets

    def space_of(self, source):
        if source in self.homes:
            return self.homes[source]
        if source in self.clients:
            return self.outside
        return self.nodes[OTHER] if source in self.addresses[OTHER] else self.nodes[NODE]

    def silence(self, flow):
        """Nobody answers; where nodes know no way there, not what is not translated either."""
        return flow.want["action"] == "DROP" or (
            flow.want["action"] == "PASS" and not self.default_route and not self.own(flow.to))

    def own(self, ip):
        return ip in self.cfg["nodeIPs"] or ipaddress.ip_address(ip).is_loopback

    def send(self, flows):
        """Fills in what became of each: all at once, a prober per source and patience."""
        probers = []
        for source, quiet in {(f.source, self.silence(f)) for f in flows}:
            mine = [f for f in flows if (f.source, self.silence(f)) == (source, quiet)]
            words = "".join(f"{i} {f.protocol.lower()} {f.to} {f.port}\n" * f.tries() for i, f in enumerate(mine))
            argv = self.space_of(source).argv(built("libexec/fairlead/lab-prober"), "--source", source, "--resends", 4,
                                              "--timeout", SILENT if quiet else PATIENT)
            p = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            probers.append((p, mine, words))
        for p, mine, words in probers:
            out, _ = p.communicate(words, timeout=60)
            assert p.returncode == 0
            for line in out.splitlines():
                number, result, server, sees = line.split()[:4]
                mine[int(number)].got.append((result, server, sees.rpartition(":")[0].strip("[]")))

    def wrong(self, flow):
        """Does what the packets met differ from what is wanted?"""
        results = {result for result, _, _ in flow.got}
        servers = {server.partition("@")[0] for _, server, _ in flow.got}
        action = flow.want["action"]
        if len(flow.got) != flow.tries():
            return True
        if self.silence(flow):
            return results != {"timeout"}
        if action == "REJECT":
            return results != {"refused"}
        if action == "ACCEPT":  # whoever has the port: role health, or who listens here in its place
            return results != {"connected"}
        if action == "PASS":
            return results != {"connected"} or servers != {NODE if self.own(flow.to) else BEYOND}
        return results != {"connected"} or self.translated_wrong(flow)

    def translated_wrong(self, flow):
        for _, server, sees in flow.got:
            itself = server.partition("@")[2].rpartition(":")[0].strip("[]") == flow.source
            masked = sees in self.addresses[flow.want.get("by", NODE)]
            if masked != (flow.want["masquerade"] or itself) or not (masked or sees == flow.source):
                return True
        return {server.partition("@")[2] for _, server, _ in flow.got} != set(flow.want["endpoints"])
