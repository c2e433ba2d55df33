// SPDX-License-Identifier: Apache-2.0
/* judge: the checks, in the order in which they are told; see doctor.h. A new one is a function, a
 * row in the table at the end, its id in docs/abi.md, and a test that makes the defect. */
#include "core/doctor/judge.h"
#include "core/route/mtu.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define FINDINGS 64 /* of one run; nobody reads more */

enum { KERNEL_MAJOR = 5, KERNEL_MINOR = 15 }; /* what fairlead needs */

void judge_report(struct doctor *d, struct finding f)
{
	if (!f.what || !f.where || !f.why || !f.cure)
		d->failed = true; /* a text for which there was no memory */
	else if (d->findings.n < FINDINGS)
		d->findings.v[d->findings.n++] = f;
}

/* ---- the agent */

static bool check_agent(struct doctor *d, const struct doctor_facts *f)
{
	if (f->agent_wanted && !f->agent_answers)
		judge_report(d, (struct finding){
					"agent", DOCTOR_ERROR, "the agent does not answer",
					"ctl.sock", "no pod starts, and nothing follows the store",
					"systemctl start fairlead, or read fairleadd's log" });
	else if (f->agent_wanted && !f->in_sync)
		judge_report(d,
			     (struct finding){
				     "agent-sync", DOCTOR_ERROR,
				     "the agent has not seen the whole store", "agent",
				     "it changes nothing that is there, and misses what is new",
				     "see that the store can be reached: fairlead node status" });
	return true;
}

static bool check_kernel(struct doctor *d, const struct doctor_facts *f)
{
	static const char cure[] = "load the module, or take a kernel that has it";

	if (f->kernel_major < KERNEL_MAJOR ||
	    (f->kernel_major == KERNEL_MAJOR && f->kernel_minor < KERNEL_MINOR))
		judge_report(d, (struct finding){
					"kernel-old", DOCTOR_ERROR,
					TEXT("Linux %u.%u is older than %d.%d", f->kernel_major,
					     f->kernel_minor, KERNEL_MAJOR, KERNEL_MINOR),
					"kernel", "what fairlead asks of it may be refused",
					"take a newer kernel" });
	if (f->try_bridge < 0)
		judge_report(d,
			     (struct finding){ "kernel-bridge", DOCTOR_WARNING, "no bridge devices",
					       "kernel", "attachment bridge does not work", cure });
	if (f->try_vxlan < 0)
		for (uint32_t i = 0; i < f->pools.n; i++)
			if (f->pools.v[i].tunnel &&
			    !strcmp(f->pools.v[i].tunnel, ROUTE_VXLAN_DEV)) {
				judge_report(d, (struct finding){ "kernel-vxlan", DOCTOR_ERROR,
								  "no vxlan devices", "kernel",
								  TEXT("IPPool %s needs a tunnel",
								       f->pools.v[i].name),
								  cure });
				break;
			}
	if (f->try_nft < 0)
		judge_report(d, (struct finding){ "kernel-nftables", DOCTOR_ERROR,
						  "the ruleset is refused", "nftables",
						  "no pod starts without its rules", cure });
	return f->try_bridge <= 0 && f->try_vxlan <= 0 && f->try_nft <= 0;
}

const struct klink *judge_link(const struct doctor_facts *f, const char *name)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->v[i].type == KOBJ_LINK && !strcmp(f->v[i].link.name, name))
			return &f->v[i].link;
	return NULL;
}

const struct klink *judge_tunnel(const struct doctor_facts *f)
{
	const struct klink *l = judge_link(f, ROUTE_VXLAN_DEV);

	return l && l->kind == KLINK_VXLAN && l->vni == ROUTE_VXLAN_VNI &&
			       l->vxlan_port == ROUTE_VXLAN_PORT
		       ? l
		       : NULL;
}

/* ---- knobs */

static bool has_family(const struct doctor_facts *f, uint8_t family)
{
	for (uint32_t i = 0; i < f->pools.n; i++)
		if (f->pools.v[i].cidr.addr.family == family)
			return true;
	return !f->has_store && family == AF_INET;
}

static bool check_forwarding(struct doctor *d, const struct doctor_facts *f)
{
	static const char why[] = "the node drops what it should pass on between pods and others";

	if (!f->forward4 && has_family(f, AF_INET))
		judge_report(d,
			     (struct finding){ "forwarding-v4", DOCTOR_ERROR,
					       "IPv4 forwarding is off", "net.ipv4.ip_forward", why,
					       "sysctl -w net.ipv4.ip_forward=1, and look for who "
					       "turns it off below /etc/sysctl.d" });
	else if (!f->uplink_forward4 && has_family(f, AF_INET))
		judge_report(d, (struct finding){
					"forwarding-uplink", DOCTOR_ERROR,
					"IPv4 forwarding is off on the uplink",
					TEXT("net.ipv4.conf.%s.forwarding", f->uplink.name), why,
					TEXT("sysctl -w net.ipv4.conf.%s.forwarding=1",
					     f->uplink.name) });
	if (!f->forward6 && has_family(f, AF_INET6))
		judge_report(d,
			     (struct finding){
				     "forwarding-v6", DOCTOR_ERROR, "IPv6 forwarding is off",
				     "net.ipv6.conf.all.forwarding", why,
				     "sysctl -w net.ipv6.conf.all.forwarding=1, and look for who "
				     "turns it off below /etc/sysctl.d" });
	return true;
}

static bool is_default4(const struct kobj *o)
{
	return o->type == KOBJ_ROUTE && o->route.dst.addr.family == AF_INET && !o->route.dst.len &&
	       o->route.oif[0];
}

static bool leaves_elsewhere(const struct doctor_facts *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (is_default4(&f->v[i]) && strcmp(f->v[i].route.oif, f->uplink.name) != 0)
			return true;
	return false;
}

/* The kernel takes the larger of `all` and the device's own. Strict is 1. */
static bool is_strict(int all, int own)
{
	return own != DOCTOR_NOWHERE && (all > own ? all : own) == 1;
}

static bool check_rp_filter(struct doctor *d, const struct doctor_facts *f)
{
	if (judge_tunnel(f) && is_strict(f->rp_all, f->rp_tunnel))
		judge_report(
			d, (struct finding){
				   "rp-filter-tunnel", DOCTOR_WARNING,
				   "vxlan0 drops what the node would answer by another way",
				   "net.ipv4.conf.vxlan0.rp_filter",
				   "pods are cut off while nodes change between tunnel and direct",
				   "sysctl -w net.ipv4.conf.vxlan0.rp_filter=2" });
	if (f->uplink.name[0] && is_strict(f->rp_all, f->rp_uplink) && leaves_elsewhere(f))
		judge_report(
			d,
			(struct finding){
				"rp-filter-uplink", DOCTOR_WARNING,
				TEXT("%s drops what the node would answer by its other default "
				     "route",
				     f->uplink.name),
				TEXT("net.ipv4.conf.%s.rp_filter", f->uplink.name),
				"packets of other nodes and of clients behind routers are lost",
				TEXT("sysctl -w net.ipv4.conf.%s.rp_filter=2", f->uplink.name) });
	return f->has_kernel;
}

static bool check_conntrack(struct doctor *d, const struct doctor_facts *f)
{
	if (f->conntrack_max <= 0)
		return false;
	if (f->conntrack > f->conntrack_max / 10 * 9)
		judge_report(d, (struct finding){
					"conntrack-full", DOCTOR_ERROR,
					TEXT("%lld of %lld connections are tracked",
					     (long long)f->conntrack, (long long)f->conntrack_max),
					"net.netfilter.nf_conntrack_max",
					"new connections are dropped when the table is full",
					TEXT("sysctl -w net.netfilter.nf_conntrack_max=%lld",
					     2 * (long long)f->conntrack_max) });
	return true;
}

/* ---- MTU */

static bool check_mtu(struct doctor *d, const struct doctor_facts *f)
{
	const struct klink *vx = judge_tunnel(f);
	uint32_t over = mtu_overhead(POOL_VXLAN, vx ? vx->vxlan_local.family : AF_INET);

	if (!f->uplink.mtu)
		return false;
	if (vx && vx->mtu + over > f->uplink.mtu && f->uplink.mtu > over + MTU_MIN_V4)
		judge_report(
			d,
			(struct finding){
				"mtu-tunnel", DOCTOR_ERROR,
				TEXT("a full packet of %u bytes does not fit the uplink's %u with "
				     "%u around it",
				     vx->mtu, f->uplink.mtu, over),
				"vxlan0", "large packets between pods are lost, small ones pass",
				TEXT("ip link set vxlan0 mtu %u", f->uplink.mtu - over) });
	for (uint32_t i = 0; i < f->peers.n; i++) {
		const struct doctor_peer *p = &f->peers.v[i];
		char ip[ADDR_TEXT];

		if (p->path_mtu && p->path_mtu < f->uplink.mtu)
			judge_report(
				d, (struct finding){
					   "mtu-path", DOCTOR_ERROR,
					   TEXT("the way to Node %s takes %u bytes, the uplink "
						"says %u",
						p->name, p->path_mtu, f->uplink.mtu),
					   TEXT("%s (%s)", f->uplink.name, addr_str(&p->ip, ip)),
					   "large packets between pods are lost, small ones pass",
					   TEXT("ip link set %s mtu %u, on every node; pods follow",
						f->uplink.name, p->path_mtu) });
	}
	return true;
}

/* ---- others on this machine */

static bool check_drops(struct doctor *d, const struct doctor_facts *f)
{
	for (uint32_t i = 0; i < f->chains.n; i++) {
		const struct doctor_chain *c = &f->chains.v[i];
		char pool[PREFIX_TEXT] = "POOL";

		if (!c->drops || c->accepts_pods || !c->forward)
			continue;
		if (f->pools.n)
			prefix_str(&f->pools.v[0].cidr, pool);
		judge_report(
			d,
			(struct finding){
				"foreign-drop", DOCTOR_ERROR,
				TEXT("table %s %s drops what it does not know", c->family,
				     c->table),
				TEXT("chain %s %s %s", c->family, c->table, c->chain),
				"a drop of one table counts, whatever another accepts: pods reach "
				"nobody beyond their node",
				TEXT("nft insert rule %s %s %s ip%s saddr %s accept, and the same "
				     "for daddr and each pool",
				     c->family, c->table, c->chain, strchr(pool, ':') ? "6" : "",
				     pool) });
	}
	if (f->iptables_legacy)
		judge_report(d,
			     (struct finding){
				     "iptables-legacy", DOCTOR_WARNING,
				     "rules of the old iptables are loaded, and are not looked at",
				     "/proc/net/ip_tables_names",
				     "what they drop is lost, whatever nftables accepts",
				     "iptables-legacy -S FORWARD; move them to iptables-nft" });
	return f->has_nft;
}

static void check_manager(struct doctor *d, bool runs, bool told, struct finding f)
{
	f.severity = DOCTOR_WARNING;
	if (runs && !told)
		judge_report(d, f);
}

static bool check_managers(struct doctor *d, const struct doctor_facts *f)
{
	check_manager(
		d, f->firewalld, f->firewalld_told,
		(struct finding){ "firewalld", 0, "firewalld runs and knows no pool",
				  "/etc/firewalld", "it drops pods' packets between its zones",
				  "firewall-cmd --permanent --zone=trusted --add-source=POOL, "
				  "for each pool; firewall-cmd --reload" });
	check_manager(d, f->manager, f->manager_told,
		      (struct finding){ "networkmanager", 0,
					"NetworkManager may take over fairlead's links",
					"/etc/NetworkManager",
					"it sets pods' links down or gives them addresses",
					"[keyfile] unmanaged-devices=interface-name:fl*;"
					"interface-name:br-fl*;interface-name:vxlan0 in "
					"/etc/NetworkManager/conf.d/fairlead.conf" });
	check_manager(d, f->networkd, f->networkd_told,
		      (struct finding){ "networkd", 0,
					"systemd-networkd removes routes that it did not make",
					"/etc/systemd/networkd.conf",
					"pods are cut off each time that it starts or reloads",
					"[Network] ManageForeignRoutes=no in "
					"/etc/systemd/networkd.conf.d/fairlead.conf" });
	return true;
}

static bool check_dns(struct doctor *d, const struct doctor_facts *f)
{
	if (f->dns_wanted && f->dns_taken)
		judge_report(d, (struct finding){
					"dns-port", DOCTOR_ERROR,
					"another program has port 53 of every address", "port 53",
					"role dns cannot listen there: pods find no names",
					"ss -lptun 'sport = :53' names it; have it listen on "
					"addresses of its own (dnsmasq: bind-interfaces)" });
	return true;
}

/* ---- files */

static bool check_cni(struct doctor *d, const struct doctor_facts *f)
{
	if (f->cni_ours && !f->cni_binary)
		judge_report(d,
			     (struct finding){ "cni-binary", DOCTOR_ERROR,
					       "a configuration names a plugin that is not there",
					       "/opt/cni/bin/fairlead-cni", "no pod starts",
					       "install the plugin, or remove "
					       "/etc/cni/net.d/10-fairlead.conflist" });
	if (f->cni_ours && !f->cni_first_ours)
		judge_report(d, (struct finding){
					"cni-order", DOCTOR_ERROR,
					"runtimes take another configuration than fairlead's",
					TEXT("/etc/cni/net.d/%s", f->cni_first),
					"new pods get another plugin's network",
					TEXT("remove /etc/cni/net.d/%s, with its plugin's daemon",
					     f->cni_first) });
	return true;
}

static bool check_disk(struct doctor *d, const struct doctor_facts *f)
{
	static const char why[] = "no pod starts, as its address cannot be written down";

	if (!f->state_known)
		return false;
	if (f->state_readonly)
		judge_report(d, (struct finding){
					"disk-readonly", DOCTOR_ERROR,
					"the file system is read-only", f->state_dir, why,
					"mount it writable, after a look into the kernel's log" });
	else if (f->state_free < 16u << 20 || f->state_free < f->state_size / 50)
		judge_report(d, (struct finding){ "disk-full", DOCTOR_ERROR,
						  TEXT("%llu MB are free",
						       (unsigned long long)(f->state_free >> 20)),
						  f->state_dir, why, "make room there" });
	return true;
}

void doctor_judge(struct doctor *d, const struct doctor_facts *f)
{
	static const struct {
		const char *name;
		bool (*run)(struct doctor *d, const struct doctor_facts *f);
	} checks[] = {
		{ "agent", check_agent },
		{ "kernel", check_kernel },
		{ "forwarding", check_forwarding },
		{ "rp-filter", check_rp_filter },
		{ "conntrack", check_conntrack },
		{ "mtu", check_mtu },
		{ "overlap", judge_overlap },
		{ "node-addresses", judge_node_addresses },
		{ "tunnel-name", judge_tunnel_name },
		{ "foreign-drops", check_drops },
		{ "managers", check_managers },
		{ "dns", check_dns },
		{ "cni", check_cni },
		{ "disk", check_disk },
	};
	size_t n = sizeof(checks) / sizeof(checks[0]);

	d->findings.v = arena_array(d->a, FINDINGS, sizeof(*d->findings.v));
	d->checked.v = arena_array(d->a, n, sizeof(*d->checked.v));
	d->findings.n = d->checked.n = 0;
	d->failed = !d->findings.v || !d->checked.v;
	for (size_t i = 0; !d->failed && i < n; i++)
		if (checks[i].run(d, f))
			d->checked.v[d->checked.n++] = checks[i].name;
}
