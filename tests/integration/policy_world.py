# SPDX-License-Identifier: Apache-2.0
"""A cluster with network policies as a lab: pods with given addresses on given nodes, and clients of the
outside. `to()` takes a running lab from one state to the next by applying and deleting what differs, as
a user would; `wrong()` probes every cell of a table with real packets.

A cluster is what the independent suites write: {"namespaces": [{name, labels}], "pods": [{namespace, name,
labels, ip or ips, node, ports, hostNetwork}], "external": [{name, ip}]}. What is expected are cells,
{(from, to, "TCP/80" or "ICMP", family): is it allowed}; or, of `cells()`, a table {"TCP/80": {from: one character per
name of `order`}}: . allowed, X blocked, # not judged. Allowed is what is connected or refused; blocked is
silence."""
import ipaddress
import json

NODES = ("n1", "n2", "n3")
QUICK, PATIENT = 500, 3000  # ms of silence


def addresses(member):
    return member.get("ips") or [member["ip"]]


def version(ip):
    return 6 if ":" in ip else 4


def port_words(proto, port):
    return f"{proto.upper()}/{port}" if port else proto.upper()


def around(ip, v4, v6):
    return ipaddress.ip_network(f"{ip}/{v6 if ':' in ip else v4}", strict=False)


def ranges(cluster):
    """Networks around the pods' addresses, and some of the family that they have not."""
    nets = {around(ip, 16, 48) for p in cluster["pods"] if not p.get("hostNetwork") for ip in addresses(p)}
    spare = {4: ipaddress.ip_network("10.160.0.0/16"), 6: ipaddress.ip_network("fd00:99::/64")}
    return [a for n in (*nets, *(spare[v] for v in spare if v not in {n.version for n in nets})) for a in ("--pod-cidr", n)]


def own_nodes(cluster):
    """{(namespace, pod): node}, as the cluster says, else in turn."""
    return {(p["namespace"], p["name"]): p.get("node") or NODES[i % len(NODES)] for i, p in enumerate(cluster["pods"])}


def nodes_by_block(cluster):
    """The same for bridges, which have no addresses borrowed from another node's block."""
    blocks, out = {}, own_nodes(cluster)
    for p in sorted(cluster["pods"], key=lambda p: (-len(addresses(p)), addresses(p))):
        if p.get("hostNetwork"):
            continue
        mine = [around(ip, 26, 122) for ip in addresses(p)]
        node = next((blocks[b] for b in mine if b in blocks), NODES[len(set(blocks.values())) % len(NODES)])
        blocks.update((b, node) for b in mine)
        out[p["namespace"], p["name"]] = node
    return out


def fits_bridges(cluster):
    """The gateway of a bridge's pods takes the first address of a block, if it comes before the pod that wants it."""
    return all(ip != str(around(ip, 26, 122)[1]) for p in cluster["pods"] for ip in addresses(p))


# By attachment: where pods are. Of three nodes in two racks some have addresses of others' blocks, in either rack.
PLACE = {"routed": own_nodes, "bridge": nodes_by_block}


def objects(cluster, policies, nodes):
    """{(kind, namespace, name): object}"""
    out = {}

    def put(version, kind, namespace, name, **rest):
        meta = {"name": name, **({"namespace": namespace} if namespace else {}), **rest.pop("metadata", {})}
        out[kind, namespace, name] = {"apiVersion": version, "kind": kind, "metadata": meta, **rest}

    for n in cluster["namespaces"]:
        put("v1", "Namespace", None, n["name"], metadata={"labels": n.get("labels") or {}})
    for p in cluster["pods"]:
        ports = [{k: v for k, v in (("name", q.get("name")), ("containerPort", q["port"]), ("protocol", q.get("protocol", "TCP"))) if v}
                 for q in p.get("ports") or []]
        given = {} if p.get("hostNetwork") else {"annotations": {"fairlead.io/ips": json.dumps(addresses(p))}}
        put("v1", "Pod", p["namespace"], p["name"], metadata={"labels": p.get("labels") or {}, **given},
            spec={"nodeName": nodes[p["namespace"], p["name"]], "hostNetwork": bool(p.get("hostNetwork")),
                  "containers": [{"name": "c", "ports": ports}]})
    for p in policies:
        out["NetworkPolicy", p["metadata"].get("namespace", "default"), p["metadata"]["name"]] = p
    return out


def cells(cluster, order, table):
    """Of a table, in each family that both ends have."""
    members = {f"{p['namespace']}/{p['name']}": p for p in cluster["pods"]} | {e["name"]: e for e in cluster.get("external") or []}
    families = {name: {version(ip) for ip in addresses(members[name])} for name in order}
    return {(src, dst, port, family): want == "." for port, rows in table.items() for src in order
            for dst, want in zip(order, rows[src]) if want != "#" for family in families[src] & families[dst]}


class PolicyWorld:
    def __init__(self, lab, scratch, cluster, attachment):
        self.path = scratch / "objects.json"
        self.place = PLACE[attachment]
        nodes = self.place(cluster)
        self.have = objects(cluster, [], nodes)
        given = [{"apiVersion": "v1", "kind": "Node", "metadata": {"name": n}} for n in sorted({*NODES, *nodes.values()})]
        # A pod with an address of one family gets any of the other, but not one that a pod will ask for.
        asked = sorted({str(around(a, 32, 128)) for p in cluster["pods"] if not p.get("hostNetwork") for a in addresses(p)})
        given.append({"apiVersion": "fairlead.io/v1", "kind": "IPReservation", "metadata": {"name": "asked-for"}, "spec": {"reservedCIDRs": asked}})
        self.lab = lab("--racks", 2, "--mode", "direct", "--attachment", attachment, *ranges(cluster),
                       manifests=[self.write([*given, *self.have.values()])])

    def write(self, items):
        self.path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        return self.path

    def to(self, cluster, policies):
        """Applies and deletes what differs, and waits until every node's kernel has it."""
        want = objects(cluster, policies, self.place(cluster))
        gone = [o for key, o in self.have.items() if key not in want]
        new = [o for key, o in want.items() if self.have.get(key) != o]
        if gone:
            self.lab.store("delete", "-f", self.write(gone), "--wait=20")
        if new:
            self.lab.store("apply", "-f", self.write(new), "--wait=20")
        self.have = want

    def probe(self, cluster, ports, timeout):
        """{(from, to, "TCP/80", family): result} of every pair"""
        words = ",".join("/".join(reversed(p.lower().split("/"))) for p in ports)
        external = [a for e in cluster.get("external") or [] for a in ("--external", f"{e['name']}={e['ip']}")]
        rows = self.lab.matrix("--ports", words, "--timeout", timeout, *external, timeout=300)
        return {(r["from"], r["to"], port_words(r["proto"], r["port"]), r["family"]): r["result"] for r in rows}

    def wrong(self, cluster, wanted):
        """Cells that differ, as text. Silence where an answer is expected counts when it lasts; an answer where
        silence is expected counts at once."""
        assert wanted
        ports = sorted({port for _, _, port, _ in wanted})
        got = self.probe(cluster, ports, QUICK)
        bad = {c for c, allowed in wanted.items() if (got[c] != "timeout") != allowed}
        if any(got[c] == "timeout" for c in bad):
            again = self.probe(cluster, ports, PATIENT)
            bad = {c for c in bad if got[c] != "timeout" or again[c] == "timeout"}
        return ["{} to {} {} IPv{}: ".format(*c) + f"wanted {'.' if wanted[c] else 'X'}, got {got[c]}" for c in sorted(bad)]
