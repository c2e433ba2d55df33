# SPDX-License-Identifier: Apache-2.0
"""Role bgp against frames that nobody of ours made up: the independent suite of BGP messages, whose cases mostly wait, so that
several speakers are tried at once."""
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from bgp_world import configuration, node
from harness import wait_for

SHARDS = 10
# What is accepted beside what the RFC asks. RFC 9234 (roles) is not implemented, so its attribute is one that we do not
# know: optional and transitive, it is passed on as it is, also where it is malformed.
TOLERATED = {"attr-otc"}


def peer(name, address, asn):
    return {"apiVersion": "fairlead.io/v1", "kind": "BGPPeer", "metadata": {"name": name},
            "spec": {"peerIP": address, "asNumber": asn, "passive": True}}


@pytest.fixture
def speakers(netns, keeper, store):
    """Factory: speakers(n) are n nodes, each alone in a namespace with the addresses of the suite's world."""
    def make(n):
        made = []
        for i in range(n):
            one = node(f"n{i}", "10.9.0.1", "2001:db8::1")
            one["metadata"]["annotations"] = {"fairlead.io/route-reflector-cluster-id": "10.9.0.1"}
            store.apply(one)
        store.apply(configuration(networks=None, prefixAdvertisements=None, gracefulRestart={"enabled": False}),
                    peer("ebgp", "10.9.0.2", 65001), peer("monitor", "10.9.0.3", 65002),
                    peer("ibgp", "10.9.0.4", 65000))
        for i in range(n):
            ns = netns(f"bgp{i}")
            ns.batch(*[f"addr add 10.9.0.{a}/24 dev lo" for a in range(1, 5)],
                     "addr add 2001:db8::1/64 dev lo nodad")
            k = keeper(ns, f"n{i}", store, roles="bgp")
            made.append((ns, k))
        for _, k in made:
            wait_for(lambda k=k: "speaks BGP" in k.program.log(), 30)
        return made
    return make


def run(suites, speaker, *args):
    ns, k = speaker
    return subprocess.run(ns.argv("python3", "-B", suites / "bgp_cases.py", "--alive-cmd",
                                  f"kill -0 {k.pid('bgp')}", *args),
                          capture_output=True, text=True, timeout=400)


def test_cases(suites, speakers, scratch):
    """No FAIL, no CRASH; what is merely tolerated is TOLERATED."""
    cases = [c["id"] for c in json.loads((suites / "bgp/cases.json").read_text())["cases"]]
    shards = [cases[i::SHARDS] for i in range(SHARDS)]
    with ThreadPoolExecutor(SHARDS) as pool:
        results = list(pool.map(
            lambda job: run(suites, job[1], "--only", ",".join(job[2]), "--json", scratch / f"{job[0]}.json"),
            zip(range(SHARDS), speakers(SHARDS), shards)))
    assert not [r.stdout + r.stderr for r in results if r.returncode]
    found = {}
    for i in range(SHARDS):
        found |= {c: r["result"] for c, r in json.loads((scratch / f"{i}.json").read_text())["results"].items()}
    assert set(found) == set(cases)
    assert {c for c, r in found.items() if r != "pass"} == TOLERATED


@pytest.mark.parametrize("seed", [1, 2])
def test_survives(suites, speakers, seed):
    r = run(suites, speakers(1)[0], "--fuzz", "80", "--seed", str(seed))
    assert r.returncode == 0 and ", 0 crashes" in r.stdout, r.stdout + r.stderr
