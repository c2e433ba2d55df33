# SPDX-License-Identifier: Apache-2.0
"""Policies in nftables (core/nft/policies.h) against the kernel: it takes every put of a random cluster's
changes, and holds afterwards what was said. What the rules mean is tested in tests/unit/test_nft_policies.c
and with packets in test_policy_suites.py."""
import re

import pytest

from harness import built, needs

pytestmark = needs("nft")


def policy_kernel(ns, *args):
    return ns.run(built("../tests/integration/helpers/policy_kernel"), *args).stdout


@pytest.mark.parametrize("seed", range(1, 5))
def test_kernel_takes_every_put(netns, seed):
    ns = netns()
    policy_kernel(ns, "random", seed, 300)
    text = ns.run("nft", "-s", "list", "ruleset").stdout
    assert re.search(r"chain (in|e)gress[46]-[abc]/n\d ", text)  # what it compared was not empty
    ns.run("nft", "-c", "-f", "-", input="flush ruleset\n" + text)


def test_change_of_a_label_in_a_large_cluster(netns):
    out = policy_kernel(netns(), "big")
    changed = re.search(r"labels: told ([\d.]+) put ([\d.]+) commit ([\d.]+) us, worst .*, (\d+) elements", out)
    assert float(changed[1]) + float(changed[2]) < 1000
    assert 0 < int(changed[4]) < 20
