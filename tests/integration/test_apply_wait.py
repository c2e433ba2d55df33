# SPDX-License-Identifier: Apache-2.0
"""apply and delete on a lab, waiting as a person would: when they return, what they promise is so,
as `ip` in the nodes and pods sees it."""
import json

WEB = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "wait"},
       "spec": {"replicas": 6, "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}},
                             "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80}]}]}}}}
SET = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "namespace": "wait"},
       "spec": {"replicas": 2, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}},
                "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "c"}]}}}}
DAEMON = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "log", "namespace": "wait"},
          "spec": {"selector": {"matchLabels": {"app": "log"}},
                   "template": {"metadata": {"labels": {"app": "log"}}, "spec": {"containers": [{"name": "c"}]}}}}


def write(lab, verb, scratch, *objects, wait=30):
    path = scratch / "objects.json"
    path.write_text("\n".join(json.dumps(o) for o in objects))
    return lab.store(verb, "-f", path, f"--wait={wait}")


def pods(lab):
    items = json.loads(lab.store("get", "pods", "-n", "wait", "-o", "json").stdout)["items"]
    return {p["metadata"]["name"]: p for p in items}


def test_workloads(lab, scratch):
    lab = lab("--nodes", 3)
    write(lab, "apply", scratch, WEB, SET, DAEMON)
    # It has returned: every pod is Ready, has an address, and every node routes to it.
    now = pods(lab)
    assert len(now) == 6 + 2 + 3
    assert {"db-0", "db-1"} <= set(now)
    for p in now.values():
        assert [c["status"] for c in p["status"]["conditions"] if c["type"] == "Ready"] == ["True"]
    nodes = [n["metadata"]["name"] for n in json.loads(lab.store("get", "nodes", "-o", "json").stdout)["items"]]
    for app, each in (("web", [2, 2, 2]), ("log", [1, 1, 1])):
        on = [p["spec"]["nodeName"] for p in now.values() if p["metadata"]["labels"]["app"] == app]
        assert [on.count(n) for n in nodes] == each
    for node in nodes:
        for p in now.values():
            for ip in p["status"]["podIPs"]:
                route = json.loads(lab.node(node, "ip", "-j", "route", "get", ip["ip"]).stdout)[0]
                here = p["spec"]["nodeName"] == node
                assert route["dev"].startswith("fl" if here else "vxlan"), (node, route)
    # One replica less, another template: what is there afterwards is only the new.
    more = {"metadata": {"labels": {"app": "web", "v": "2"}}, "spec": WEB["spec"]["template"]["spec"]}
    write(lab, "apply", scratch, {**WEB, "spec": {**WEB["spec"], "replicas": 5, "template": more}})
    web = [p for p in pods(lab).values() if p["metadata"]["labels"]["app"] == "web"]
    assert [p["metadata"]["labels"].get("v") for p in web] == ["2"] * 5
    write(lab, "apply", scratch, {**WEB, "spec": {**WEB["spec"], "replicas": 1, "template": more}})
    assert len(pods(lab)) == 1 + 2 + 3
    write(lab, "delete", scratch, SET, DAEMON)
    assert [p["metadata"]["labels"]["app"] for p in pods(lab).values()] == ["web"]
    write(lab, "delete", scratch, WEB)
    assert pods(lab) == {}


def test_apply_that_cannot_be_done(lab, scratch):
    """A pod that fits no node: exit 3, and it is named."""
    lab = lab("--nodes", 1)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "nowhere", "namespace": "wait"},
           "spec": {"nodeSelector": {"no": "such"}, "containers": [{"name": "c"}]}}
    path = scratch / "pod.json"
    path.write_text(json.dumps(pod))
    r = lab.store("apply", "-f", path, "--wait=1", check=False)
    assert r.returncode == 3
    assert "pod wait/nowhere: Pending, no node yet" in r.stderr


def test_services_are_kept(lab, scratch):
    """Kinds that no node acts on wait like others, restart nothing, and `why` asks the lab about them."""
    lab = lab("--nodes", 1)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "wait"},
           "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80}]}]}}
    write(lab, "apply", scratch, pod)
    web = pods(lab)["web"]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "wait"},
               "spec": {"clusterIP": "10.96.0.10", "ports": [{"port": 80}]}}
    slice_ = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "ports": [{"port": 80}],
              "metadata": {"name": "web-1", "namespace": "wait", "labels": {"kubernetes.io/service-name": "web"}},
              "endpoints": [{"addresses": [web["status"]["podIP"]], "nodeName": web["spec"]["nodeName"]}]}
    write(lab, "apply", scratch, service, slice_)
    answer = json.loads(lab.store("why", "wait/web", "wait/web:80", "-o", "json").stdout)
    assert answer["service"]["action"] == "PASS"  # the pod itself, by its name
    answer = json.loads(lab.store("why", "wait/web", "web.wait", "-o", "json").stdout)
    assert (answer["service"]["action"], answer["service"]["masquerade_because"]) == ("DNAT", "it reaches itself")
    write(lab, "delete", scratch, service, slice_)
    assert json.loads(lab.store("get", "services", "-A", "-o", "json").stdout)["items"] == []
    assert pods(lab)["web"]["metadata"]["uid"] == web["metadata"]["uid"]
