# SPDX-License-Identifier: Apache-2.0
"""What a lab may take on the test machine (two cores). Alone, since others would be measured too."""
import time
from pathlib import Path

import pytest
import yaml

PLAIN = Path(__file__).resolve().parents[2] / "examples/plain-30.yaml"
pytestmark = pytest.mark.alone


def test_thirty_pods_are_ready_in_three_seconds(lab):
    begun = time.monotonic()
    a = lab("--nodes", 3, "--racks", 2, "--mode", "vxlan", "--cross-subnet", manifests=[PLAIN])
    took = time.monotonic() - begun
    assert len(a.status()["pods"]) == 30
    begun = time.monotonic()
    a.down()
    down = time.monotonic() - begun
    print(f"up {took:.2f} s, down {down:.2f} s")
    assert took < 3 and down < 1


def test_ten_thousand_cells_in_twenty_seconds(lab, tmp_path):
    path = tmp_path / "hundred.yaml"
    path.write_text(yaml.safe_dump({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "w", "namespace": "big"},
        "spec": {"replicas": 100, "selector": {"matchLabels": {"app": "w"}}, "template": {
            "metadata": {"labels": {"app": "w"}},
            "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80}]}]}}}}))
    a = lab("--nodes", 3, "--racks", 2, manifests=[path])
    for args, want in (([], "connected"), (["--ports", "99/tcp"], "refused")):
        begun = time.monotonic()
        rows = a.matrix("--family", 4, *args)
        took = time.monotonic() - begun
        assert len(rows) == 10000 and {r["result"] for r in rows} == {want}
        print(f"10000 {want}: {took:.1f} s")
        assert took < 20
    begun = time.monotonic()
    said = a("verify", "--family", 4).stdout
    took = time.monotonic() - begun
    assert said == "10000 cells probed: 10000 as predicted, 0 not\n"
    print(f"10000 verified: {took:.1f} s")
    assert took < 20
