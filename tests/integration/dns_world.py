# SPDX-License-Identifier: Apache-2.0
"""Role dns in a namespace of its own, the objects that it answers from, and others that it asks."""
import json
import re
import subprocess

import pytest

from harness import built, wait_for


class Dns:
    """A server on 127.0.0.1 and ::1 of a namespace of its own."""

    def __init__(self, netns, keeper, store, start, scratch, *objects, ns=None, **settings):
        self.ns, self.store, self.start, self.scratch = ns or netns("dns"), store, start, scratch
        self.ns.batch("link set lo up")
        if objects:
            store.apply(*objects)
        settings.setdefault("dns_upstream", "off")
        self.keeper = keeper(self.ns, "n1", store, roles="dns health", **settings)
        wait_for(lambda: (self.keeper.run_dir / "dns.sock").exists(), 20, "role dns answers")

    def dig(self, name, kind="A", *args, server="127.0.0.1", program="dig"):
        """([(owner, type, data)] of the answer, status, text)"""
        ways = ("+timeout=2", "+retry=0") if program == "kdig" else ("+time=2", "+tries=1", "+noall", "+comments", "+answer", "+authority")
        text = self.ns.run(program, f"@{server}", *ways, *args, name, kind, check=False).stdout
        status = re.search(r"status: (\w+)", text)
        rows = re.findall(r"^(\S+)\s+\d+\s+IN\s+(\S+)\s+(.*)$", text, re.M)
        return rows, status and status[1], text

    def answers(self, name, kind="A", *args, **kw):
        rows, status, text = self.dig(name, kind, *args, **kw)
        assert status == "NOERROR", text
        return sorted(r[2] for r in rows if r[1] == kind)

    def fairlead(self, *args):
        return subprocess.run([built("bin/fairlead"), "dns", *args, "--run-dir", self.keeper.run_dir],
                              capture_output=True, text=True, timeout=30)

    def metrics(self):
        return self.ns.run("curl", "-s", "http://127.0.0.1:9099/metrics").stdout


@pytest.fixture
def dns(netns, keeper, store, start, scratch):
    return lambda *objects, **kw: Dns(netns, keeper, store, start, scratch, *objects, **kw)


# ---- others

class Upstream:
    """A dnsmasq that logs what it is asked."""

    def __init__(self, dns_ns, start, scratch, *args, addr="127.0.0.2"):
        self.log = scratch / f"upstream-{addr}.log"
        self.log.touch(0o666)
        self.log.chmod(0o666)
        self.argv = ["dnsmasq", "-k", "-C", "/dev/null", "-h", "-R", "-z", "-u", "root", "-a", addr, "-q", f"--log-facility={self.log}",
                     "--pid-file=", "--host-record=www.example.com,192.0.2.1,2001:db8::1", "--local=/example.com/",
                     "--txt-record=big.example.com," + ",".join("x" * 200 for _ in range(20)), "--local-ttl=60", "--neg-ttl=60", *args]
        self.start, self.ns, self.program = start, dns_ns, None
        self.begin()

    def begin(self):
        self.program = self.start(self.argv, ns=self.ns)
        wait_for(lambda: "started" in self.log.read_text())

    def asked(self, name):
        return len(re.findall(rf"query\[\w+\] {re.escape(name)} from", self.log.read_text(), re.I))


@pytest.fixture
def others(netns, start, scratch):
    """(namespace, up): up(address) starts an upstream there"""
    ns = netns("dns")
    ns.batch("link set lo up")
    return ns, lambda *args, **kw: Upstream(ns, start, scratch, *args, **kw)


# ---- objects

def namespace(name):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def service(name, *ips, ports=(("http", "TCP", 80),), ns="shop", **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": ns, "name": name},
            "spec": {"clusterIP": ips[0] if ips else "None", "clusterIPs": list(ips) or ["None"],
                     "ipFamilies": ["IPv6" if ":" in ip else "IPv4" for ip in ips] or ["IPv4"],
                     "selector": {"app": name},
                     "ports": [{"name": n, "protocol": p, "port": number} for n, p, number in ports], **spec}}


def slice_of(name, *endpoints, ports=(("http", "TCP", 8080),), family="IPv4", ns="shop"):
    """endpoints: address, or (address, hostname), or (address, hostname, ready)"""
    made = []
    for e in endpoints:
        ip, host, ready = (*((e,) if isinstance(e, str) else e), None, True)[:3] if not isinstance(e, tuple) or len(e) < 3 else e
        made.append({"addresses": [ip], "conditions": {"ready": ready}} | ({"hostname": host} if host else {}))
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"namespace": ns, "name": f"{name}-{family.lower()}", "labels": {"kubernetes.io/service-name": name}},
            "addressType": family, "endpoints": made,
            "ports": [{"name": n, "protocol": p, "port": number} for n, p, number in ports]}


def pod(name, ip, ns="shop"):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": ns, "name": name},
            "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "none"}]},
            "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}]}}


SHOP = (namespace("shop"),
        service("web", "10.96.0.1", "fd00:96::1"), slice_of("web", "10.244.1.1"),
        service("db"), slice_of("db", ("10.244.1.2", "db-0"), ("10.244.2.3", "db-1"), ("10.244.2.4", "db-2", False)),
        {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "shop", "name": "ext"},
         "spec": {"type": "ExternalName", "externalName": "www.example.com"}},
        pod("db-0", "10.244.1.2"))
