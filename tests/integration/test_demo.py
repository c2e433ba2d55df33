# SPDX-License-Identifier: Apache-2.0
"""The demo, as ./dev demo runs it. It fails by itself where something else is seen than should be; here
that its later parts show what they are for."""
import re
import subprocess

import pytest

from harness import OUT, ROOT, built, needs


@pytest.fixture(scope="module")
def told():
    built("bin/fairlead")
    try:
        r = subprocess.run([ROOT / "tools/demo", OUT], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    finally:
        subprocess.run([built("bin/fairlead"), "lab", "down", "--name", "demo"], capture_output=True, timeout=60)
    assert r.returncode == 0, r.stdout + r.stderr
    return r.stdout


def part(text, start):
    return text.partition(start)[2]


@needs("arping", "ping", "unshare")
def test_demo_shows_bgp(told):
    text = part(told, "Part 2, once more").partition("Part 2, again")[0]
    mesh, reflected = re.findall(r"^    NODE +PEER +.*?\n\n", text, re.M | re.S)
    assert mesh.count(" Established ") == 6 and " client " not in mesh and " client " in reflected
    assert re.search(r"by tunl0, in a packet to 172\.18\.", text)
    gone, = re.findall(r"is cut off: n\d has no route to it any more after (\d+\.\d+) s", text)
    assert float(gone) < 1 and "BFD: Control Detection Time Expired" in text


@needs("arping", "ping", "unshare")
def test_demo_shows_services(told):
    text = part(told, "Part 3: Services")
    tables = re.findall(r"^    NODE   HOOK.*?\n\n", text, re.M | re.S)
    assert len(tables) == 2
    cluster_ip, node_port = ([line.split() for line in t.splitlines()] for t in tables)

    def has(rows, *words):
        """A row with these words, in this order."""
        return any(re.search(".*".join(map(re.escape, words)), " ".join(row)) for row in rows)
    assert has(cluster_ip, "prerouting") and has(cluster_ip, "forward") and has(cluster_ip, "postrouting")
    assert has(cluster_ip, "services", "goto", "KUBE-SERVICES") and not has(cluster_ip, "masquerade", "KUBE-")
    assert has(node_port, "services", "goto", "KUBE-NODEPORTS") and has(node_port, "dnat", "KUBE-SVC-*, KUBE-SEP-*")
    assert has(node_port, "service-masq", "KUBE-MARK-MASQ") and has(node_port, "masquerade", "KUBE-POSTROUTING")
    assert "CONNTRACK: ORIGINAL" in text
    assert "the pod saw the client itself, 203.0.113.10" in text
    assert re.search(r"n\d has none: dropped there", text)


@needs("arping", "ping", "unshare")
def test_demo_shows_names(told):
    text = part(told, "Part 3, by name").partition("Part 4")[0]
    assert "→ the pod asks 10.96.0.10" in text and "→ api is api.shop.svc.cluster.local, at the Service's cluster IP" in text
    assert re.search(r"the DNS of Node n\d answers NOERROR, api\.shop\.svc\.cluster\.local\. 5 A \S+: from the cluster's names, by Service shop/api", text)


@needs("arping", "ping", "unshare")
def test_demo_shows_policies(told):
    text = part(told, "Part 4: network policies")
    assert "Nor may anybody ask for names any more." in text and re.search(r"names again: db-0\.db\.", text)
    assert re.search(r"→ allowed by shop/db ingress\[0\]\.from\[0\]$", text, re.M)
    assert re.search(r"→ why: default deny by shop/deny-all, shop/web$", text, re.M)
    assert re.search(r"→ and shop/db ingress\S+ does not match: ", text)
    assert re.search(r"policy: egress denied: tcp shop/web-\S+ 10\.\S+ > shop/db-0 10\.\S+:5432: default deny by shop/deny-all, shop/web$", text, re.M)
    assert re.search(r"^    POLICY .* PACKETS +BYTES\n    shop/db +ingress .* [1-9]\d* +\d+\n"
                     r"    - +egress +default deny by shop/deny-all, shop/web +[1-9]\d* +\d+$", text, re.M)
    assert re.search(r": (\d+) of \1 as the policies say$", text, re.M)


@needs("arping", "ping", "unshare")
def test_demo_has_no_escapes_in_a_pipe(told):
    assert "\033" not in told
    assert re.search(r"^All seen, \d", told, re.M)


@needs("arping", "ping", "unshare")
def test_demo_ends_with_two_stories(told):
    text = part(told, "Part 5: the life of one packet")
    answered, dropped = re.findall(r"^    (?:answered|dropped) .*?(?=^  \S|\Z)", text, re.M | re.S)[:2]
    steps = re.findall(r"^ {4}.{9}  .*?  (send|service|tunnel-in|tunnel-out|policy-ingress|deliver|answer|untranslate)  ", answered, re.M)
    assert steps == ["send", "service", "tunnel-in", "tunnel-out", "policy-ingress", "deliver",
                     "answer", "tunnel-in", "tunnel-out", "untranslate", "deliver"]
    assert "default deny by tale/guests" in dropped and "reply" not in dropped
