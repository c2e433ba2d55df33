# SPDX-License-Identifier: Apache-2.0
"""PacketTraces by hand: as `fairlead trace` makes them, but read as the agents wrote them."""
import json
import secrets
import time

import yaml
from harness import wait_for


def now_rfc3339(after):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + after))


def spec(source, dst, port=None, proto="TCP", nodes=(), seconds=3, lives=40):
    """source: {"address"} and, of a pod, "namespace", "pod", "node"; without node nobody's agent sends."""
    d = {"address": dst} | ({"port": port} if port else {})
    s = {"source": source, "destination": d, "protocol": proto, "nodes": list(nodes),
         "signature": int.from_bytes(secrets.token_bytes(8), "big", signed=True) | 1, "timeoutSeconds": seconds,
         "expires": now_rfc3339(lives)}
    return s | ({"sender": source["node"]} if "node" in source else {})


class Traces:
    def __init__(self, lab, path):
        self.lab, self.path = lab, path

    def create(self, s):
        name = f"t-{secrets.token_hex(4)}"
        f = self.path / f"{name}.yaml"
        f.write_text(yaml.safe_dump({"apiVersion": "fairlead.io/v1", "kind": "PacketTrace",
                                     "metadata": {"name": name}, "spec": s}))
        self.lab.store("apply", "-f", f)
        return name

    def get(self, name):
        return json.loads(self.lab.store("get", "packettraces", name, "-o", "json").stdout)

    def phases(self, name):
        return {n["name"]: n["phase"] for n in self.get(name).get("status", {}).get("nodes", [])}

    def ended(self, name):
        """All nodes have said what they saw, or that they see nothing."""
        t = self.get(name)
        nodes = t.get("status", {}).get("nodes", [])
        return t if len(nodes) == len(t["spec"]["nodes"]) and all(n["phase"] != "Armed" for n in nodes) else None

    def run(self, s, timeout=15):
        name = self.create(s)
        return wait_for(lambda: self.ended(name), timeout, f"the end of {name}")


def node_of(trace, name):
    return next(n for n in trace["status"]["nodes"] if n["name"] == name)


def facts(trace, node, *kinds):
    return [o for o in node_of(trace, node).get("observations", []) if not kinds or o["kind"] in kinds]
