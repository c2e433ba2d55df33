# SPDX-License-Identifier: Apache-2.0
"""The benches still run: each in its smallest form, its figures in the last line."""
import json
import subprocess

import pytest

from harness import ROOT, needs

SMALLEST = {
    "cni": (["--rounds", 1, "--pods", 4], ["ratio.add", "ratio.del.at_once_16", "floor.add.median"]),
    "path": (["--rounds", 1, "--requests", 100, "--streams", 0],
             ["ratio.same.tcp.bridge", "ratio.direct.udp.hand", "ratio.vxlan.connect.bare"]),
    "memory": (["--objects", "50"], ["pods_30.all.pss", "pods_30.objects_50.agent.pss"]),
    "policy": (["--policies", "4,12", "--pods", 60, "--here", 20, "--namespaces", 4, "--changes", 4, "--rounds", 1, "--requests", 100],
               ["rooms.load.median", "rooms.change.p99", "agent.start", "agent.change.median", "memory.agent.12",
                "ratio.udp.12", "ratio.connect.12"]),
    "dns": (["--services", 50, "--endpoints", 100, "--rounds", 1, "--seconds", 0.2, "--changes", 2],
            ["ratio.rate.knot", "ratio.cpu.unbound", "ratio.dnsperf.dnsmasq", "ratio.rate.echo", "fairlead.pss", "change.p99"]),
    "trace": (["--ways", "direct", "--rounds", 1, "--requests", 100, "--streams", 0],
              ["ratio.direct.tcp.traced", "ratio.direct.connect.lab", "ratio.direct.udp.sockets", "open"]),
    "services": (["--shared", "5x3", "--alone", "20x3", "--changes", 2, "--rounds", 1, "--requests", 100,
                  "--services", "1,20"],
                 ["ratio.5x3.load.iptables", "ratio.5x3.change.nft", "20x3.add.agent.p99",
                  "ratio.20x3.cni_add.p99", "20x3.pss.agent", "ratio.connect.flat"]),
}


@needs("iperf3", "iptables-restore", "/usr/lib/cni/bridge", "dnsperf", "knotd", "unbound", "dnsmasq")
@pytest.mark.slow("each builds worlds of its own, for figures that nobody reads")
@pytest.mark.parametrize("name", SMALLEST)
def test_figures(name):
    args, expected = SMALLEST[name]
    r = subprocess.run([ROOT / "tests/bench" / name, *map(str, args)], capture_output=True, text=True,
                       timeout=300, stdin=subprocess.DEVNULL)
    assert not r.returncode, r.stderr
    figures = json.loads(r.stdout.splitlines()[-1])
    assert figures["bench"] == name
    assert all(figures[k] > 0 for k in expected)
