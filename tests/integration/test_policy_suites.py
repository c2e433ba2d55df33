# SPDX-License-Identifier: Apache-2.0
"""Every cell of the NetworkPolicy suites as real packets: each case's steps one after the other, as changes
of a running lab, in routed and in bridge attachment. Cases that begin with the same cluster share a lab."""
import json
import random

import pytest

from harness import suites_dir
from policy_world import PolicyWorld, cells, fits_bridges

SEED = 5
FILES = {"cyclonus": 2, "k8s-e2e": 3, "recipes": 2, "generated": 6}  # and how many labs without --all
AT_ONCE, SOME = 24, 4  # cases in one lab, so that workers have something to share; without --all


def groups(path, file):
    """(name, the file's clusters, cases, attachment): what one lab serves."""
    suite, by_cluster = json.loads((path / f"netpol/public/{file}.json").read_text()), {}
    for case in suite["cases"]:
        by_cluster.setdefault(case["steps"][0]["cluster_ref"], []).append(case)
    return [(f"{file}-{ref}-{at}-{attachment}", suite["clusters"], cases[at:at + AT_ONCE], attachment)
            for ref, cases in by_cluster.items() for at in range(0, len(cases), AT_ONCE)
            for attachment in ("routed", *["bridge"] * fits_bridges(suite["clusters"][ref]))]


def pytest_generate_tests(metafunc):
    """With --all everything, else some labs of each file and some cases in each."""
    path, some, rows = suites_dir(), random.Random(SEED), []
    for file, labs in FILES.items() if path else ():
        mine = groups(path, file)
        if not metafunc.config.option.run_all:
            mine = [(name, clusters, some.sample(cases, min(SOME, len(cases))), a)
                    for name, clusters, cases, a in some.sample(mine, labs)]
        rows += mine
    metafunc.parametrize("clusters, cases, attachment", [pytest.param(*rest, id=name) for name, *rest in rows] or
                         [pytest.param({}, [], "routed", id="none")])


def test_cells(suites, lab, scratch, clusters, cases, attachment):
    w = PolicyWorld(lab, scratch, clusters[cases[0]["steps"][0]["cluster_ref"]], attachment)
    bad = []
    for case in cases:
        for number, step in enumerate(case["steps"], 1):
            cluster = clusters[step["cluster_ref"]]
            w.to(cluster, step["policies"])
            bad += [f"{case['id']} step {number}: {text}" for text in w.wrong(cluster, cells(cluster, step["order"], step["expected"]))]
    assert not bad, f"{len(bad)} cells:\n" + "\n".join(bad[:100])
