# SPDX-License-Identifier: Apache-2.0
"""fairlead-cni alone: what it sends, what it prints, and how it behaves when the agent is away,
silent, or talks nonsense. The agent is played here, its records taken apart by hand."""
import array
import json
import os
import socket
import struct
import subprocess
import threading
import time

import pytest

from cni import VERSIONS, CniError, call, raw
from harness import built, wait_for

CNI_REQUEST, CNI_REPLY = 11, 12


# ---- records by hand (src/model/record.h)

def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def number(i, v):
    return varint(i << 1) + varint(v << 1)


def octets(i, v):
    v = v.encode() if isinstance(v, str) else v
    return varint(i << 1 | 1) + varint(len(v)) + v


def elements(i, items):
    return octets(i, varint(len(items)) + b"".join(varint(len(x)) + x for x in items))


def frame(kind, body):
    return struct.pack("!IHH", len(body) + 4, kind, 1) + body


def fields(body):
    """{id: int or bytes}"""
    def get(at):
        n = shift = 0
        while True:
            n |= (body[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if body[at - 1] < 128:
                return n, at
    out, at = {}, 0
    while at < len(body):
        tag, at = get(at)
        v, at = get(at)
        if tag & 1:
            v, at = body[at:at + v], at + v
        out[tag >> 1] = v
    return out


RESULT = octets(4, elements(1, [octets(1, "fl1"), octets(1, "eth0") + octets(4, "/run/netns/x")]) +
                elements(2, [octets(1, bytes([10, 1, 0, 5, 32])) + number(3, 1)]) +
                elements(3, [octets(1, bytes([0, 0, 0, 0, 0])) + octets(2, bytes([169, 254, 1, 1]))]))


class Agent:
    """Answers each connection with `answer(fields)`: bytes, or None to stay silent."""

    def __init__(self, path, answer=lambda f: frame(CNI_REPLY, b"")):
        self.path, self.answer, self.seen, self.netns = str(path), answer, [], []
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(self.path)
        self.sock.listen(64)
        self.open = []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                c, _ = self.sock.accept()
            except OSError:
                return
            self.open.append(c)
            data, fds = b"", array.array("i")
            while len(data) < 4 or len(data) < 4 + struct.unpack("!I", data[:4])[0]:
                more, anc, _, _ = c.recvmsg(65536, socket.CMSG_SPACE(16))
                for level, kind, raw_fds in anc:
                    assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
                    fds.frombytes(raw_fds)
                if not more:
                    break
                data += more
            _, kind, version = struct.unpack("!IHH", data[:8])
            assert (kind, version) == (CNI_REQUEST, 1)
            f = fields(data[8:])
            self.seen.append(f)
            self.netns.append([os.fstat(fd).st_ino for fd in fds])
            for fd in fds:
                os.close(fd)
            answer = self.answer(f)
            if answer is not None:
                c.sendall(answer)
                c.close()

    def stop(self):
        # accept() in the thread holds the socket until somebody comes.
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        for c in self.open:
            c.close()


@pytest.fixture
def agent(scratch):
    made = []

    def make(*args):
        made.append(Agent(scratch / "cni.sock", *args))
        return made[-1]
    yield make
    for a in made:
        a.stop()


@pytest.fixture
def conf(scratch):
    return {"cniVersion": "1.1.0", "name": "net", "type": "fairlead-cni",
            "socket": str(scratch / "cni.sock")}


def test_add_passes_the_namespace(agent, conf, netns):
    a, pod = agent(lambda f: frame(CNI_REPLY, RESULT)), netns("pod")
    result = call("ADD", conf, container="c1", ifname="eth0", netns=pod.path,
                  args="IgnoreUnknown=1;X=y;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web")
    assert a.netns == [[os.stat(pod.path).st_ino]]
    f = a.seen[0]
    assert (f[1], f[4], f[5], f[6], f[7]) == (1, b"net", b"c1", b"eth0", pod.path.encode())
    assert (f[8], f[9]) == (b"shop", b"web")
    assert 2 not in f and 3 not in f
    assert result == {
        "cniVersion": "1.1.0", "dns": {},
        "interfaces": [{"name": "fl1"}, {"name": "eth0", "sandbox": "/run/netns/x"}],
        "ips": [{"address": "10.1.0.5/32", "interface": 1}],
        "routes": [{"dst": "0.0.0.0/0", "gw": "169.254.1.1"}]}


@pytest.mark.parametrize("version", VERSIONS)
def test_result_of_each_version(agent, conf, netns, version):
    agent(lambda f: frame(CNI_REPLY, RESULT))
    conf["cniVersion"] = version
    pod = netns("pod")
    result = call("ADD", conf, container="c1", ifname="eth0", netns=pod.path)
    assert result["cniVersion"] == version
    assert result["ips"][0].get("version") == ("4" if version < "1" else None)


def test_as_ipam_plugin(agent, conf, scratch, netns):
    a, pod = agent(lambda f: frame(CNI_REPLY, RESULT)), netns("pod")
    conf = {"cniVersion": "1.0.0", "name": "net", "type": "bridge",
            "ipam": {"type": "fairlead-ipam", "socket": str(scratch / "cni.sock"),
                     "pools": ["p"]}}
    result = call("ADD", conf, plugin="fairlead-ipam", container="c1", ifname="eth0",
                  netns=pod.path)
    assert a.seen[0][2] == 1 and a.netns == [[]]
    assert "interfaces" not in result and "interface" not in result["ips"][0]


def test_verbs_without_answer_print_nothing(agent, conf, netns):
    a, pod = agent(), netns("pod")
    prev = {"cniVersion": "1.1.0", "interfaces": [{"name": "eth0"}],
            "ips": [{"address": "10.1.0.5/32", "interface": 0}]}
    who = {"container": "c1", "ifname": "eth0"}
    assert call("DEL", conf, **who) is None
    assert call("DEL", conf, netns=pod.path, **who) is None
    assert call("DEL", conf, netns="/run/netns/gone", **who) is None
    assert call("DEL", {**conf, "prevResult": {"ips": "what?"}}, **who) is None
    assert call("CHECK", {**conf, "prevResult": prev}, netns=pod.path, **who) is None
    assert call("GC", {**conf, "cni.dev/valid-attachments": []}) is None
    assert call("STATUS", conf) is None
    assert [f[1] for f in a.seen] == [2, 2, 2, 2, 3, 4, 5]
    ino = os.stat(pod.path).st_ino
    assert a.netns == [[], [ino], [], [], [ino], [], []]
    assert a.seen[5][16] == b"\0"  # an empty list, not none


def test_the_agents_error_is_printed(agent, conf, netns):
    agent(lambda f: frame(CNI_REPLY, number(1, 101) + octets(2, "no address") + octets(3, "why")))
    pod = netns("pod")
    r = raw("ADD", conf, container="c1", ifname="eth0", netns=pod.path)
    assert r.returncode == 1
    assert json.loads(r.stdout) == {"cniVersion": "1.1.0", "code": 101, "msg": "no address",
                                    "details": "why"}


@pytest.mark.parametrize("command,code", [("ADD", 11), ("DEL", 11), ("CHECK", 11), ("GC", 11),
                                          ("STATUS", 50)])
def test_agent_away(conf, netns, scratch, command, code):
    """Nothing listens, or nobody answers: an error of the right kind, soon."""
    pod, path = netns("pod"), scratch / "cni.sock"
    conf |= {"timeout": 1, "cni.dev/valid-attachments": [], "prevResult": {"ips": []}}
    who = {} if command in ("GC", "STATUS") else \
        {"container": "c1", "ifname": "eth0", "netns": pod.path}

    def error():
        with pytest.raises(CniError) as e:
            call(command, conf, timeout=5, **who)
        assert e.value.code == code and str(path) in e.value.msg
    error()
    deaf = socket.socket(socket.AF_UNIX)
    deaf.bind(str(path))
    error()  # bound, does not listen
    deaf.listen(1)
    start = time.monotonic()
    error()  # listens, does not answer
    assert time.monotonic() - start < 3
    deaf.close()


@pytest.mark.parametrize("answer", [
    b"", b"\0", b"garbage" * 9, frame(CNI_REPLY, b"\xff\xff"), frame(3, b""),
    struct.pack("!I", 1 << 31), frame(CNI_REPLY, octets(4, elements(2, [b"\x03\x01\x01"])))],
    ids=["nothing", "half", "garbage", "bad-field", "other-type", "huge", "bad-prefix"])
def test_nonsense_from_the_agent(agent, conf, netns, answer):
    agent(lambda f: answer)
    pod = netns("pod")
    with pytest.raises(CniError) as e:
        call("ADD", conf, container="c1", ifname="eth0", netns=pod.path, timeout=5)
    assert e.value.code == 11


@pytest.mark.parametrize("path", ["/run/netns/gone", "/proc/self/ns/net", "/proc/self/ns/mnt",
                                  "/etc/passwd", "/"])
@pytest.mark.parametrize("command", ["ADD", "CHECK"])
def test_not_a_namespace(agent, conf, path, command):
    """Above all not the node's own: its links would be taken for a container's."""
    a = agent()
    conf["prevResult"] = {"ips": []}
    with pytest.raises(CniError) as e:
        call(command, conf, container="c1", ifname="eth0", netns=path)
    assert e.value.code == 4 and "CNI_NETNS" in e.value.msg
    assert not a.seen


def test_one_document_for_any_input():
    """Whatever comes in: one JSON object with code and text, and never a signal."""
    inputs = ["", "{ not json", "[1,2]", "7", "null", "{}", "[" * 4000, '{"name":"\0',
              '{"cniVersion":"1.0.0","name":"\\u0000"}', '{"cniVersion":"1.0.0","name":["x"]}',
              '{"cniVersion":"1.0.0","name":"n","mtu":1e999}', "\xff\xfe", "{" + " " * (2 << 20) + "}"]
    for text in inputs:
        for command in ("ADD", "DEL", "CHECK", "GC", "STATUS"):
            r = subprocess.run([built("bin/fairlead-cni")], input=text.encode("latin1"),
                               capture_output=True, timeout=10,
                               env={"CNI_COMMAND": command, "CNI_CONTAINERID": "c",
                                    "CNI_IFNAME": "eth0", "CNI_NETNS": "/run/netns/gone"})
            doc = json.loads(r.stdout)
            assert r.returncode == 1 and doc["code"] > 0 and doc["msg"], (command, text[:40])


def test_version():
    for text, want in (('{"cniVersion":"0.4.0"}', "0.4.0"), ("", "1.1.0"), ("{", "1.1.0")):
        r = subprocess.run([built("bin/fairlead-cni")], input=text, capture_output=True, text=True,
                           env={"CNI_COMMAND": "VERSION"})
        assert r.returncode == 0
        assert json.loads(r.stdout) == {"cniVersion": want, "supportedVersions": VERSIONS}


def test_chained_result_is_read(agent, conf, netns):
    """CHECK hands the result of the chain on, links of other plugins included."""
    a, pod = agent(), netns("pod")
    conf["prevResult"] = {
        "cniVersion": "0.4.0", "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:01"}],
        "ips": [{"version": "6", "address": "fd00::5/64", "gateway": "fd00::1", "interface": 0}],
        "routes": [{"dst": "::/0", "gw": "fd00::1"}], "dns": {"nameservers": ["fd00::53"]}}
    call("CHECK", conf, container="c1", ifname="eth0", netns=pod.path)
    prev = fields(a.seen[0][17])
    assert bytes.fromhex("fd00" + "00" * 13 + "0540") in prev[2]
    assert b"fd00::53" in prev[4]


@pytest.mark.alone
def test_small_and_quick(agent, conf):
    """One exec and one round trip, in under 2 MB and a few milliseconds."""
    agent()
    env = {**os.environ, "CNI_COMMAND": "STATUS"}
    times = []
    for _ in range(50):
        start = time.monotonic()
        subprocess.run([built("bin/fairlead-cni")], input=json.dumps(conf), text=True, env=env,
                       check=True)
        times.append(time.monotonic() - start)
    assert sorted(times)[len(times) // 2] < 0.02


def test_memory(agent, conf):
    if b"ld-linux" in open(built("bin/fairlead-cni"), "rb").read(4096):
        pytest.skip("a sanitizer's build is not static")
    a = agent(lambda f: None)
    p = subprocess.Popen([built("bin/fairlead-cni")], stdin=subprocess.PIPE, text=True,
                         stdout=subprocess.DEVNULL, env={"CNI_COMMAND": "STATUS"})
    p.stdin.write(json.dumps(conf))
    p.stdin.close()
    try:
        # It has read, judged and asked: now it waits for an answer that never comes.
        wait_for(lambda: a.seen, 5)
        peak = next(line for line in open(f"/proc/{p.pid}/status") if line.startswith("VmHWM"))
        assert int(peak.split()[1]) < 2048, peak
    finally:
        p.kill()
        p.wait()
