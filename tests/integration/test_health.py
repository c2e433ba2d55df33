# SPDX-License-Identifier: Apache-2.0
"""Role health from outside: pages, and a server that strangers cannot wear out."""
import ctypes
import os
import re
import socket
import subprocess
import threading
import time

import pytest

from harness import built, wait_for
from roles import get, metric


@pytest.fixture
def health(netns, keeper, store):
    ns = netns()
    k = keeper(ns, "n1", store, roles="health")
    wait_for(lambda: get(ns, "/livez") == (200, "ok\n"))
    return ns, k


def test_pages(health):
    ns, _ = health
    assert get(ns, "/healthz") == (200, "ok\n")
    assert get(ns, "/readyz?verbose") == (200, "ok\n")
    assert get(ns, "/livez", method="HEAD") == (200, "")
    assert get(ns, "/nothing")[0] == 404
    assert get(ns, "/livez", method="POST")[0] == 405
    status, body = get(ns, "/metrics")
    assert status == 200
    version = subprocess.run([built("bin/fairleadd"), "--version"], capture_output=True,
                             text=True).stdout.split()[1]
    assert f'fairlead_build_info{{version="{version}"}} 1\n' in body
    assert "# TYPE fairlead_role_restarts_total counter\n" in body


def test_metrics_are_prometheus_text(health):
    """Every line by the grammar of the exposition format; a name's lines stand together."""
    ns, _ = health
    seen, current = set(), None
    for line in get(ns, "/metrics")[1].splitlines():
        m = re.fullmatch(r"# HELP ([a-z_]+) .+", line)
        if m:
            assert m[1] not in seen
            seen.add(m[1])
            current = m[1]
            continue
        if line.startswith("# TYPE"):
            assert re.fullmatch(rf"# TYPE {current} (counter|gauge)", line)
            continue
        assert re.fullmatch(rf'{current}(\{{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\}})? -?[0-9.]+', line)
    assert seen >= {"fairlead_build_info", "fairlead_role_up", "fairlead_role_restarts_total"}


def test_role_that_is_down_is_named(netns, keeper, store, scratch):
    """watch cannot start here: its program is missing."""
    libexec = scratch / "libexec"
    libexec.mkdir()
    (libexec / "health").symlink_to(built("libexec/fairlead/health"))
    ns = netns()
    keeper(ns, "n1", store, roles="watch health", libexec_dir=libexec)
    wait_for(lambda: get(ns, "/healthz") == (503, "watch does not run\n"))
    assert get(ns, "/readyz") == (503, "watch is not ready\n")
    assert get(ns, "/livez") == (200, "ok\n")
    assert metric(ns, "fairlead_role_up", 'role="watch"') == 0
    assert metric(ns, "fairlead_role_up", 'role="health"') == 1


def test_bad_requests(health):
    ns, k = health
    pid = k.pid("health")
    for raw, want in (("\x16\x03\x01\n\n", 400), ("GET / HTTP/9.9\r\n\r\n", 505),
                      ("GET /" + "a" * 9000 + " HTTP/1.1\r\n\r\n", 414),
                      ("GET / HTTP/1.1\r\n" + "X: y\r\n" * 2000 + "\r\n", 431),
                      ("GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 413),
                      ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501)):
        assert get(ns, None, raw=raw)[0] == want, raw[:40]
    assert k.pid("health") == pid


def in_netns(ns, fn):
    """Runs fn in a thread that is in the namespace; sockets it makes stay there."""
    result = {}

    def body():
        libc = ctypes.CDLL(None, use_errno=True)
        with open(ns.path) as f:
            if libc.setns(f.fileno(), 0x40000000):
                result["error"] = OSError(ctypes.get_errno(), "setns")
                return
        result["value"] = fn()
    t = threading.Thread(target=body)
    t.start()
    t.join()
    if "error" in result:
        raise result["error"]
    return result["value"]


def test_slow_clients_do_not_block(health):
    """64 connections that say nothing; the 65th waits until the first is cut after 5 s."""
    ns, k = health
    idle = in_netns(ns, lambda: [socket.create_connection(("127.0.0.1", 9099)) for _ in range(64)])
    begun = time.monotonic()
    assert get(ns, "/livez", timeout=15) == (200, "ok\n")
    waited = time.monotonic() - begun
    assert 3 < waited < 10
    for s in idle:
        s.settimeout(10)
        assert s.recv(1) == b""
        s.close()
    wait_for(lambda: len(os.listdir(f"/proc/{k.pid('health')}/fd")) < 20,
             what="descriptors are given back")


def test_many_at_once(health):
    ns, _ = health
    script = ("import socket\n"
              "def one():\n"
              "    s=socket.create_connection(('127.0.0.1',9099),10)\n"
              "    s.sendall(b'GET /livez HTTP/1.1\\r\\n\\r\\n'); return s\n"
              "for _ in range(10):\n"
              "    l=[one() for _ in range(50)]\n"
              "    for s in l:\n"
              "        d=b''\n"
              "        while True:\n"
              "            c=s.recv(4096)\n"
              "            if not c: break\n"
              "            d+=c\n"
              "        assert d.startswith(b'HTTP/1.1 200 ') and d.endswith(b'ok\\n'), d\n")
    ns.run("/usr/bin/python3", "-c", script)
