# SPDX-License-Identifier: Apache-2.0
"""Role controller on a real store: workloads become pods, pods get nodes, one controller leads."""
import ipaddress
import json
import os
import signal
import time

import pytest

from harness import wait_for
from packet_trace import spec
from roles import FORGETFUL_WATCH, fakes, get, metric, status_of  # noqa: F401


def node(name, **labels):
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


def workload(kind, name, replicas=None, ns="shop", image="i", **spec):
    api = "batch/v1" if kind == "Job" else "apps/v1"
    restart = {"restartPolicy": "Never"} if kind == "Job" else {}
    if replicas is not None:
        spec["replicas"] = replicas
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": ns},
            "spec": dict(spec, selector={"matchLabels": {"app": name}}, template={
                "metadata": {"labels": {"app": name}},
                "spec": dict(restart, containers=[{"name": "c", "image": image}])})}


def pods(store, app=None):
    return {p["metadata"]["name"]: p for p in store.get("pods")
            if app in (None, p["metadata"].get("labels", {}).get("app"))}


@pytest.fixture
def cluster(netns, keeper, store):
    """Factory: cluster("n1") starts a node with watch, controller and health."""
    class Cluster:
        nodes = {}

        def add(self, name, **settings):
            ns = netns()
            k = keeper(ns, name, store, roles="watch controller health", **settings)
            self.nodes[name] = (ns, k)
            return k

        def leader(self):
            held = [n for n, (ns, k) in self.nodes.items()
                    if k.program.alive() and metric(ns, "fairlead_controller_leads") == 1]
            return held[0] if len(held) == 1 else None
    c = Cluster()
    c.nodes, c.store = {}, store
    return c


def test_workloads_become_pods(cluster, store):
    store.apply(node("n1"), node("n2"), workload("Deployment", "web", 4),
                workload("StatefulSet", "db", 2, serviceName="db"), workload("DaemonSet", "log"),
                workload("Job", "once", parallelism=2, completions=2),
                workload("ReplicaSet", "rs", 1))
    cluster.add("n1")
    wait_for(lambda: len(pods(store)) == 4 + 2 + 2 + 2 + 1)
    assert sorted(p["metadata"]["name"] for p in pods(store, "db").values()) == ["db-0", "db-1"]
    on = [p["spec"]["nodeName"] for p in pods(store, "web").values()]
    assert sorted(on) == ["n1", "n1", "n2", "n2"]
    assert sorted(p["spec"]["nodeName"] for p in pods(store, "log").values()) == ["n1", "n2"]
    for p in pods(store, "web").values():
        assert p["metadata"]["ownerReferences"][0]["kind"] in ("Deployment", "ReplicaSet")
    wait_for(lambda: {n["metadata"]["name"] for n in store.get("namespaces")}
             >= {"default", "kube-system"})


def test_scale_change_delete(cluster, store):
    store.apply(node("n1"), workload("Deployment", "web", 2))
    k = cluster.add("n1")
    before = wait_for(lambda: len(pods(store)) == 2 and set(pods(store)))
    store.apply(workload("Deployment", "web", 5))
    wait_for(lambda: len(pods(store)) == 5)
    assert before < set(pods(store))
    store.apply(workload("Deployment", "web", 1))
    wait_for(lambda: len(pods(store)) == 1)
    left = set(pods(store))
    store.apply(workload("Deployment", "web", 1, image="new"))
    wait_for(lambda: len(pods(store)) == 1 and not left & set(pods(store)))
    store.delete(workload("Deployment", "web", 1))
    wait_for(lambda: not pods(store))
    assert "error" not in k.program.log()


def test_unreadable_workload_keeps_its_pods(cluster, store):
    """Also for a controller and a watch that never could read it."""
    store.apply(node("n1"), workload("Deployment", "web", 2), workload("Deployment", "api", 1))
    k = cluster.add("n1")
    wait_for(lambda: len(pods(store)) == 3)
    path = store.path / "Deployment/shop/web.json"
    good = path.read_text()
    path.write_text("{")
    for role in ("watch", "controller"):
        os.kill(k.pid(role), signal.SIGKILL)
    store.apply(workload("Deployment", "api", 4))  # the others go on
    wait_for(lambda: len(pods(store, "api")) == 4)
    assert len(pods(store, "web")) == 2
    path.write_text(good)
    store.delete(workload("Deployment", "web"))
    wait_for(lambda: not pods(store, "web"), timeout=20)


def test_pods_of_people_are_left_alone(cluster, store):
    mine = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "mine", "namespace": "shop",
                                                            "labels": {"app": "web"}},
            "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}}
    store.apply(node("n1"), mine, workload("Deployment", "web", 1))
    cluster.add("n1")
    wait_for(lambda: len(pods(store)) == 2)
    store.delete(workload("Deployment", "web", 1))
    wait_for(lambda: set(pods(store)) == {"mine"})


def test_pod_waits_for_a_node(cluster, store):
    bare = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare", "namespace": "shop"},
            "spec": {"nodeSelector": {"disk": "ssd"}, "containers": [{"name": "c", "image": "i"}]}}
    store.apply(node("n1"), bare)
    cluster.add("n1")
    wait_for(lambda: cluster.leader() == "n1")
    wait_for(lambda: metric(cluster.nodes["n1"][0], "fairlead_controller_plans_total"))
    assert "nodeName" not in pods(store)["bare"]["spec"]
    store.apply(node("n2", disk="ssd"))
    wait_for(lambda: pods(store)["bare"]["spec"].get("nodeName") == "n2")


def test_fields_that_we_do_not_know_survive_binding(cluster, store):
    bare = {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "bare", "namespace": "shop", "annotations": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i", "tty": True}],
                     "terminationGracePeriodSeconds": 7}}
    store.apply(node("n1"), bare)
    cluster.add("n1")
    wait_for(lambda: pods(store)["bare"]["spec"].get("nodeName") == "n1")
    p = pods(store)["bare"]
    assert p["spec"]["terminationGracePeriodSeconds"] == 7
    assert p["spec"]["containers"][0]["tty"] is True
    assert p["metadata"]["annotations"] == {"a": "b"}


def test_a_lease_has_one_holder(cluster, store):
    store.apply(node("n1"), node("n2"), node("n3"), workload("Deployment", "web", 3))
    for n in ("n1", "n2", "n3"):
        cluster.add(n)
    first = wait_for(cluster.leader)
    wait_for(lambda: len(pods(store)) == 3)
    lease = store.get("lease", "fairlead-controller", "-n", "kube-system")
    assert lease["spec"]["holderIdentity"] == first
    # It dies with its whole node: another one takes over once the lease ran out.
    ns, k = cluster.nodes[first]
    k.program.proc.kill()
    k.program.wait()
    second = wait_for(lambda: cluster.leader() not in (None, first) and cluster.leader(), timeout=20)
    store.apply(workload("Deployment", "web", 6))
    wait_for(lambda: len(pods(store)) == 6)
    lease = store.get("lease", "fairlead-controller", "-n", "kube-system")
    assert lease["spec"]["holderIdentity"] == second
    assert lease["spec"]["leaseTransitions"] == 1


def test_an_ended_leader_gives_the_lease_up(cluster, store):
    """Nobody waits for a lease of nine seconds to run out."""
    store.apply(node("n1"), node("n2"))
    for n in ("n1", "n2"):
        cluster.add(n)
    first = wait_for(cluster.leader)
    cluster.nodes[first][1].stop()
    lease = store.get("lease", "fairlead-controller", "-n", "kube-system")
    assert lease["spec"].get("holderIdentity") != first
    wait_for(lambda: cluster.leader() not in (None, first), timeout=4)
    lease = store.get("lease", "fairlead-controller", "-n", "kube-system")
    assert lease["spec"]["leaseDurationSeconds"] == 9 and lease["spec"]["leaseTransitions"] == 1


def test_restart_keeps_the_lease(cluster, store):
    store.apply(node("n1"), workload("Deployment", "web", 1))
    k = cluster.add("n1")
    wait_for(lambda: len(pods(store)) == 1)
    for n, role in enumerate(["controller"] * 4 + ["watch"], 2):
        os.kill(k.wait_role(role), signal.SIGKILL)
        store.apply(workload("Deployment", "web", n))
        wait_for(lambda: len(pods(store)) == n, 8, f"{n} pods after the end of {role}, long before a lease runs out")


def test_many_pods(cluster, store):
    store.apply(node("n1"), node("n2"), workload("Deployment", "big", 300))
    cluster.add("n1")
    wait_for(lambda: len(pods(store)) == 300, timeout=30)
    store.delete(workload("Deployment", "big", 300))
    wait_for(lambda: not pods(store), timeout=30)


def test_privileges(cluster, store):
    store.apply(node("n1"))
    k = cluster.add("n1")
    wait_for(lambda: get(cluster.nodes["n1"][0], "/readyz")[0] == 200)
    s = status_of(k.pid("controller"))
    assert "0" not in s["Uid"].split()
    for cap in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(s[cap], 16) == 0, cap
    assert (s["NoNewPrivs"], s["Seccomp"], s["Seccomp_filters"]) == ("1", "2", "2")


# ---- blocks of Nodes that are gone

GRACE = 2


def block(name, cidr, node, *borrowed):
    return {"apiVersion": "fairlead.io/v1", "kind": "IPBlock", "metadata": {"name": name},
            "spec": {"cidr": cidr, "pool": "pool", "node": node, "borrowed": [
                {"node": n, "handle": "net/c/eth0", "address": a, "state": state}
                for n, a, state in borrowed]}}


POOL = {"apiVersion": "fairlead.io/v1", "kind": "IPPool", "metadata": {"name": "pool"},
        "spec": {"cidr": "10.244.0.0/16", "mode": "Direct"}}


def blocks(store):
    return {b["metadata"]["name"]: [w["node"] for w in b["spec"].get("borrowed", [])]
            for b in store.get("ipblocks")}


def test_blocks_of_a_node_that_is_gone(cluster, store):
    store.apply(node("n1"), node("n2"), node("n3"), node("n4"), POOL,
                block("b1", "10.244.1.0/26", "n1", ("n2", "10.244.1.9", "Granted")),
                block("b2", "10.244.2.0/26", "n2"), block("b3", "10.244.3.0/26", "n3"),
                block("b4", "10.244.4.0/26", "n4", ("n1", "10.244.4.9", "Granted")))
    cluster.add("n1", reclaim_grace=GRACE)
    wait_for(lambda: cluster.leader() == "n1")
    store.delete(node("n2"), node("n3"), node("n4"))
    gone = time.monotonic()
    store.apply(node("n3"))  # is back in time
    assert "b2" in blocks(store)
    wait_for(lambda: "b2" not in blocks(store), 20)
    assert time.monotonic() - gone >= GRACE
    # Its loan too; a block whose addresses others use stays, and so does n3's.
    wait_for(lambda: blocks(store) == {"b1": [], "b3": [], "b4": ["n1"]}, 5)
    store.apply(block("b4", "10.244.4.0/26", "n4"))  # as n1 does when its pod ends
    wait_for(lambda: set(blocks(store)) == {"b1", "b3"}, 10)
    ns = cluster.nodes["n1"][0]
    wait_for(lambda: metric(ns, "fairlead_controller_blocks_reclaimed_total", 'result="ok"') == 3, 10)


def endpoint(name, node):
    return {"apiVersion": "fairlead.io/v1", "kind": "WorkloadEndpoint",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"node": node, "network": "net", "containerID": name, "interface": "eth0",
                     "ips": ["10.244.2.9/32"]}}


def reports(store):
    return ({s["metadata"]["name"] for s in store.get("nodestates")},
            {w["metadata"]["name"] for w in store.get("workloadendpoints")})


def test_reports_of_a_node_that_is_gone(cluster, store):
    """NodeState and WorkloadEndpoints, by the rule of its blocks."""
    state = {"apiVersion": "fairlead.io/v1", "kind": "NodeState"}
    store.apply(node("n1"), node("n2"), node("n3"),
                *[dict(state, metadata={"name": n}) for n in ("n1", "n2", "n3")],
                *[endpoint(f"w{i}", f"n{i % 3 + 1}") for i in range(9)])
    cluster.add("n1", reclaim_grace=GRACE)
    wait_for(lambda: cluster.leader() == "n1")
    store.delete(node("n2"), node("n3"))
    gone = time.monotonic()
    store.apply(node("n3"))  # is back in time
    assert reports(store) == ({"n1", "n2", "n3"}, {f"w{i}" for i in range(9)})
    want = {"n1", "n3"}, {f"w{i}" for i in range(9) if i % 3 != 1}
    wait_for(lambda: reports(store) == want, 20)
    assert time.monotonic() - gone >= GRACE
    # What comes late from there goes at once, and the rest stays.
    store.apply(dict(state, metadata={"name": "n2"}))
    wait_for(lambda: reports(store) == want, 20)


def test_absence_counts_only_while_the_store_is_seen(cluster, store):
    """An outage of the store in the grace period begins it anew, for every controller."""
    store.apply(node("n1"), node("n2"), POOL, block("b2", "10.244.2.0/26", "n2"))
    k = cluster.add("n1", reclaim_grace=GRACE)
    wait_for(lambda: cluster.leader() == "n1")
    store.delete(node("n2"))
    away = store.path.with_name("away")
    store.path.rename(away)
    ns = cluster.nodes["n1"][0]
    wait_for(lambda: metric(ns, "fairlead_store_stale") == 1)
    wait_for(lambda: not cluster.leader(), 20)  # its lease ran out meanwhile
    back = time.monotonic()
    away.rename(store.path)
    wait_for(lambda: "b2" not in blocks(store), 20)
    assert time.monotonic() - back >= GRACE
    # So does a watch that was killed.
    store.apply(block("b2", "10.244.2.0/26", "n2"))
    os.kill(k.wait_role("watch"), signal.SIGKILL)
    wait_for(lambda: "b2" not in blocks(store), 20)


@pytest.mark.parametrize("back", [True, False])
def test_nothing_is_planned_from_a_view_of_before(netns, keeper, store, fakes, back):  # noqa: F811
    """The last that the first stream told was that a pod's ReplicaSet is gone; what the second
    one lists counts."""
    f = fakes("controller", watch=FORGETFUL_WATCH.replace("BACK", str(back)))
    keeper(netns(), "n1", store, roles="watch controller", libexec_dir=f.path)
    f.wait("watch", "silent")
    rows = lambda: [n[3:] for n in f.notes("watch")]  # noqa: E731
    made = lambda prefix: [r[4] for r in rows() if r[:3] == ["write", "create", 3]  # noqa: E731
                           and r[4].startswith(prefix)]
    deleted = lambda: [r[4] for r in rows() if r[:2] == ["write", "delete"]]  # noqa: E731
    wait_for(lambda: made("more-"), 15)
    if not back:
        wait_for(lambda: deleted() == made("web-"), 5)
    silence = rows()[rows().index(["silent"]):]
    assert silence[1] == ["list"]
    assert deleted() == ([] if back else made("web-")) and len(made("web-")) == 1


def service(name, ns="shop", **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": ns},
            "spec": {"ports": [{"port": 80}], "selector": {"app": name}, **spec}}


def services(store):
    return {s["metadata"]["name"]: s["spec"] for s in store.get("services")}


RANGES = ["10.96.0.0/16", "fd00:96::/112"]


def test_services_get_addresses_and_ports(cluster, store):
    store.apply(node("n1"), service("web"), service("none", clusterIP="None"),
                service("two", ipFamilyPolicy="RequireDualStack", type="NodePort"))
    k = cluster.add("n1", service_cidr=RANGES, node_port_range="31000-31999")
    wait_for(lambda: all("ipFamilyPolicy" in s for s in services(store).values()))
    got = services(store)
    first = ipaddress.ip_address(got["web"]["clusterIP"])
    assert first in ipaddress.ip_network(RANGES[0])
    assert got["web"]["clusterIPs"] == [str(first)] and got["web"]["ipFamilies"] == ["IPv4"]
    assert got["none"]["clusterIP"] == "None"
    four, six = map(ipaddress.ip_address, got["two"]["clusterIPs"])
    assert four in ipaddress.ip_network(RANGES[0]) and six in ipaddress.ip_network(RANGES[1])
    port = got["two"]["ports"][0]["nodePort"]
    assert 31000 <= port <= 31999

    # A manifest that does not name them: they are kept, or given again.
    store.apply(service("two", type="NodePort", sessionAffinity="ClientIP"))
    wait_for(lambda: services(store)["two"]["ports"][0].get("nodePort") == port)
    assert services(store)["two"]["clusterIPs"] == got["two"]["clusterIPs"]
    assert services(store)["two"]["sessionAffinity"] == "ClientIP"

    # Who wants what somebody has gets nothing and is told why, until that one goes.
    store.apply(service("thief", clusterIP=str(first), type="NodePort"))
    wait_for(lambda: k.program.log().count(f"{first} is the cluster IP of shop/web") == 1)
    assert "nodePort" not in services(store)["thief"]["ports"][0]
    conditions = lambda: store.get("service", "thief", "-n", "shop").get("status", {}).get("conditions")  # noqa: E731
    wait_for(conditions)
    assert conditions() == [{"type": "fairlead.io/Allocated", "status": "False", "reason": "Taken",
                             "message": f"{first} is the cluster IP of shop/web"}]
    store.delete(service("web"))
    wait_for(lambda: services(store)["thief"]["ports"][0].get("nodePort"))
    wait_for(lambda: not conditions())
    assert k.program.log().count("is the cluster IP of") == 1


def test_types_and_families_change(cluster, store):
    """What a Service has no use for is free again, what it goes on to use stays."""
    store.apply(node("n1"), service("web", type="NodePort", ipFamilyPolicy="RequireDualStack"))
    cluster.add("n1", service_cidr=["10.96.0.0/29", "fd00:96::/125"])  # 5 and 6 addresses
    wait_for(lambda: len(services(store)["web"].get("clusterIPs", ())) == 2)
    four, six = services(store)["web"]["clusterIPs"]
    port = services(store)["web"]["ports"][0]["nodePort"]

    store.apply(service("web", type="NodePort", ipFamilyPolicy="SingleStack"))
    got = services(store)["web"]
    assert (got["clusterIPs"], got["ipFamilies"], got["ports"][0]["nodePort"]) == ([four], ["IPv4"], port)
    store.apply(*[service(f"a{i}", ipFamilies=["IPv6"]) for i in range(6)])
    wait_for(lambda: all("clusterIP" in s for s in services(store).values()))
    assert six in {s["clusterIP"] for s in services(store).values()}, "somebody else's now"

    store.apply(service("web", ports=[{"port": 80}]))
    assert "nodePort" not in services(store)["web"]["ports"][0]
    store.apply({**service("web"), "spec": {"type": "ExternalName", "externalName": "example.org"}})
    assert set(services(store)["web"]) == {"type", "externalName"}
    store.apply(*[service(f"b{i}") for i in range(5)])
    wait_for(lambda: all("clusterIP" in services(store)[f"b{i}"] for i in range(5)))
    assert four in {services(store)[f"b{i}"]["clusterIP"] for i in range(5)}


def test_new_leader_gives_nothing_twice(cluster, store):
    store.apply(node("n1"), node("n2"))
    small = {"service_cidr": "10.96.0.0/27"}  # 29 addresses to give
    cluster.add("n1", **small)
    wait_for(lambda: cluster.leader() == "n1")
    cluster.add("n2", **small)
    store.apply(*[service(f"a{i}") for i in range(14)])
    wait_for(lambda: all("clusterIP" in s for s in services(store).values()))
    before = services(store)
    cluster.nodes["n1"][1].stop()
    wait_for(lambda: cluster.leader() == "n2")
    store.apply(*[service(f"b{i}") for i in range(16)])
    wait_for(lambda: sum("clusterIP" in s for s in services(store).values()) == 29)
    wait_for(lambda: "no IPv4 address of service-cidr is free" in
             cluster.nodes["n2"][1].program.log())
    now = services(store)
    assert {n: now[n] for n in before} == before
    given = [s["clusterIP"] for s in now.values() if "clusterIP" in s]
    assert len(set(given)) == 29


def test_unreadable_service_may_hold_anything(cluster, store):
    """Nothing is given while one cannot be read, not even to others."""
    store.apply(node("n1"), service("old"))
    cluster.add("n1", service_cidr=RANGES)
    wait_for(lambda: "clusterIP" in services(store)["old"])
    path = store.path / "Service/shop/old.json"
    good = path.read_text()
    path.write_text("{")
    for role in ("watch", "controller"):
        os.kill(cluster.nodes["n1"][1].pid(role), signal.SIGKILL)
    store.apply(service("new"), workload("Deployment", "web", 1))
    wait_for(lambda: pods(store))  # it leads, and works
    assert "clusterIP" not in json.loads((store.path / "Service/shop/new.json").read_text())["spec"]
    path.write_text(good)
    wait_for(lambda: "clusterIP" in services(store)["new"], timeout=20)
    assert services(store)["new"]["clusterIP"] != services(store)["old"]["clusterIP"]


def ready_pod(name, ip, app="web", ready=True):
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "shop", "labels": {"app": app}},
            "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]},
            "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
                       "conditions": [{"type": "Ready", "status": str(ready)}]}}


def ours(store):
    return [s for s in store.get("endpointslices") if s["metadata"]["labels"].get(
        "endpointslice.kubernetes.io/managed-by") == "controller.fairlead.io"]


def endpoints(store, service="web"):
    """{pod: ready} of all slices of ours."""
    return {e["targetRef"]["name"]: e["conditions"]["ready"] for s in ours(store)
            if s["metadata"]["labels"]["kubernetes.io/service-name"] == service
            for e in s["endpoints"]}


def test_slices_follow_pods(cluster, store):
    others = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
              "metadata": {"name": "mine", "namespace": "shop",
                           "labels": {"kubernetes.io/service-name": "web"}},
              "addressType": "IPv4", "endpoints": [{"addresses": ["10.9.9.9"]}]}
    store.apply(node("n1"), service("web"), others, ready_pod("a", "10.244.0.1"))
    cluster.add("n1", service_cidr=RANGES)
    wait_for(lambda: endpoints(store) == {"a": True})
    store.apply(ready_pod("b", "10.244.0.2", ready=False), ready_pod("x", "10.244.0.3", app="db"))
    wait_for(lambda: endpoints(store) == {"a": True, "b": False})
    store.apply(ready_pod("b", "10.244.0.2"))
    wait_for(lambda: endpoints(store) == {"a": True, "b": True})
    assert len(ours(store)) == 1
    store.apply(ready_pod("a", "10.244.0.1", app="db"))  # no longer selected
    wait_for(lambda: endpoints(store) == {"b": True})
    store.delete(ours(store)[0])  # by somebody: made again
    wait_for(lambda: endpoints(store) == {"b": True})
    store.delete(service("web"))
    wait_for(lambda: [s["metadata"]["name"] for s in store.get("endpointslices")] == ["mine"])


def test_slices_over_a_change_of_leader(cluster, store):
    """The next one goes on with what is there: what changed meanwhile is made good, nothing is made twice."""
    store.apply(node("n1"), node("n2"), service("web", ipFamilyPolicy="RequireDualStack"), ready_pod("a", "10.244.0.1"))
    settings = {"service_cidr": RANGES}
    cluster.add("n1", **settings)
    wait_for(lambda: endpoints(store) == {"a": True})
    slices = {s["metadata"]["uid"] for s in ours(store)}
    ns, k = cluster.nodes["n1"]
    k.stop()
    b, c = ready_pod("b", "10.244.0.2"), ready_pod("c", "10.244.0.3", ready=False)
    b["status"]["podIPs"].append({"ip": "fd00:244::2"})
    store.apply(b, c)
    store.delete(ready_pod("a", "10.244.0.1"))
    cluster.add("n2", **settings)
    wait_for(lambda: cluster.leader() == "n2", 20)
    wait_for(lambda: endpoints(store) == {"b": True, "c": False})
    wait_for(lambda: {s["addressType"]: [e["addresses"] for e in s["endpoints"]] for s in ours(store)}
             == {"IPv4": [["10.244.0.2"], ["10.244.0.3"]], "IPv6": [["fd00:244::2"]]})
    assert slices < {s["metadata"]["uid"] for s in ours(store)}


def test_families_of_slices(cluster, store):
    """They come and go with the Service's."""
    p = ready_pod("a", "10.244.0.1")
    p["status"]["podIPs"].append({"ip": "fd00:244::1"})
    store.apply(node("n1"), service("web"), p)
    cluster.add("n1", service_cidr=RANGES)
    types = lambda: sorted(s["addressType"] for s in ours(store))  # noqa: E731
    for policy, want in (("SingleStack", ["IPv4"]), ("PreferDualStack", ["IPv4", "IPv6"]), ("SingleStack", ["IPv4"])):
        store.apply(service("web", ipFamilyPolicy=policy))
        wait_for(lambda: types() == want, what=f"{policy}: {want}")


ZONE = "topology.kubernetes.io/zone"


def test_hints_follow_zones(cluster, store):
    store.apply(node("n1", **{ZONE: "a"}), service("web", trafficDistribution="PreferClose"), ready_pod("a", "10.244.0.1"))
    cluster.add("n1", service_cidr=RANGES)

    def zone_and_hints():
        e, = (e for s in ours(store) for e in s["endpoints"])
        return e.get("zone"), [z["name"] for z in e.get("hints", {}).get("forZones", [])]
    wait_for(lambda: zone_and_hints() == ("a", ["a"]))
    store.apply(node("n1", **{ZONE: "b"}))
    wait_for(lambda: zone_and_hints() == ("b", ["b"]))
    store.apply(node("n1"))
    wait_for(lambda: zone_and_hints() == (None, []))


def test_traces_that_nobody_took_back_go(cluster, store):
    """A minute after they expired; one that has not, and one that has just now, stay."""
    def trace(name, lives):
        return {"apiVersion": "fairlead.io/v1", "kind": "PacketTrace", "metadata": {"name": name},
                "spec": spec({"address": "192.0.2.1"}, "192.0.2.2", 80, lives=lives)}
    store.apply(node("n1"), trace("old", -70), trace("ended", -5), trace("lives", 600))
    cluster.add("n1")
    wait_for(lambda: {t["metadata"]["name"] for t in store.get("packettraces")} == {"ended", "lives"}, 20)
