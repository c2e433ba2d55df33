# SPDX-License-Identifier: Apache-2.0
"""docs/reference/ and docs/crds/ are what `fairlead schema` says now, and a CRD is what Kubernetes
takes: structural, with the names and the scope of the kind. FAIRLEAD_BLESS=1 writes the files."""
import os
import subprocess

import yaml

from harness import ROOT, built

KINDS = {"ippool": "Cluster", "ipblock": "Cluster", "ipreservation": "Cluster", "workloadendpoint": "Namespaced",
         "nodestate": "Cluster"}


def schema(*args, code=0):
    r = subprocess.run([built("bin/fairlead"), "schema", *args], capture_output=True, text=True, timeout=10)
    assert r.returncode == code, r.stderr
    return r.stdout


def same_as_file(path, text):
    if os.environ.get("FAIRLEAD_BLESS") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.read_text() == text, f"{path} is not what `fairlead schema` says (FAIRLEAD_BLESS=1 writes it)"


def test_files():
    for kind in KINDS:
        same_as_file(ROOT / f"docs/reference/{kind}.md", schema(kind))
        same_as_file(ROOT / f"docs/crds/fairlead.io_{kind}s.yaml", schema(kind, "-o", "yaml"))


def check_structural(s):
    """What the API server asks of a schema (apiextensions: structural schemas)."""
    assert "type" in s or "x-kubernetes-int-or-string" in s, s
    assert set(s.get("required", [])) <= set(s.get("properties", {}))
    for sub in s.get("properties", {}).values():
        check_structural(sub)
    if s.get("type") == "array":
        check_structural(s["items"])


def test_crds():
    docs = {d["spec"]["names"]["singular"]: d for d in yaml.safe_load_all(schema("-o", "yaml"))}
    assert set(docs) == set(KINDS)
    for kind, scope in KINDS.items():
        d = docs[kind]
        assert d["metadata"]["name"] == d["spec"]["names"]["plural"] + ".fairlead.io"
        assert d["spec"]["scope"] == scope
        (version,) = d["spec"]["versions"]
        check_structural(version["schema"]["openAPIV3Schema"])
    pool = docs["ippool"]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert pool["required"] == ["cidr"]
    assert pool["properties"]["mode"]["enum"] == ["Direct", "VXLAN", "IPIP"]
    assert pool["properties"]["natOutgoing"] == {"type": "boolean", "description": pool["properties"]["natOutgoing"]["description"]}
    schema("pod", "-o", "yaml", code=2)
    assert "`spec.containers[].ports[].containerPort`" in schema("pod")
