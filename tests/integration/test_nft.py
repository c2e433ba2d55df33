# SPDX-License-Identifier: Apache-2.0
"""The nftables room against the nft program: it takes our text, and lists what we loaded by
netlink as that very text."""
import json
import re
import subprocess

import pytest

from harness import built, needs, wait_for

pytestmark = needs("nft")
CASES = ["meta", "headers", "ct", "sets", "concat", "maps", "priority", "statements", "nat",
         "families", "priorities", "node", "services", "nodeports", "policies"]
SEEDS = 60  # of random rulesets in each run


def nft_load():
    return built("../tests/integration/helpers/nft_load")


def load(ns, *args, check=True):
    return ns.run(nft_load(), *args, check=check)


def lists_as_said(ns, case):
    text = load(ns, "text", case).stdout
    ns.run("nft", "-c", "-f", "-", input=text)
    load(ns, "load", case)  # reads back and compares, too
    assert ns.run("nft", "-s", "list", "ruleset").stdout == text
    ns.run("nft", "flush", "ruleset")


def test_cases_are_all_here():
    out = subprocess.run([nft_load(), "cases"], capture_output=True, text=True, check=True).stdout
    assert out.split() == CASES


@pytest.mark.parametrize("case", CASES)
def test_list_equals_text(netns, case):
    lists_as_said(netns(), case)


def test_random_rulesets(netns):
    ns = netns()
    for seed in range(1, SEEDS + 1):
        lists_as_said(ns, seed)


@pytest.mark.slow
def test_many_random_rulesets(netns):
    ns = netns()
    for seed in range(SEEDS + 1, SEEDS + 1000):
        lists_as_said(ns, seed)


def test_loading_twice_and_adding_twice(netns):
    ns = netns()
    load(ns, "load", "node")
    first = ns.run("nft", "-s", "list", "ruleset").stdout
    load(ns, "load", "node")
    assert ns.run("nft", "-s", "list", "ruleset").stdout == first
    # An element that is there the same is no error.
    load(ns, "pod", "add", "fl0123456789abc", "routed", "02:42:01:02:03:04", "10.244.1.2",
         "fd00:10::2")
    assert ns.run("nft", "-s", "list", "ruleset").stdout == first


# ---- what is not ours

FOREIGN = """
table inet other {
	set s {
		type ipv4_addr
		elements = { 10.0.0.1 }
	}
	chain c {
		type filter hook forward priority 5
		ip saddr @s drop
	}
}
table ip fairlead {
	chain theirs {
		type filter hook input priority 7
		tcp dport 5 accept
	}
}
table inet fairlead-else {
	chain x {
		counter accept
	}
}
table bridge other {
	chain c {
		type filter hook forward priority 1
		ether type arp accept
	}
}
"""


def test_foreign_tables_are_left_alone(netns):
    ns = netns()
    ns.nft(FOREIGN)
    theirs = ns.run("nft", "-a", "list", "ruleset").stdout
    load(ns, "load", "node")
    load(ns, "audit")
    load(ns, "pod", "add", "flx", "routed", "02:00:00:00:00:01", "10.244.1.9")
    for table in ("inet fairlead", "arp fairlead", "bridge fairlead"):
        assert table in ns.ruleset()
        ns.run("nft", "delete", "table", *table.split())
    assert ns.run("nft", "-a", "list", "ruleset").stdout == theirs


@needs("strace")
def test_foreign_sets_and_rules_are_not_read(netns, scratch):
    """Every dump names our table, but that of chains, which the kernel does not filter."""
    ns = netns()
    load(ns, "load", "node")
    ns.run("strace", "-e", "trace=sendto", "-o", scratch / "trace", nft_load(), "dump", "inet",
           "fairlead")
    asked = [line for line in (scratch / "trace").read_text().splitlines() if "NFT_MSG_GET" in line]
    kinds = {re.search(r"NFT_MSG_(GET\w+)", line)[1] for line in asked}
    assert kinds == {"GETGEN", "GETTABLE", "GETSET", "GETCHAIN", "GETSETELEM", "GETRULE"}
    name = "".join(f"\\x{b:02x}" for b in b"fairlead\0")
    for line in asked:
        assert "GETGEN" in line or name in line or '"fairlead"' in line, line


# ---- transactions

def elements(ns):
    listed = ns.run("nft", "list", "table", "inet", "bulk", timeout=120).stdout
    return re.findall(r"[\d.]+ \. \d+", listed)


def test_bulk_in_default_buffers(netns):
    ns = netns()
    transactions, us = map(float, load(ns, "bulk", 100000).stdout.split())
    size = int(open("/proc/sys/net/core/wmem_default").read())
    assert transactions >= 100000 * 20 / size, "cut to fit"
    # While the kernel's hash still grows, its listing has elements twice or not at all.
    wait_for(lambda: len(elements(ns)) == len(set(elements(ns))) == 100000, timeout=60,
             what="all elements are listed once")
    want = set(elements(ns))
    print(f"100000 elements: {transactions:.0f} transactions, {us / 1000:.0f} ms")
    us = float(load(ns, "churn", 500).stdout)
    print(f"one element, send to acknowledgement: {us:.1f} µs")
    assert set(elements(ns)) == want
    ours = load(ns, "dump", "inet", "bulk").stdout
    assert set(re.findall(r"[\d.]+ \. \d+", ours)) == want


def test_a_step_larger_than_the_buffer(netns):
    ns = netns()
    assert load(ns, "bulk", 100000, "whole").stdout.split()[0] == "1"
    wait_for(lambda: len(set(elements(ns))) == 100000, timeout=60, what="all elements are listed")


def test_transactions_end_at_steps(netns, start):
    """Every transaction holds whole pods: nft's monitor sees them one by one."""
    ns = netns()
    load(ns, "node", "10.244.0.0/16")
    monitor = start(["stdbuf", "-oL", "nft", "monitor"], ns=ns)

    def hears():
        ns.nft("add table ip probe; delete table ip probe")
        return "probe" in monitor.log()
    wait_for(hears, what="the monitor hears")
    n = int(load(ns, "pods", 2000).stdout)
    assert n > 1, "more than fits into one transaction"
    wait_for(lambda: f'"fl{1999:05}"' in monitor.log().split("# new generation")[-2],
             timeout=60, what="the monitor has seen the last pod")
    per_set = re.compile(r'add element (\w+) fairlead (\w+) \{ "(fl\d+)" \. (\S+)')
    seen = {}
    batches = 0
    for transaction in monitor.log().split("# new generation"):
        pods = {}
        for family, name, link, _ in per_set.findall(transaction):
            pods.setdefault(link, set()).add(name)
        batches += bool(pods)
        for link, sets in pods.items():
            assert sets == {"pod_src4", "pod_src6", "pod_nd", "pod_arp"}, (link, sets)
            assert link not in seen
            seen[link] = True
    assert len(seen) == 2000 and batches == n


def test_refused_transaction(netns):
    """The first step is in, the second is refused whole, and the error names the operation."""
    ns = netns()
    load(ns, "node", "10.244.0.0/16")
    r = load(ns, "refused")
    assert r.stdout.startswith("-2 op "), r.stdout  # ENOENT: deletes what is not there
    assert " transactions 1 " in r.stdout or " transactions 0 " in r.stdout
    assert "delete element bridge fairlead port_mac" in r.stdout
    assert "No such file or directory" in r.stdout


# ---- audit

def audit(ns, how="audit"):
    before, _, after = load(ns, how).stdout.partition("--\n")
    assert after == "", "one repair is enough"
    return [line for line in before.splitlines() if not line.startswith("  ")], before


@pytest.mark.parametrize("how", ["audit", "suspect"])
@pytest.mark.parametrize("damage, found", [
    ("", []),
    ("flush ruleset", ["missing table inet fairlead", "missing table arp fairlead",
                       "missing table bridge fairlead"]),
    ("delete table arp fairlead", ["missing table arp fairlead"]),
    ('delete element inet fairlead pod_src4 { "fl0123456789abc" . 10.244.1.2 }',
     ["missing element inet fairlead pod_src4"]),
    ('add element inet fairlead pod_src4 { "fl0123456789abc" . 10.9.9.9, "fl5" . 10.9.9.9 }',
     ["extra element inet fairlead pod_src4 (2)"]),
    ("flush set inet fairlead pools4", ["missing element inet fairlead pools4 (2)"]),
    ("add element inet fairlead nat4 { 100.64.0.0/10 }", ["extra element inet fairlead nat4"]),
    ("add rule inet fairlead pod-source accept", ["extra rule inet fairlead pod-source"]),
    ("insert rule inet fairlead pod-source accept", ["extra rule inet fairlead pod-source"]),
    ("flush chain inet fairlead pod-source", ["missing rule inet fairlead pod-source (4)"]),
    ("add chain inet fairlead new\nadd rule inet fairlead new counter\n"
     "add rule inet fairlead nat-outgoing jump new",
     ["extra rule inet fairlead nat-outgoing", "extra chain inet fairlead new"]),
    ("add set inet fairlead news { type mark; }", ["extra set inet fairlead news"]),
    ("add rule inet fairlead pod-source tcp dport { 1, 2 } accept",
     ["extra rule inet fairlead pod-source"]),
    ("add rule inet fairlead pod-source tcp dport 1 jump {\ncounter\naccept\n}",
     ["extra rule inet fairlead pod-source"]),
    ("add map inet fairlead vm { type mark : verdict; }\nadd chain inet fairlead x\n"
     "add element inet fairlead vm { 1 : jump x }\n"
     "add rule inet fairlead nat-outgoing meta mark vmap @vm",
     ["extra rule inet fairlead nat-outgoing", "extra chain inet fairlead x",
      "extra set inet fairlead vm"]),
    ("add chain inet fairlead raw-prerouting { policy drop; }",
     ["changed chain inet fairlead raw-prerouting"]),
    ("add table inet fairlead { flags dormant; }", ["changed table inet fairlead"]),
])
def test_audit_finds_and_repairs(netns, damage, found, how):
    ns = netns()
    load(ns, "load", "node")
    whole = ns.run("nft", "-s", "list", "ruleset").stdout
    ns.nft(damage)
    findings, report = audit(ns, how)
    assert findings == found, report
    tables = ns.run("nft", "-s", "list", "ruleset").stdout
    assert sorted(re.split(r"^(?=table)", tables, flags=re.M)) == \
        sorted(re.split(r"^(?=table)", whole, flags=re.M))


def test_repair_keeps_what_is_right(netns):
    """Counters of rules that are as they should be live on; only the damage is touched."""
    ns = netns()
    load(ns, "load", "node")
    rules = [o["rule"] for o in
             json.loads(ns.run("nft", "-j", "list", "ruleset").stdout)["nftables"] if "rule" in o]
    victim = next(r for r in rules if r.get("comment") == "redirect from a pod")
    ns.run("nft", "delete", "rule", victim["family"], victim["table"], victim["chain"], "handle",
           str(victim["handle"]))
    _, report = audit(ns)
    assert len([line for line in report.splitlines() if line.startswith("  ")]) == 1, report
    now = [o["rule"] for o in
           json.loads(ns.run("nft", "-j", "list", "ruleset").stdout)["nftables"] if "rule" in o]
    keep = {r["handle"] for r in rules if r["table"] == "fairlead"} - {victim["handle"]}
    assert keep <= {r["handle"] for r in now}
    chain = [r.get("comment") for r in now if r["chain"] == victim["chain"]
             and r["family"] == victim["family"]]
    assert chain.index("redirect from a pod") == \
        [r.get("comment") for r in rules if r["chain"] == victim["chain"]
         and r["family"] == victim["family"]].index("redirect from a pod")


# ---- notices

def test_notices_are_of_others_only(netns, scratch):
    ns = netns()
    load(ns, "load", "node")
    log = scratch / "watch"
    with open(log, "w") as out:
        p = subprocess.Popen(ns.argv(nft_load(), "watch"), stdin=subprocess.PIPE, stdout=out,
                             text=True)
    try:
        wait_for(lambda: "ready" in log.read_text(), what="the watch is open")
        p.stdin.write("own\n")
        p.stdin.flush()
        wait_for(lambda: "own 0" in log.read_text(), what="our own change is made")
        ns.run("nft", "add", "table", "inet", "somebody")
        ns.run("nft", "add", "rule", "inet", "fairlead", "own", "accept")
        wait_for(lambda: "gen " in log.read_text(), what="the foreign change is noticed")
        assert log.read_text().splitlines() == ["ready", "own 0", "change 1 fairlead -",
                                                "gen 0 - nft"]
        ns.run("nft", "flush", "ruleset")
        wait_for(lambda: log.read_text().count("gen ") == 2, what="the flush is noticed")
        seen = log.read_text().splitlines()[4:]
        assert {"change 1 fairlead -", "change 3 fairlead -", "change 7 fairlead -"} <= set(seen)
    finally:
        p.stdin.close()
        p.wait(5)
