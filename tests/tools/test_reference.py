# SPDX-License-Identifier: Apache-2.0
"""What `fairlead schema` says, as docs/crds and docs/reference hold it, and examples/kinds: judged by
the rules of the Kubernetes API server for structural schemas (written here by hand), by
python3-jsonschema, and by `fairlead apply`."""
import copy
import ipaddress
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
OUT = Path(os.environ.get("FAIRLEAD_BUILD") or ROOT / "build/release/out")
CRDS = {c["spec"]["names"]["kind"]: c for c in
        (yaml.safe_load(p.read_text()) for p in sorted((ROOT / "docs/crds").glob("*.yaml")))}
EXAMPLES = sorted((ROOT / "examples/kinds").glob("*.yaml"))

# apiextensions.k8s.io/v1: what a node of a structural schema may hold, of what we write.
SCHEMA_KEYS = {"type", "description", "properties", "required", "items", "additionalProperties", "enum",
               "format", "minimum", "maximum", "anyOf", "x-kubernetes-int-or-string"}
# Formats that the API server checks; others it ignores (apiextensions/pkg/apiserver/validation/formats.go).
FORMATS = {"string": {"ipv4", "ipv6", "cidr", "mac", "date-time"}, "integer": {"int64"}}


def schema_of(crd):
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


# ---- structural

def walk(schema, at):
    """Every rule of a structural schema that a node breaks."""
    if set(schema) - SCHEMA_KEYS:
        yield f"{at}: {set(schema) - SCHEMA_KEYS}"
    if schema.get("x-kubernetes-int-or-string"):
        return
    kind = schema.get("type")
    if kind not in ("object", "array", "string", "integer", "boolean"):
        yield f"{at}: type {kind}"
    if "format" in schema and schema["format"] not in FORMATS.get(kind, ()):
        yield f"{at}: format {schema['format']} of {kind}"
    for branch in schema.get("anyOf", []):
        if set(branch) != {"format"} or branch["format"] not in FORMATS[kind]:
            yield f"{at}: anyOf {branch}"
    if ("items" in schema) != (kind == "array"):
        yield f"{at}: items"
    if "properties" in schema and "additionalProperties" in schema:
        yield f"{at}: properties and additionalProperties"
    for name in schema.get("required", []):
        if name not in schema.get("properties", {}):
            yield f"{at}: required {name} is no property"
    enum = schema.get("enum", [])
    if len(set(enum)) != len(enum) or any(not isinstance(v, str) for v in enum):
        yield f"{at}: enum {enum}"
    if schema.get("minimum", 0) > schema.get("maximum", 0):
        yield f"{at}: minimum and maximum"
    for name, sub in schema.get("properties", {}).items():
        yield from walk(sub, f"{at}.{name}")
        if name not in ("apiVersion", "kind", "metadata", "spec", "status") and \
                not re.fullmatch(r"[A-Z].*[^.]\.", sub.get("description", "")):
            yield f"{at}.{name}: no sentence says what it is"
    for word in ("items", "additionalProperties"):
        if word in schema:
            yield from walk(schema[word], f"{at}[{word}]")


def test_every_kind_has_its_files():
    names = {k.lower() for k in CRDS}
    assert names >= {"ippool", "ipblock", "ipreservation", "workloadendpoint", "nodestate"}
    assert {p.stem for p in EXAMPLES} == names
    assert {p.name for p in (ROOT / "docs/reference").iterdir()} == {n + ".md" for n in names} | {"README.md"}
    assert {p.name for p in (ROOT / "docs/crds").iterdir()} == {f"fairlead.io_{n}s.yaml" for n in names}


@pytest.mark.parametrize("kind", sorted(CRDS))
def test_crd_is_structural(kind):
    crd = CRDS[kind]
    assert (crd["apiVersion"], crd["kind"]) == ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    spec = crd["spec"]
    names = spec["names"]
    assert crd["metadata"]["name"] == f"{names['plural']}.{spec['group']}" and spec["group"] == "fairlead.io"
    assert names["kind"] == kind and names["listKind"] == kind + "List"
    assert all(re.fullmatch("[a-z]+", n) for n in [names["singular"], names["plural"], *names.get("shortNames", [])])
    assert spec["scope"] in ("Cluster", "Namespaced")
    (version,) = spec["versions"]
    assert version["name"] == "v1" and version["served"] and version["storage"]
    root = schema_of(crd)
    assert root["type"] == "object" and root["description"]
    assert root["properties"]["metadata"] == {"type": "object"}
    assert list(walk(root, kind)) == []
    assert ("subresources" in version) == ("status" in root["properties"])


@pytest.mark.parametrize("kind", sorted(CRDS))
def test_printer_columns_lead_to_fields(kind):
    version = CRDS[kind]["spec"]["versions"][0]
    columns = version["additionalPrinterColumns"]
    assert len({c["name"] for c in columns}) == len(columns) > (kind != "BGPFilter")  # which has nothing but lists of rules
    assert columns[-1] == {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
    for column in columns[:-1]:
        node = schema_of(CRDS[kind])
        for key in column["jsonPath"].split(".")[1:]:
            node = node["properties"][key]
        assert column["type"] == (node["type"] if node["type"] in ("integer", "boolean") else "string")


def test_what_the_tables_say_arrives():
    """By hand, from docs/architecture.md and the issue: so that an empty table would be seen."""
    spec = schema_of(CRDS["IPPool"])["properties"]["spec"]
    assert spec["required"] == ["cidr"]
    assert spec["properties"]["mode"]["enum"] == ["Direct", "VXLAN", "IPIP"]
    block = spec["properties"]["blockSize"]
    assert (block["type"], block["minimum"], block["maximum"]) == ("integer", 20, 128)
    assert spec["properties"]["nodeSelector"]["properties"]["matchLabels"] == {
        "description": "Labels that must be there with these values.",
        "type": "object", "additionalProperties": {"type": "string"}}
    scopes = {k: c["spec"]["scope"] for k, c in CRDS.items()}
    assert scopes["WorkloadEndpoint"] == "Namespaced" and scopes["IPPool"] == scopes["IPBlock"] == "Cluster"


# ---- examples against the schemas and against apply

checker = jsonschema.FormatChecker(formats=())


def says_valid(name, fn):
    @checker.checks(name, raises=ValueError)
    def check(value):
        return not isinstance(value, str) or fn(value)


says_valid("ipv4", lambda v: bool(ipaddress.IPv4Address(v)) or True)
says_valid("ipv6", lambda v: bool(ipaddress.IPv6Address(v)) or True)
says_valid("cidr", lambda v: "/" in v and bool(ipaddress.ip_interface(v)))
says_valid("mac", lambda v: bool(re.fullmatch(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", v)))


def judge(manifest):
    """Errors of the CRD's schema; OpenAPI 3.0's dialect of JSON Schema is close to draft 4."""
    schema = schema_of(CRDS[manifest["kind"]])
    jsonschema.Draft4Validator.check_schema(schema)
    return [e.message for e in jsonschema.Draft4Validator(schema, format_checker=checker).iter_errors(manifest)]


def apply(store, path):
    return subprocess.run([OUT / "bin/fairlead", "--store", f"dir:{store}", "apply", "--wait=0", "-f", path],
                          capture_output=True, text=True, timeout=30)


def objects(path):
    return list(yaml.safe_load_all(path.read_text()))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_example_is_what_it_says(path):
    page = (ROOT / f"docs/reference/{path.stem}.md").read_text()
    assert f"```yaml\n{path.read_text()}```" in page
    for o in objects(path):
        assert o["kind"].lower() == path.stem
        assert judge(o) == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_apply_takes_the_example_whole(path, tmp_path):
    r = apply(tmp_path, path)
    assert (r.returncode, r.stderr) == (0, ""), r.stdout
    for o in objects(path):
        got = json.loads(subprocess.run(
            [OUT / "bin/fairlead", "--store", f"dir:{tmp_path}", "get", o["kind"], o["metadata"]["name"],
             "-n", o["metadata"].get("namespace", "default"), "-o", "json"],
            capture_output=True, text=True, timeout=30, check=True).stdout)
        assert {k: got[k] for k in o if k != "metadata"} == {k: o[k] for k in o if k != "metadata"}
        assert o["metadata"].items() <= got["metadata"].items()


def bgp_manifests():
    yield (ROOT / "examples/bgp.yaml").read_text()
    yield from re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "docs/bgp.md").read_text(), re.M | re.S)


@pytest.mark.parametrize("text", bgp_manifests())
def test_what_docs_of_bgp_show_can_be_applied(text, tmp_path):
    (tmp_path / "bgp.yaml").write_text(text)
    docs = list(yaml.safe_load_all(text))
    for o in docs:
        assert o["kind"] not in CRDS or judge(o) == []
    r = apply(tmp_path / "store", tmp_path / "bgp.yaml")
    assert r.returncode == 0 and r.stdout.count(" created\n") == len(docs), r.stderr


BAD = [
    ("ippool", "spec.cidr", None), ("ippool", "spec.cidr", "10.244.0.0"), ("ippool", "spec.cidr", "10.244.0.0/33"),
    ("ippool", "spec.cidr", 10), ("ippool", "spec.mode", "vxlan"), ("ippool", "spec.blockSize", 19),
    ("ippool", "spec.blockSize", 129), ("ippool", "spec.blockSize", "26"), ("ippool", "spec.natOutgoing", "yes"),
    ("ippool", "spec.maxBlocksPerNode", -1), ("ippool", "spec.routes", "ospf"),
    ("ippool", "spec.nodeSelector", {"matchLabels": {"a": 1}}),
    ("ippool", "spec.nodeSelector", {"matchExpressions": [{"key": "a", "operator": "Equals"}]}),
    ("ippool", "spec.nodeSelector", {"matchExpressions": [{"operator": "Exists"}]}), ("ippool", "spec", None),
    ("ipblock", "spec.tunnelAddress", "10.244.1.0/32"), ("ipblock", "spec.tunnelAddress", "fd00::1::2"),
    ("ipblock", "spec.borrowed", [{"address": "10.244.1.9"}]),
    ("ipblock", "spec.borrowed", [{"node": "node2", "state": "Asked"}]), ("ipblock", "spec.borrowed", {}),
    ("ipreservation", "spec.reservedCIDRs", None), ("ipreservation", "spec.reservedCIDRs", ["10.244.0.53"]),
    ("workloadendpoint", "spec.node", None), ("workloadendpoint", "spec.mac", "0a580af4010b"),
    ("workloadendpoint", "spec.ips", "10.244.1.11/32"), ("nodestate", "status.pods", 1.5),
    ("nodestate", "status.conditions", [{"status": "True"}]),
    ("bgpconfiguration", "spec.asNumber", 4294967296), ("bgpconfiguration", "spec.networks", ["10.0.0.0"]),
    ("bgpconfiguration", "spec.timers", {"holdTimeSeconds": 65536}), ("bgpconfiguration", "spec.bfd", {"interval": 9}),
    ("bgppeer", "spec.asNumber", 0), ("bgppeer", "spec.nextHopMode", "Keep"), ("bgppeer", "spec.ttlSecurity", 255),
    ("bgppeer", "spec.password", {"secretKeyRef": {"name": "a"}}), ("bgppeer", "spec.families", ["IPX"]),
    ("bgpfilter", "spec.importV4", [{}]), ("bgpfilter", "spec.importV4", [{"action": "accept"}]),
    ("bgpfilter", "spec.exportV6", [{"action": "Accept", "prefixLength": {"max": 129}}]),
]


@pytest.mark.parametrize("stem, where, value", BAD, ids=lambda v: str(v)[:40])
def test_schema_and_apply_refuse_the_same(stem, where, value, tmp_path):
    manifest = copy.deepcopy(objects(ROOT / f"examples/kinds/{stem}.yaml")[0])
    *path, last = where.split(".")
    node = manifest
    for key in path:
        node = node[key]
    if value is None:
        del node[last]
    else:
        node[last] = value
    assert judge(manifest) != []
    (tmp_path / "bad.json").write_text(json.dumps(manifest))
    r = apply(tmp_path / "store", tmp_path / "bad.json")
    assert r.returncode == 1 and where in r.stderr, r.stderr


# ---- pages

@pytest.mark.parametrize("kind", sorted(CRDS))
def test_page_has_a_row_for_each_field(kind):
    """The two outputs name the same fields; every row has four cells and a meaning."""
    def fields(schema, at):
        for name, sub in schema.get("properties", {}).items():
            here = f"{at}{name}" + ("[]" if sub["type"] == "array" else "")
            yield here
            yield from fields(sub.get("items", sub), here + ".")
    rows = [line.strip("|").split("|") for line in
            (ROOT / f"docs/reference/{kind.lower()}.md").read_text().splitlines() if line.startswith("| `")]
    assert all(len(r) == 4 and r[3].strip() for r in rows)
    want = [f for f in fields(schema_of(CRDS[kind]), "") if f not in ("apiVersion", "kind", "metadata")]
    assert [r[0].strip(" `") for r in rows] == want


# ---- the verb and the tool

def schema(*args):
    return subprocess.run([OUT / "bin/fairlead", "schema", *args], capture_output=True, text=True, timeout=10)


def test_verb_prints_every_crd_and_refuses_others():
    docs = list(yaml.safe_load_all(schema("-o", "yaml").stdout))
    assert {d["spec"]["names"]["kind"]: d for d in docs} == CRDS and len(docs) == len(CRDS)
    assert json.loads(schema("ippool", "-o", "json").stdout) == CRDS["IPPool"]
    pod = schema("pod")
    assert pod.returncode == 0 and "`spec.containers[].ports[].containerPort` | number 1 to 65535" in pod.stdout
    assert schema("pod", "-o", "yaml").returncode == 2 and schema("nonsense").returncode == 2


def test_tool_sees_what_is_not_as_the_program_says(tmp_path):
    for folder in ("docs/crds", "docs/reference", "examples/kinds", "tools"):
        (tmp_path / folder).mkdir(parents=True)
    for path in [*(ROOT / "docs/crds").iterdir(), *(ROOT / "docs/reference").iterdir(), *EXAMPLES, ROOT / "tools/reference"]:
        shutil.copy(path, tmp_path / path.relative_to(ROOT))

    def check():
        r = subprocess.run([tmp_path / "tools/reference", "--check", OUT / "bin/fairlead"], capture_output=True,
                           text=True, timeout=30)
        return r.returncode, r.stdout
    assert check()[0] == 0
    page = tmp_path / "docs/reference/ippool.md"
    page.write_text(page.read_text().replace("| VXLAN |", "| IPIP |"))
    (tmp_path / "docs/crds/fairlead.io_nodestates.yaml").unlink()
    (tmp_path / "docs/crds/old.yaml").write_text("")
    code, said = check()
    assert code == 1 and [line.split(": ")[0] for line in said.splitlines()] == [
        "docs/crds/old.yaml:1", "docs/reference/ippool.md:12", "docs/crds/fairlead.io_nodestates.yaml:1"]
    subprocess.run([tmp_path / "tools/reference", OUT / "bin/fairlead"], check=True, timeout=30)
    (tmp_path / "docs/crds/old.yaml").unlink()
    assert check()[0] == 0
