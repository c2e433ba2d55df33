# SPDX-License-Identifier: Apache-2.0
"""A container runtime's side of CNI, for tests: executes a plugin as the specification says."""
import ipaddress
import json
import os
import subprocess

from harness import built

VERSIONS = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]


class CniError(Exception):
    """The error object that a plugin printed; .code, .msg"""

    def __init__(self, doc, stderr):
        super().__init__(f"{doc} {stderr}")
        self.doc, self.code, self.msg = doc, doc.get("code"), doc.get("msg", "")


def raw(command, conf, *, plugin="fairlead-cni", ns=None, env=None, timeout=40, **variables):
    """One execution: CompletedProcess with text output. `variables` are container, ifname, netns,
    args; `conf` is a dict or text. `ns`: the NetNS in which the runtime lives."""
    e = {"PATH": os.environ["PATH"], "CNI_COMMAND": command, "CNI_PATH": "/opt/cni/bin"}
    for key, name in (("container", "CNI_CONTAINERID"), ("ifname", "CNI_IFNAME"),
                      ("netns", "CNI_NETNS"), ("args", "CNI_ARGS")):
        if variables.get(key) is not None:
            e[name] = str(variables[key])
    e.update(env or {})
    path = plugin if "/" in str(plugin) else built(f"bin/{plugin}")
    return subprocess.run(ns.argv(path) if ns else [path], env=e, capture_output=True, text=True,
                          input=conf if isinstance(conf, str) else json.dumps(conf),
                          timeout=timeout)


def call(command, conf, **kw):
    """As raw(), but gives the printed document (None for an empty one) or raises CniError."""
    r = raw(command, conf, **kw)
    if r.returncode:
        raise CniError(json.loads(r.stdout), r.stderr)
    return json.loads(r.stdout) if r.stdout.strip() else None


def addresses(result):
    return [str(ipaddress.ip_interface(i["address"]).ip) for i in result["ips"]]


class Network:
    """One configured network, and who is attached: net.add("c1", pod_ns) …"""

    def __init__(self, host, conf, plugin="fairlead-cni"):
        self.host, self.plugin = host, plugin
        self.conf = {"cniVersion": "1.1.0", "name": "net", "type": plugin, **conf}
        self.results = {}

    def _call(self, command, container=None, pod=None, ifname="eth0", conf=None, **kw):
        if container is not None:
            kw.setdefault("container", container)
            kw.setdefault("ifname", ifname)
        if pod is not None:
            kw.setdefault("netns", getattr(pod, "path", pod))
        return call(command, {**self.conf, **(conf or {})}, plugin=self.plugin, ns=self.host, **kw)

    def add(self, container, pod, ifname="eth0", **kw):
        r = self._call("ADD", container, pod, ifname, **kw)
        self.results[container, ifname] = r
        return r

    def delete(self, container, pod=None, ifname="eth0", **kw):
        return self._call("DEL", container, pod, ifname, **kw)

    def check(self, container, pod, ifname="eth0", prev=None):
        prev = prev or self.results[container, ifname]
        return self._call("CHECK", container, pod, ifname, conf={"prevResult": prev})

    def gc(self, *valid):
        attachments = [{"containerID": c, "ifname": i} for c, i in valid]
        return self._call("GC", conf={"cni.dev/valid-attachments": attachments})

    def status(self):
        return self._call("STATUS")
