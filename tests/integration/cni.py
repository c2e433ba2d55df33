# SPDX-License-Identifier: Apache-2.0
"""A container runtime's side of CNI, for tests: executes a plugin as the specification says."""
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
