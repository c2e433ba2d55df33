# SPDX-License-Identifier: Apache-2.0
"""healthCheckNodePort and the proxy's health port as a load balancer meets them: curl asks one node's ports
over its addresses, while Services, endpoints, processes and foreign listeners come and go. What kube-proxy
answers is written here by hand. And the metrics that bear kube-proxy's names."""
import contextlib
import json
import os
import re
import signal
import subprocess
import time

import pytest

from harness import built, needs, veth, wait_for
from roles import metric

pytestmark = needs("curl")

HERE4, HERE6, MORE4 = "192.0.2.1", "2001:db8::1", "198.51.100.7"
PORT = 30100
RESET = (7, 56)  # curl could not connect, or nothing came


def service(name="web", port=PORT, number=1, **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "x"},
            "spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": port,
                     "ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv4", "IPv6"],
                     "clusterIP": f"10.96.0.{number}", "clusterIPs": [f"10.96.0.{number}", f"fd00:96::{number}"],
                     "selector": {"app": name},
                     "ports": [{"port": 80, "targetPort": 8080, "nodePort": 30200 + number}], **spec}}


def endpoints(*nodes, name="web", ready=True):
    """An endpoint on each of the nodes, in a slice of each family."""
    def one(family, i, node):
        return {"addresses": [f"10.244.0.{i + 2}" if family == 4 else f"fd00:244::{i + 2}"],
                "nodeName": node, "conditions": {"ready": ready, "serving": ready, "terminating": False}}
    return [{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
             "metadata": {"name": f"{name}-{family}", "namespace": "x", "labels": {"kubernetes.io/service-name": name}},
             "addressType": f"IPv{family}", "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
             "endpoints": [one(family, i, n) for i, n in enumerate(nodes)]} for family in (4, 6)]


class Node:
    def __init__(self, netns, keeper, store, **conf):
        self.ns, self.peer, self.store = netns("node"), netns("lb"), store
        veth(self.ns, "eth0", self.peer, "eth0", [f"{HERE4}/24", f"{HERE6}/64", f"{MORE4}/24"],
             ["192.0.2.9/24", "2001:db8::9/64", "198.51.100.9/24"])
        store.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}},
                    {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n2"}},
                    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}})
        self.keeper = keeper(self.ns, "n1", store, roles="agent watch health", uplink="eth0", **conf)

    def ask(self, port=PORT, host=HERE4, *more, ns=None):
        """(status, body, headers) as a load balancer sees them, or curl's exit code."""
        url = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
        r = (ns or self.peer).run("curl", "-gsi", "--max-time", "5", url, *more, check=False)
        if r.returncode:
            return r.returncode
        head, _, body = r.stdout.replace("\r\n", "\n").partition("\n\n")
        lines = head.splitlines()
        return int(lines[0].split()[1]), body, dict(x.lower().split(": ", 1) for x in lines[1:])

    def wait(self, status, count, port=PORT, name="web", host=HERE4, healthy=True, timeout=15):
        def is_so():
            got = self.ask(port, host)
            return not isinstance(got, int) and got[0] == status and json.loads(got[1]) == {
                "service": {"namespace": "x", "name": name}, "localEndpoints": count,
                "serviceProxyHealthy": healthy} and got[2]["x-load-balancing-endpoint-weight"] == str(count)
        wait_for(is_so, timeout, f"port {port} answers {status} with {count} endpoints: {self.ask(port, host)}")

    def wait_closed(self, port=PORT, host=HERE4):
        wait_for(lambda: self.ask(port, host) == 7, what=f"port {port} is closed")  # 7: could not connect

    def listeners(self, port=PORT):
        return self.ns.run("ss", "-Hltn", f"sport = :{port}").stdout.split("\n")[:-1]


@pytest.fixture
def node(netns, keeper, store):
    return Node(netns, keeper, store)


def test_answers_as_kube_proxy_does(node):
    node.store.apply(service(), *endpoints("n1", "n1", "n2"))
    for host in (HERE4, HERE6, MORE4):
        node.wait(200, 2, host=host)
    got = node.ask()
    assert got[2]["content-type"] == "application/json" and got[2]["x-content-type-options"] == "nosniff"
    assert node.ask(PORT, HERE4, "-X", "POST")[0] == 405
    assert metric(node.ns, "fairlead_health_check_ports", 'state="served"') == 1
    node.store.apply(*endpoints("n2"))
    node.wait(503, 0)
    node.store.apply(*endpoints("n1"))
    node.wait(200, 1)
    node.store.apply(*endpoints("n1", ready=False))
    node.wait(503, 0)


def test_ports_follow_services(node):
    """Another number, another policy, gone, and back; a second Service beside it."""
    node.store.apply(service(), *endpoints("n1"), service("two", 30101, 2))
    node.wait(200, 1)
    node.wait(503, 0, 30101, "two")
    node.store.apply(service(port=30102))
    node.wait(200, 1, 30102)
    node.wait_closed()
    assert not node.listeners()
    cluster = service()
    del cluster["spec"]["externalTrafficPolicy"], cluster["spec"]["healthCheckNodePort"]
    node.store.apply(cluster)
    node.wait_closed(30102)
    node.store.apply(service())
    node.wait(200, 1)
    node.store.delete(service())
    node.wait_closed()
    node.wait(503, 0, 30101, "two")


def test_only_on_node_port_addresses(netns, keeper, store):
    node = Node(netns, keeper, store, node_port_addresses=["192.0.2.0/24", "2001:db8::/64"])
    node.store.apply(service(), *endpoints("n1"))
    node.wait(200, 1)
    node.wait(200, 1, host=HERE6)
    assert node.ask(PORT, MORE4) in RESET
    assert node.ask(PORT, "127.0.0.1", ns=node.ns) in RESET
    assert node.ask(PORT, HERE4, ns=node.ns)[0] == 200


def test_port_is_taken(node, start):
    """Said once, and tried again until the other one is gone."""
    other = start(["/usr/bin/python3", "-m", "http.server", "-b", HERE4, str(PORT)], ns=node.ns)
    wait_for(node.listeners)
    node.store.apply(service(), *endpoints("n1"))
    said = f"Service x/web: health check port {PORT}: bind tcp 0.0.0.0 port {PORT}: Address already in use"
    node.keeper.program.wait_log(said)
    node.wait(200, 1, host=HERE6)  # that half of it is free
    assert metric(node.ns, "fairlead_health_check_ports", 'state="waiting"') == 1
    tried = node.keeper.program.log().count("bind tcp")
    other.stop()
    node.wait(200, 1)
    node.keeper.program.wait_log(f"Service x/web: health check port {PORT} answers now")
    assert tried == 1 == node.keeper.program.log().count("bind tcp")
    assert metric(node.ns, "fairlead_health_check_ports", 'state="served"') == 1


def test_two_services_want_one_port(node):
    node.store.apply(service(), *endpoints("n1"))
    node.wait(200, 1)
    node.store.apply(service("two", PORT, 2))
    node.keeper.program.wait_log(f"Service x/two: health check port {PORT}: it is that of Service x/web")
    node.wait(200, 1)
    node.store.delete(service())
    node.wait(503, 0, name="two")


def test_port_outside_of_the_list(node):
    node.store.apply(service(port=31), service("two", 30101, 2))
    node.keeper.program.wait_log("Service x/web: health check port 31: bind: tcp 0.0.0.0 port 31 is not listed")
    node.wait(503, 0, 30101, "two")
    node.wait_closed(31)


@pytest.mark.parametrize("role", ["health", "agent", "watch"])
def test_survives_the_role(node, role):
    """What asks while a role restarts is answered, with what holds; nothing of a Service that went
    meanwhile stays open."""
    node.store.apply(service(), *endpoints("n1", "n1"), service("two", 30101, 2))
    node.wait(200, 2)
    node.wait(503, 0, 30101, "two")
    old = node.keeper.pid(role)
    os.kill(old, signal.SIGSTOP)
    node.store.delete(service("two", 30101, 2))
    os.kill(old, signal.SIGKILL)
    while node.keeper.pid(role) in (None, old) or metric(node.ns, "fairlead_role_ready", f'role="{role}"') != 1:
        got = node.ask()
        assert got[0] == 200 and json.loads(got[1])["localEndpoints"] == 2
    node.wait_closed(30101)
    node.wait(200, 2)
    assert len(node.listeners()) == 2 and not node.listeners(30101)


def test_takeover_keeps_them(node):
    node.store.apply(service(), *endpoints("n1"))
    node.wait(200, 1)
    argv = node.ns.argv(built("bin/fairleadd"), "--config", node.keeper.conf, "--takeover")
    log = open(node.keeper.run_dir.parent / "takeover.log", "a+b")
    p = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        while p.poll() is None:
            got = node.ask()
            assert got[0] == 200, got
        assert p.returncode == 0
        node.wait(200, 1)
        node.store.delete(service())
        node.wait_closed()
    finally:
        pid = int((node.keeper.run_dir / "fairleadd.pid").read_text())
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not os.path.exists(f"/proc/{pid}"), 10)


def test_agent_that_hangs(node):
    """Ten seconds without a word of the agent, and nobody knows that Services work."""
    node.store.apply(service(), *endpoints("n1"))
    node.wait(200, 1)
    pid = node.keeper.pid("agent")
    os.kill(pid, signal.SIGSTOP)
    try:
        assert node.ask()[0] == 200
        node.wait(503, 1, healthy=False, timeout=20)
    finally:
        os.kill(pid, signal.SIGCONT)
    node.wait(200, 1)


# ---- the proxy's health

def pages(node, **kw):
    """Status and object of /healthz and /livez; curl's exit code and nothing where there is no answer."""
    got = {name: node.ask(f"10256/{name}?", **kw) for name in ("healthz", "livez")}
    return {name: (r, {}) if isinstance(r, int) else (r[0], json.loads(r[1])) for name, r in got.items()}


def wait_pages(node, healthz, livez, eligible=True, timeout=20):
    def are_so():
        got = pages(node)
        return (got["healthz"][0], got["livez"][0], got["healthz"][1].get("nodeEligible")) == (healthz, livez, eligible)
    wait_for(are_so, timeout, f"healthz {healthz}, livez {livez}")
    return pages(node)


def node_object(**more):
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", **more.pop("metadata", {})}, **more}


def test_proxy_health(node):
    got = wait_pages(node, 200, 200)
    assert set(got["healthz"][1]) == {"lastUpdated", "currentTime", "nodeEligible"}
    assert set(got["livez"][1]) == {"lastUpdated", "currentTime"}
    stamp = r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \+0000 UTC"
    assert re.fullmatch(stamp, got["livez"][1]["currentTime"])
    assert got["livez"][1]["currentTime"] == got["livez"][1]["lastUpdated"]
    assert pages(node, host=HERE6)["healthz"][0] == 200
    assert node.ask(10256)[0] == 404


def test_node_that_leaves_takes_no_new_connections(node):
    """A taint of the autoscaler, another one, and the Node's deletion."""
    def tainted(key):
        return node_object(spec={"taints": [{"key": key, "value": "1", "effect": "NoSchedule"}]})
    wait_pages(node, 200, 200)
    node.store.apply(tainted("ToBeDeletedByClusterAutoscaler"))
    wait_pages(node, 503, 200, eligible=False, timeout=1.5)  # at once, and not with the next report
    node.store.apply(tainted("example.test/busy"))
    wait_pages(node, 200, 200)
    node.store.apply(node_object(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}))
    wait_pages(node, 503, 200, eligible=False)


def test_proxy_health_follows_the_agent(node):
    """A hung agent is known after ten seconds, one that dies and comes back is not noticed."""
    wait_pages(node, 200, 200)
    pid = node.keeper.pid("agent")
    os.kill(pid, signal.SIGKILL)
    while node.keeper.pid("agent") in (None, pid):
        assert pages(node)["healthz"][0] == 200
    pid = node.keeper.pid("agent")
    os.kill(pid, signal.SIGSTOP)
    try:
        got = wait_pages(node, 503, 503)
        assert got["livez"][1]["lastUpdated"] < got["livez"][1]["currentTime"]
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_pages(node, 200, 200)


def test_proxy_health_before_the_store_was_heard(netns, keeper, store, scratch):
    """The agent runs, and the kernel does nothing of what Services want yet."""
    libexec = scratch / "libexec"
    libexec.mkdir()
    for role in ("agent", "health"):
        (libexec / role).symlink_to(built(f"libexec/fairlead/{role}"))
    node = Node(netns, keeper, store, libexec_dir=libexec)
    node.keeper.wait_role("agent")
    got = wait_for(lambda: (p := pages(node))["healthz"][0] != 7 and p)
    assert got["healthz"][0] == got["livez"][0] == 503
    assert got["livez"][1]["lastUpdated"].startswith("0001-01-01 ")
    (libexec / "watch").symlink_to(built("libexec/fairlead/watch"))
    wait_pages(node, 200, 200)


@pytest.fixture
def owner():
    """A context in which somebody else owns a table of our name, so that the kernel refuses what the
    agent sends."""
    @contextlib.contextmanager
    def own(node):
        p = subprocess.Popen(node.ns.argv("nft", "-i"), stdin=subprocess.PIPE, text=True)
        try:
            p.stdin.write("delete table inet fairlead; add table inet fairlead { flags owner; }\n")
            p.stdin.flush()
            node.keeper.program.wait_log("Operation not permitted")
            yield
        finally:
            p.stdin.close()
            p.wait(10)
    return own


@pytest.mark.all_only("waits for more than a minute")
@needs("nft")
def test_kernel_that_does_not_follow(node, owner):
    """After a minute that is known, and over when the table is given back."""
    node.store.apply(service(), *endpoints("n1"))
    wait_pages(node, 200, 200)
    with owner(node):
        node.store.apply(*endpoints("n1", "n1"))
        assert pages(node)["healthz"][0] == 200
        wait_pages(node, 503, 503, timeout=90)
        node.wait(503, 2, healthy=False)
    wait_pages(node, 200, 200)
    node.wait(200, 2)


def test_another_address(netns, keeper, store):
    node = Node(netns, keeper, store, proxy_health_address=f"{MORE4}:10257")
    wait_for(lambda: (got := node.ask("10257/livez?", MORE4)) != 7 and got[0] == 200)
    assert node.ask("10257/livez?", HERE4) == 7 and pages(node)["livez"][0] == 7


def test_proxy_health_off(netns, keeper, store):
    node = Node(netns, keeper, store, proxy_health_address="off")
    wait_for(lambda: metric(node.ns, "fairlead_role_ready", 'role="agent"') == 1)
    assert pages(node)["livez"][0] == 7


def test_proxy_health_port_is_taken(node, start):
    """By a kube-proxy that still runs: the rest of health serves, and the port is taken when that ends."""
    wait_pages(node, 200, 200)
    node.keeper.stop()
    other = start(["/usr/bin/python3", "-m", "http.server", "-b", "0.0.0.0", "10256"], ns=node.ns)
    wait_for(lambda: node.listeners(10256))
    node.keeper.program = start([built("bin/fairleadd"), "--config", node.keeper.conf], ns=node.ns)
    node.keeper.program.wait_log("proxy-health-address: bind tcp 0.0.0.0 port 10256: Address already in use")
    wait_for(lambda: metric(node.ns, "fairlead_role_ready", 'role="health"') == 1)
    other.stop()
    wait_pages(node, 200, 200)


# ---- figures with kube-proxy's names

SYNC = "kubeproxy_sync_proxy_rules_"


def figures(node):
    """{name with labels: value}; judges the text by the exposition format on the way."""
    status, text, _ = node.ask("9099/metrics?", "127.0.0.1", ns=node.ns)
    assert status == 200
    types, got = {}, {}
    for line in text.splitlines():
        if m := re.fullmatch(r"# TYPE (\S+) (counter|gauge|histogram)", line):
            types[m[1]] = m[2]
        elif not line.startswith("# HELP "):
            key, value = re.fullmatch(r'([a-z_]+(?:\{[^{}]+\})?) (-?[0-9.]+)', line).groups()
            name = key.partition("{")[0]
            assert name in types or types[re.sub("_(bucket|sum|count)$", "", name)] == "histogram", line
            assert key not in got
            got[key] = float(value)
    for name in (n for n, t in types.items() if t == "histogram"):
        buckets = [(k, v) for k, v in got.items() if k.startswith(name + "_bucket{")]
        bounds = [re.search(r'le="([^"]+)"', k)[1] for k, _ in buckets]
        assert bounds[-1] == "+Inf" and [float(b) for b in bounds] == sorted({float(b) for b in bounds})
        assert [v for _, v in buckets] == sorted(v for _, v in buckets)
        assert buckets[-1][1] == got[name + "_count"] and got[name + "_sum"] >= 0
    return got


def settled(f):
    return f[SYNC + "endpoint_changes_pending"] == f[SYNC + "service_changes_pending"] == 0


def stamp(moment):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment % 1 * 1e6):06d}Z"


def test_figures_of_changes(node):
    """Each change is counted once and no longer pending when the kernel has it; a slice that says when it
    happened is measured from there."""
    begun = time.time()
    node.store.apply(service(), *endpoints("n1"))
    node.wait(200, 1)
    first = wait_for(lambda: (f := figures(node)) and f.get(SYNC + "service_changes_total") == 1
                     and f[SYNC + "endpoint_changes_total"] == 2 and settled(f) and f)
    assert first[SYNC + "duration_seconds_count"] >= 1
    assert begun < first[SYNC + "last_queued_timestamp_seconds"] <= first[SYNC + "last_timestamp_seconds"] < time.time()
    assert first["kubeproxy_network_programming_duration_seconds_count"] == 0
    happened = time.time()  # not before the agent was there: that would be no measure of it
    wait_for(lambda: time.time() > happened + 0.3)
    told = endpoints("n1", "n1")
    for o in told:
        o["metadata"]["annotations"] = {"endpoints.kubernetes.io/last-change-trigger-time": stamp(happened)}
    node.store.apply(*told)
    node.wait(200, 2)
    then = wait_for(lambda: (f := figures(node)) and f[SYNC + "endpoint_changes_total"] == 4 and settled(f) and f)
    assert then[SYNC + "service_changes_total"] == 1
    assert then[SYNC + "duration_seconds_count"] > first[SYNC + "duration_seconds_count"]
    assert then[SYNC + "last_timestamp_seconds"] > first[SYNC + "last_timestamp_seconds"]
    assert then["kubeproxy_network_programming_duration_seconds_count"] == 2
    assert 0.6 <= then["kubeproxy_network_programming_duration_seconds_sum"] < 10
    assert then['kubeproxy_network_programming_duration_seconds_bucket{le="0.25"}'] == 0


def test_figures_of_policies(node):
    """Ports whose policy wants an endpoint of this node, while others have some: for each family."""
    def count(family, policy):
        return figures(node).get(SYNC + f'no_local_endpoints_total{{ip_family="{family}",traffic_policy="{policy}"}}')
    node.store.apply(service(internalTrafficPolicy="Local"), *endpoints("n2"))
    wait_for(lambda: [count(f, p) for f in ("IPv4", "IPv6") for p in ("internal", "external")] == [1] * 4)
    node.store.apply(endpoints("n1")[0])
    wait_for(lambda: [count("IPv4", "internal"), count("IPv4", "external"), count("IPv6", "external")] == [0, 0, 1])
    node.store.delete(service())
    wait_for(lambda: count("IPv6", "external") == count("IPv6", "internal") == 0)


def test_figures_of_answers(node):
    wait_pages(node, 200, 200)
    before = figures(node)
    pages(node)
    node.ask("10256/other?")
    after = figures(node)
    for name in ("kubeproxy_proxy_healthz_total", "kubeproxy_proxy_livez_total"):
        assert after[name + '{code="200"}'] == before[name + '{code="200"}'] + 1
        assert after[name + '{code="503"}'] == before[name + '{code="503"}']


@needs("nft")
def test_figures_of_a_kernel_that_refuses(node, owner):
    """What it does not take stays pending, and is counted; all is well once the table is given back."""
    node.store.apply(service(), *endpoints("n1"))
    node.wait(200, 1)
    wait_for(lambda: figures(node)[SYNC + "service_changes_total"] == 1)
    assert figures(node)[SYNC + "nftables_sync_failures_total"] == 0
    with owner(node):
        node.store.apply(*endpoints("n1", "n1"))
        bad = wait_for(lambda: (f := figures(node)) and f[SYNC + "nftables_sync_failures_total"]
                       and f[SYNC + "endpoint_changes_pending"] == 2 and f)
        assert bad[SYNC + "last_timestamp_seconds"] < bad[SYNC + "last_queued_timestamp_seconds"]
    good = wait_for(lambda: (f := figures(node)) and f[SYNC + "endpoint_changes_pending"] == 0 and f, 20)
    assert good[SYNC + "last_timestamp_seconds"] > good[SYNC + "last_queued_timestamp_seconds"]


def test_figures_of_conntrack(node):
    """An endpoint of a UDP front that goes has the connection table looked through."""
    udp = service(ports=[{"port": 53, "targetPort": 8053, "protocol": "UDP", "nodePort": 30201}])
    slices = endpoints("n1", "n1")
    for o in slices:
        o["ports"] = [{"name": "", "port": 8053, "protocol": "UDP"}]
    node.store.apply(udp, *slices)
    node.wait(200, 2)
    before = wait_for(lambda: figures(node).get("kubeproxy_conntrack_reconciler_sync_duration_seconds_count"))
    for o in slices:
        del o["endpoints"][1]
    node.store.apply(*slices)
    wait_for(lambda: figures(node)["kubeproxy_conntrack_reconciler_sync_duration_seconds_count"] > before)
    assert figures(node)["kubeproxy_conntrack_reconciler_deleted_entries_total"] == 0
