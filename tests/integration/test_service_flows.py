# SPDX-License-Identifier: Apache-2.0
"""Every flow of the Service suites as real packets, on nodes with a default route and on nodes that only
know a way to the clients: who answers, whose address they see, who is refused, what is dropped.
Another node asks for the same in each case; the suite's oracle says what should come of that."""
import json
import random

import pytest

from harness import suites_dir
from service_world import NODE, OTHER, Flow, ServiceWorld, expected, fits_bridges, oracle

SEED, SAMPLE = 4, {"routed": 6, "bridge": 2}
FILES = ("flows", "flows-generated")
NOT_OURS = "a proxy that cannot tell pods from others"


def cases():
    path = suites_dir()
    if not path:
        return []
    return [c for f in FILES for c in json.loads((path / f"services/public/{f}.json").read_text())["cases"]]


def pytest_generate_tests(metafunc):
    """Each case with and without default routes, in each attachment that it fits: some of them, with --all
    every one."""
    every = {"routed": cases(), "bridge": [c for c in cases() if fits_bridges(c)]}
    both = [(c, default, attachment) for attachment in every for c in every[attachment] for default in (True, False)]
    if not metafunc.config.option.run_all:
        pick = random.Random(SEED)
        ours = {a: [b for b in both if b[2] == a and b[0]["config"]["detectLocal"]] for a in every}
        both = [b for a, those in ours.items() for b in pick.sample(those, min(SAMPLE[a], len(those)))]
    metafunc.parametrize("case, default_route, attachment", [
        pytest.param(c, default, attachment, id=f"{c['id']}-{'default' if default else 'clients'}-{attachment}",
                     marks=() if c["config"]["detectLocal"] else pytest.mark.skip(reason=NOT_OURS))
        for c, default, attachment in both] or [pytest.param(None, True, "routed", id="none")])


def from_another_node(w, judge):
    """What its own rules say comes first; what those let pass to an address of test-node, that node judges."""
    source = w.address(OTHER)
    there = judge(w.case["objects"], {**w.cfg, "nodeName": OTHER, "nodeIPs": w.addresses[OTHER]})
    here = judge(w.case["objects"], w.cfg)
    for proto, to, port in sorted({(f["protocol"], f["to"], f["port"]) for f in w.case["flows"]}):
        if to in ("127.0.0.1", "::1"):
            continue
        want = {**there.judge(source, proto, to, port), "by": OTHER}
        if want["action"] == "PASS" and to in w.cfg["nodeIPs"]:
            want = {**here.judge(source, proto, to, port), "by": NODE}
        yield Flow("another node", source, proto, to, port, want)


def test_flows(suites, lab, netns, start, scratch, case, default_route, attachment):
    w = ServiceWorld(lab, netns, start, scratch, case, default_route, attachment)
    flows = [Flow(f["name"], f["from"], f["protocol"], f["to"], f["port"], expected(f)) for f in case["flows"]]
    flows += from_another_node(w, oracle(suites).Proxy)
    w.send(flows)
    # What a busy machine loses is no verdict: datagrams are asked once more, TCP repeats by itself.
    again = [f for f in flows if w.wrong(f) and f.protocol != "TCP"]
    for f in again:
        f.got.clear()
    w.send(again)
    bad = [str(f) for f in flows if w.wrong(f)]
    assert not bad, f"{len(bad)} of {len(flows)} flows:\n" + "\n".join(bad)
