# SPDX-License-Identifier: Apache-2.0
"""One node with role bgp alone, and on the other end of a cable, or behind a router, somebody else's speaker: BIRD 2, FRR or GoBGP."""
import contextlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import built, wait_for

PEER_AS = 65001
OURS = {"10.1.0.0/24", "fd01::/64"}      # spec.networks
THEIRS = {"10.2.0.0/24", "fd02::/64"}    # the peer's, with communities
COMMUNITY, LARGE = "65001:77", "65001:1:2"
GRACE = 20  # seconds of restart time, both sides


def node(name, *addresses):
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
            "status": {"addresses": [{"type": "InternalIP", "address": a} for a in addresses]}}


def configuration(**spec):
    spec = {"nodeToNodeMeshEnabled": False, "asNumber": 65000, "networks": sorted(OURS),
            "prefixAdvertisements": [{"cidr": "10.1.0.0/16", "communities": ["65000:100", "65000:7:8"]}],
            "gracefulRestart": {"enabled": True, "restartTimeSeconds": GRACE}, **spec}
    return {"apiVersion": "fairlead.io/v1", "kind": "BGPConfiguration", "metadata": {"name": "default"},
            "spec": {k: v for k, v in spec.items() if v is not None}}


def bgp_peer(asn=PEER_AS, **spec):
    return {"apiVersion": "fairlead.io/v1", "kind": "BGPPeer", "metadata": {"name": "router"},
            "spec": {"peerIP": "10.0.0.2", "asNumber": asn, "timers": {"connectRetryTimeSeconds": 1}, **spec}}


class Other:
    """Somebody else's speaker, in a namespace of its own."""

    def __init__(self, start, scratch, ns, asn, password=None, bfd=False, ttl_security=False, six=False, far=False):
        self.start, self.ns, self.asn, self.password, self.with_bfd = start, ns, asn, password, bfd
        self.ttl_security, self.six, self.far = ttl_security, six, far
        self.dir = scratch / "other"
        self.dir.mkdir(mode=0o777)
        self.dir.chmod(0o777)
        self.programs = []
        self.run()

    def program(self, *argv):
        self.programs.append(self.start(list(argv), ns=self.ns))

    def kill(self):
        for p in self.programs:
            p.proc.kill()
            p.proc.wait()
        self.programs = []


class Bird(Other):
    needs = "bird", "birdc"

    def run(self):
        conf = self.dir / "bird.conf"
        quoted = f'"{self.password}"'
        ours, node = ("fd00::2", "fd00::1") if self.six else ("10.0.0.2", "10.0.0.1")
        way = "multihop" if self.far else 'interface "*"'
        bfd = f"protocol bfd {{ {way} {{ interval 100 ms; multiplier 3; }}; }}" if self.with_bfd else ""
        via = ("blackhole", "blackhole") if self.far else ("via 10.0.0.2", "via fd00::2")
        conf.write_text(f"""
            router id 10.0.0.2;
            protocol device {{ scan time 1; }}
            protocol static four {{
                ipv4;
                route 10.2.0.0/24 {via[0]} {{ bgp_community.add((65001, 77)); bgp_large_community.add((65001, 1, 2)); }};
            }}
            protocol static six {{ ipv6; route fd02::/64 {via[1]} {{ bgp_community.add((65001, 77)); }}; }}
            {bfd}
            protocol bgp node {{
                local {ours} as {self.asn};
                neighbor {node} as 65000; {"multihop" if self.far else "direct"};
                {"bfd on;" if self.with_bfd else ""}
                {f"password {quoted};" if self.password else ""}
                {"ttl security on;" if self.ttl_security else ""}
                connect retry time 1; connect delay time 1; error wait time 1, 2;
                graceful restart on;
                graceful restart time {GRACE};
                ipv4 {{ import all; export where source = RTS_STATIC; next hop address 10.0.0.2; }};
                ipv6 {{ import all; export where source = RTS_STATIC; next hop address fd00::2; }};
            }}
        """)
        self.sock = self.dir / "bird.ctl"
        self.program("/usr/sbin/bird", "-f", "-c", conf, "-s", self.sock, "-P", self.dir / "bird.pid")
        wait_for(lambda: "ready" in self.ask("show", "status"))

    def ask(self, *words):
        return subprocess.run(["/usr/sbin/birdc", "-s", self.sock, *words], capture_output=True,
                              text=True, timeout=10).stdout

    def routes(self):
        """prefix → text of all that is known of it, of those from us"""
        text = self.ask("show", "route", "protocol", "node", "all")
        found = {}
        for part in re.split(r"\n(?=\S+/\d+\s)", text):
            m = re.match(r"(\S+/\d+)\s", part)
            if m:
                found[m[1]] = part
        return found

    def has_communities(self, route):
        return "(65000,100)" in route and "(65000, 7, 8)" in route

    def withdraw(self):
        self.ask("disable", "four")
        self.ask("disable", "six")

    def announce(self):
        self.ask("enable", "four")
        self.ask("enable", "six")

    def refresh(self):
        self.ask("reload", "in", "node")


class Frr(Other):
    needs = "vtysh", "zebra", "bgpd"

    def run(self):
        lib = "/usr/lib/frr"
        conf = self.dir / "bgpd.conf"
        ibgp = self.asn == 65000
        conf.write_text("\n".join(filter(None, f"""
            route-map OUT permit 10
             set community 65001:77
             set large-community 65001:1:2
            exit
            route-map SIX permit 10
             set ipv6 next-hop global fd00::2
            exit
            router bgp {self.asn}
             bgp router-id 10.0.0.2
             no bgp ebgp-requires-policy
             no bgp network import-check
             no bgp default ipv4-unicast
             bgp graceful-restart
             bgp graceful-restart restart-time {GRACE}
             bgp graceful-restart preserve-fw-state
             neighbor 10.0.0.1 remote-as 65000
             neighbor 10.0.0.1 timers connect 1
             {"neighbor 10.0.0.1 ebgp-multihop 8" if self.far and not ibgp else ""}
             {"neighbor 10.0.0.1 bfd 3 100 100" if self.with_bfd else ""}
             {f"neighbor 10.0.0.1 password {self.password}" if self.password else ""}
             address-family ipv4 unicast
              network 10.2.0.0/24
              neighbor 10.0.0.1 activate
              neighbor 10.0.0.1 route-map OUT out
             exit-address-family
             address-family ipv6 unicast
              network fd02::/64
              neighbor 10.0.0.1 activate
              neighbor 10.0.0.1 route-map SIX out
             exit-address-family
            exit
        """.replace("            ", "").split("\n"))) + "\n")
        for name in ("zebra", "bfdd") if self.with_bfd else ("zebra",):
            (self.dir / f"{name}.conf").write_text("")
        for p in self.dir.iterdir():
            shutil.chown(p, "frr", "frr")
        shutil.chown(self.dir, "frr", "frr")
        zserv = self.dir / "zserv.api"
        common = ["-u", "frr", "-g", "frr", "--vty_socket", self.dir, "-P", "0", "-z", zserv]

        def one(name, *more):
            self.program(f"{lib}/{name}", *common, "-i", self.dir / f"{name}.pid",
                         "-f", self.dir / f"{name}.conf", *more)
        one("zebra")
        wait_for(zserv.exists)
        if self.with_bfd:
            one("bfdd", "--bfdctl", self.dir / "bfdd.sock")
        one("bgpd", "-S")
        wait_for(lambda: "65000" in self.ask("show bgp summary json"))

    def ask(self, *commands):
        argv = ["vtysh", "--vty_socket", str(self.dir)]
        for c in commands:
            argv += ["-c", c]
        return subprocess.run(argv, capture_output=True, text=True, timeout=20).stdout

    def routes(self):
        found = {}
        for family in ("ipv4", "ipv6"):
            doc = json.loads(self.ask(f"show bgp {family} unicast neighbors 10.0.0.1 routes json") or "{}")
            found |= {p: json.dumps(v) for p, v in doc.get("routes", {}).items()}
        return found

    def has_communities(self, route):
        text = self.ask("show bgp ipv4 unicast 10.1.0.0/24 json")
        return "65000:100" in text and "65000:7:8" in text

    def _networks(self, no):
        self.ask("configure terminal", f"router bgp {self.asn}", "address-family ipv4 unicast",
                 f"{no}network 10.2.0.0/24", "exit-address-family", "address-family ipv6 unicast",
                 f"{no}network fd02::/64")

    def withdraw(self):
        self._networks("no ")

    def announce(self):
        self._networks("")

    def refresh(self):
        self.ask("clear bgp ipv4 unicast 10.0.0.1 in")


class Gobgp(Other):
    needs = "gobgpd", "gobgp"
    refresh = None  # it filters anew what it has, and asks nobody

    def run(self):
        conf = self.dir / "gobgpd.conf"
        families = "".join(f"""
            [[neighbors.afi-safis]]
              [neighbors.afi-safis.config]
                afi-safi-name = "{f}-unicast"
        """ for f in ("ipv4", "ipv6"))
        conf.write_text(f"""
            [global.config]
              as = {self.asn}
              router-id = "10.0.0.2"
              local-address-list = ["10.0.0.2"]
            [[neighbors]]
              [neighbors.config]
                neighbor-address = "10.0.0.1"
                peer-as = 65000
              [neighbors.timers.config]
                connect-retry = 1
                idle-hold-time-after-reset = 1
        """ + families)
        self.program("/usr/bin/gobgpd", "-f", conf, "--api-hosts", "127.0.0.1:50051")
        wait_for(lambda: "10.0.0.1" in self.ask("neighbor"))
        self.announce()

    def ask(self, *words):
        return self.ns.run("/usr/bin/gobgp", *words, check=False).stdout

    def routes(self):
        found = {}
        for family in ("ipv4", "ipv6"):
            doc = json.loads(self.ask("neighbor", "10.0.0.1", "adj-in", "-a", family, "-j") or "{}")
            paths = [p for v in doc.values() for p in v] if isinstance(doc, dict) else doc
            found |= {p["nlri"]["prefix"]: json.dumps(p) for p in paths}
        return found

    def has_communities(self, route):
        return str(65000 << 16 | 100) in route

    def announce(self):
        self.ask("global", "rib", "add", "10.2.0.0/24", "nexthop", "10.0.0.2", "community", "65001:77",
                 "large-community", "65001:1:2")
        self.ask("global", "rib", "add", "fd02::/64", "nexthop", "fd00::2", "community", "65001:77", "-a", "ipv6")

    def withdraw(self):
        self.ask("global", "rib", "del", "10.2.0.0/24")
        self.ask("global", "rib", "del", "fd02::/64", "-a", "ipv6")



OTHERS = {"bird": Bird, "frr": Frr, "gobgp": Gobgp}


class BgpWorld:
    def __init__(self, netns, keeper, store, start, scratch, far=False):
        self.store, self.start, self.scratch, self.far = store, start, scratch, far
        self.ns, self.other_ns = netns("node"), netns("other")
        self.router = self._behind_a_router(netns("router")) if far else self._cable()
        self.keeper = None
        self._keeper = keeper

    def _cable(self):
        self.ns.batch(f"link add eth0 type veth peer name eth0 netns {self.other_ns.path}",
                      "addr add 10.0.0.1/24 dev eth0", "addr add fd00::1/64 dev eth0 nodad", "link set eth0 up")
        self.other_ns.batch("addr add 10.0.0.2/24 dev eth0", "addr add fd00::2/64 dev eth0 nodad",
                            "link set eth0 up")

    def _behind_a_router(self, router):
        """The same addresses, but each alone in its subnet."""
        router.sysctl("net.ipv4.ip_forward", 1)
        router.sysctl("net.ipv6.conf.all.forwarding", 1)
        for n, ns in ((1, self.ns), (2, self.other_ns)):
            router.batch(f"link add port{n} type veth peer name eth0 netns {ns.path}", f"link set port{n} up",
                         f"addr add 10.9.{n}.254/32 dev port{n}", f"addr add fd09:{n}::254/128 dev port{n} nodad",
                         f"route add 10.0.0.{n}/32 dev port{n}", f"route add fd00::{n}/128 dev port{n}")
            ns.batch(f"addr add 10.0.0.{n}/32 dev eth0", f"addr add fd00::{n}/128 dev eth0 nodad", "link set eth0 up",
                     f"route add 10.9.{n}.254/32 dev eth0", f"route add default via 10.9.{n}.254 dev eth0",
                     f"route add fd09:{n}::254/128 dev eth0", f"route add default via fd09:{n}::254 dev eth0")
        return router

    def begin(self, *objects, roles="bgp", **settings):
        self.store.apply(node("n1", "10.0.0.1", "fd00::1"), *objects)
        self.keeper = self._keeper(self.ns, "n1", self.store, roles=roles, **settings)
        wait_for(lambda: "speaks BGP" in self.keeper.program.log())

    def begin_other(self, name, asn=PEER_AS, **kw):
        kind = OTHERS[name]
        path = os.environ["PATH"] + ":/usr/sbin:/sbin:/usr/lib/frr"
        missing = [p for p in kind.needs if not shutil.which(p, path=path)]
        if missing:
            pytest.skip("not installed: " + ", ".join(missing))
        return kind(self.start, self.scratch, self.other_ns, asn, far=self.far, **kw)

    def fairlead(self, *args, check=True):
        r = subprocess.run([built("bin/fairlead"), "bgp", *args, "--run-dir", self.keeper.run_dir],
                           capture_output=True, text=True, timeout=30)
        assert not check or r.returncode in (0, 1), r.stdout + r.stderr
        return r

    def peer(self):
        """What status says of the only peer."""
        doc = json.loads(self.fairlead("status", "-o", "json").stdout)
        return doc["peers"][0] if doc["peers"] else None

    def is_up(self):
        p = self.peer()
        return p and p["state"] == "Established" and p

    def routes(self, peer="router"):
        """prefix → row, of what the peer told and is not refused (FRR tells us ours, too)"""
        rows = json.loads(self.fairlead("routes", "--all", "-o", "json").stdout)["routes"]
        return {r["prefix"]: r for r in rows if r.get("peer") == peer and not r["filtered"]}


@pytest.fixture
def bgp_world(netns, keeper, store, start, scratch):
    return BgpWorld(netns, keeper, store, start, scratch)


@pytest.fixture
def far_world(netns, keeper, store, start, scratch):
    """A router is in between."""
    return BgpWorld(netns, keeper, store, start, scratch, far=True)
