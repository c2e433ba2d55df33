# SPDX-License-Identifier: Apache-2.0
"""What kube-proxy 1.34 writes for ClusterIP Services with one TCP port, all endpoints ready, in its
iptables and in its nftables mode: the first load, and its later transactions, which name in full only
what changed. KUBE-SERVICES is the exception: iptables mode writes it anew each time."""
import ipaddress

PORT, TARGET = 80, 8080
PODS = "10.128.0.0/9"


def service_ip(i):
    return str(ipaddress.ip_address("10.96.0.1") + i)


def endpoint_ips(i, most, first, n):
    base = ipaddress.ip_address("10.128.0.1")
    return [str(base + i * most + first + j) for j in range(n)]


def name(i):
    return f"svc-{i:05}"


class Iptables:
    argv = ["iptables-restore", "-w", "5", "--noflush", "--counters"]
    BASE = [":KUBE-SERVICES - [0:0]", ":KUBE-POSTROUTING - [0:0]", ":KUBE-MARK-MASQ - [0:0]",
            "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
            "-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000",
            '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT"'
            " -j MASQUERADE --random-fully",
            "-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000"]
    ONCE = ["-A PREROUTING -j KUBE-SERVICES", "-A OUTPUT -j KUBE-SERVICES",
            "-A POSTROUTING -j KUBE-POSTROUTING"]

    def __init__(self, most):
        self.most = most

    def service(self, i, first, n):
        full = f"bench/{name(i)}:http"
        svc = f"KUBE-SVC-{i:016}"
        chains, rules = [f":{svc} - [0:0]"], [
            f'-A {svc} -m comment --comment "{full} cluster IP" -m tcp -p tcp -d {service_ip(i)}'
            f" --dport {PORT} ! -s {PODS} -j KUBE-MARK-MASQ"]
        ips = endpoint_ips(i, self.most, first, n)
        for j, ip in enumerate(ips):
            sep = f"KUBE-SEP-{i:08}{int(ipaddress.ip_address(ip)) & 0xffffff:08}"
            chains.append(f":{sep} - [0:0]")
            random = (f" -m statistic --mode random --probability {1 / (n - j):.10f}"
                      if j < n - 1 else "")
            rules += [f'-A {svc} -m comment --comment "{full} -> {ip}:{TARGET}"{random} -j {sep}',
                      f"-A {sep} -m comment --comment {full} -s {ip} -j KUBE-MARK-MASQ",
                      f"-A {sep} -m comment --comment {full} -m tcp -p tcp -j DNAT"
                      f" --to-destination {ip}:{TARGET}"]
        return chains, rules

    def front(self, i):
        return (f'-A KUBE-SERVICES -m comment --comment "bench/{name(i)}:http cluster IP" -m tcp -p tcp'
                f" -d {service_ip(i)} --dport {PORT} -j KUBE-SVC-{i:016}")

    def text(self, services, fronts, once=()):
        chains, rules = [], []
        for i, first, n in services:
            c, r = self.service(i, first, n)
            chains, rules = chains + c, rules + r
        lines = ["*nat", *self.BASE[:3], *chains, *self.BASE[3:], *once,
                 *(self.front(i) for i in range(fronts)), *rules, "COMMIT", ""]
        return "\n".join(lines)

    def load(self, services):
        return self.text([(i, 0, self.most) for i in range(services)], services, self.ONCE)

    def change(self, services, i):
        """An endpoint went; its chain goes with a later transaction, as with kube-proxy."""
        return self.text([(i, 1, self.most - 1)], services)

    def back(self, services, i):
        return self.text([(i, 0, self.most)], services)

    def add(self, services):
        return self.text([(services, 0, self.most)], services + 1)


class Nft:
    argv = ["nft", "-f", "-"]
    BASE = f"""table ip kube-proxy {{
	map service-ips {{
		type ipv4_addr . inet_proto . inet_service : verdict
	}}
	chain mark-for-masquerade {{
		meta mark set mark or 0x4000
	}}
	chain masquerading {{
		mark & 0x4000 == 0 return
		meta mark set mark xor 0x4000
		masquerade fully-random
	}}
	chain services {{
		ip daddr . meta l4proto . th dport vmap @service-ips
	}}
	chain nat-prerouting {{
		type nat hook prerouting priority dstnat; policy accept;
		jump services
	}}
	chain nat-output {{
		type nat hook output priority -100; policy accept;
		jump services
	}}
	chain nat-postrouting {{
		type nat hook postrouting priority srcnat; policy accept;
		jump masquerading
	}}
}}
"""

    def __init__(self, most):
        self.most = most

    @staticmethod
    def chain(i):
        return f"service-{i:08}-bench/{name(i)}/tcp/http"

    def service(self, i, first, n):
        out, vmap, svc = [], [], self.chain(i)
        ips = endpoint_ips(i, self.most, first, n)
        chains = [f"endpoint-{i:08}-bench/{name(i)}/tcp/http__{ip}/{TARGET}" for ip in ips]
        for c in [svc, *chains]:
            out += [f"add chain ip kube-proxy {c}", f"flush chain ip kube-proxy {c}"]
        for j, (ip, c) in enumerate(zip(ips, chains)):
            out += [f"add rule ip kube-proxy {c} ip saddr {ip} jump mark-for-masquerade",
                    f"add rule ip kube-proxy {c} meta l4proto tcp dnat to {ip}:{TARGET}"]
            vmap.append(f"{j} : goto {c}")
        out += [f"add rule ip kube-proxy {svc} ip daddr {service_ip(i)} tcp dport {PORT}"
                f" ip saddr != {PODS} jump mark-for-masquerade",
                f"add rule ip kube-proxy {svc} numgen random mod {n} vmap {{ {', '.join(vmap)} }}"]
        return out

    def element(self, i):
        return (f'add element ip kube-proxy service-ips {{ {service_ip(i)} . tcp . {PORT} comment'
                f' "bench/{name(i)}:http" : goto {self.chain(i)} }}')

    def load(self, services):
        out = []
        for i in range(services):
            out += self.service(i, 0, self.most) + [self.element(i)]
        return self.BASE + "\n".join(out) + "\n"

    def change(self, services, i):
        return "\n".join(self.service(i, 1, self.most - 1)) + "\n"

    def back(self, services, i):
        return "\n".join(self.service(i, 0, self.most)) + "\n"

    def add(self, services):
        return "\n".join(self.service(services, 0, self.most) + [self.element(services)]) + "\n"
