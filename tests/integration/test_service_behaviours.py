# SPDX-License-Identifier: Apache-2.0
"""tests/services-behaviours.tsv says of each behaviour that Kubernetes' end-to-end tests ask of Services which
test shows it, or why it is not applicable; here is that nothing is left out, and that those tests are there."""
import hashlib
import json
import re

from harness import ROOT


def rows():
    lines = (ROOT / "tests/services-behaviours.tsv").read_text().splitlines()
    return [line.split("\t") for line in lines if not line.startswith("#")]


def is_there(test):
    path, _, name = test.partition("::")
    file = ROOT / path
    return file.is_file() and (not name or re.search(rf"^(?:def|static void) {name}\(", file.read_text(), re.M))


def test_named_tests_are_there():
    assert not is_there("tests/integration/test_services.py::test_of_nothing"), "the check finds what is missing"
    for key, tests, words in rows():
        assert re.fullmatch(r"[0-9a-f]{12}", key) and words
        for test in tests.split() if tests != "-" else ():
            assert is_there(test), test


def test_every_behaviour_is_mapped(suites):
    listed = json.loads((suites / "services/public/e2e-behaviours.json").read_text())["behaviours"]
    want = {hashlib.sha256(f"{b['file']} {b['name']}".encode()).hexdigest()[:12]: b["name"] for b in listed}
    have = [key for key, _, _ in rows()]
    assert len(set(have)) == len(have)
    missing = [name for key, name in want.items() if key not in have]
    assert not missing
    assert set(have) <= set(want), "nothing is mapped that is not asked for"
