// SPDX-License-Identifier: Apache-2.0
/* doctor_look: links, addresses, routes, knobs, the store's pools and nodes, files and programs. */
#include "cmd/doctor.h"
#include "store/store.h"
#include "sys/file.h"
#include "sys/rtnl.h"

#include <ctype.h>
#include <dirent.h>
#include <net/ethernet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

#define CNI_CONF "/etc/cni/net.d"
#define CNI_BIN  "/opt/cni/bin/fairlead-cni"
#define LIST_MAX 1024 /* of pools, and of nodes' addresses: enough to find what is wrong */

/* ---- knobs */

static int64_t knob(const char *path, int64_t missing)
{
	char value[32];

	return sysctl_read(path, value, sizeof(value), NULL) ? missing : strtoll(value, NULL, 10);
}

static int knob_of(const char *fmt, const char *dev)
{
	char path[SYSCTL_PATH];

	snprintf(path, sizeof(path), fmt, dev);
	return (int)knob(path, DOCTOR_NOWHERE);
}

static void look_knobs(struct doctor_facts *f)
{
	f->forward4 = (int)knob("net/ipv4/ip_forward", DOCTOR_NOWHERE);
	f->forward6 = (int)knob("net/ipv6/conf/all/forwarding", DOCTOR_NOWHERE);
	f->rp_all = (int)knob("net/ipv4/conf/all/rp_filter", DOCTOR_NOWHERE);
	f->rp_tunnel = knob_of("net/ipv4/conf/%s/rp_filter", ROUTE_VXLAN_DEV);
	f->rp_uplink = f->uplink_forward4 = DOCTOR_NOWHERE;
	if (f->uplink.name[0]) {
		f->rp_uplink = knob_of("net/ipv4/conf/%s/rp_filter", f->uplink.name);
		f->uplink_forward4 = knob_of("net/ipv4/conf/%s/forwarding", f->uplink.name);
	}
	f->conntrack = knob("net/netfilter/nf_conntrack_count", 0);
	f->conntrack_max = knob("net/netfilter/nf_conntrack_max", 0);
}

/* ---- the kernel's tables */

static void look_kernel(struct doctor_facts *f, const struct config *cfg)
{
	unsigned what = RTNL(KOBJ_LINK) | RTNL(KOBJ_ADDR) | RTNL(KOBJ_ROUTE);
	struct ipaddr own[ROUTE_FAMILIES * 4];
	struct klist have = { 0 };
	struct utsname u;
	size_t n = 0;
	struct err e;
	struct nl *nl = nl_open(NETLINK_ROUTE, &e);

	if (!uname(&u)) {
		char *end;

		f->kernel_major = (unsigned)strtoul(u.release, &end, 10);
		if (*end == '.')
			f->kernel_minor = (unsigned)strtoul(end + 1, NULL, 10);
	}
	if (nl && !rtnl_dump(nl, what, &have, &e))
		f->has_kernel = true;
	nl_close(nl);
	f->v = have.v;
	f->n = have.n;
	for (uint32_t i = 0; i < f->nodes.n && n < sizeof(own) / sizeof(own[0]); i++)
		if (!strcmp(f->nodes.v[i].name, f->node))
			own[n++] = f->nodes.v[i].ip;
	uplink_find(f->v, f->n, cfg->uplink, own, n, &f->uplink);
}

/* ---- the store */

struct listing {
	struct doctor_facts *f;
	struct arena *a;
};

static void on_node(struct listing *l, const struct node *node)
{
	for (uint32_t i = 0; i < node->status.addresses.n; i++) {
		const struct node_address *na = &node->status.addresses.v[i];
		struct doctor_node x = { .name = arena_strdup(l->a, node->meta.name) };

		if (na->type == NODE_INTERNAL_IP && na->address && x.name &&
		    !addr_parse(na->address, &x.ip) && l->f->nodes.n < LIST_MAX)
			l->f->nodes.v[l->f->nodes.n++] = x;
	}
}

static void on_put(void *arg, struct object *o, const json_t *json)
{
	struct listing *l = arg;
	const struct ippool *pool = o->body;

	if (o->kind->id == KIND_NODE) {
		on_node(l, o->body);
	} else if (l->f->pools.n < LIST_MAX) {
		l->f->pools.v[l->f->pools.n++] =
			(struct doctor_pool){ arena_strdup(l->a, pool->meta.name), pool->spec.cidr,
					      route_tunnel(pool) };
	}
	object_free(o);
}

static void look_store(struct doctor_facts *f, const struct config *cfg, struct arena *a)
{
	static const struct store_events events = { .put = on_put };
	struct listing l = { f, a };
	struct store *s = NULL;
	struct err e;

	f->pools.v = arena_array(a, LIST_MAX, sizeof(*f->pools.v));
	f->nodes.v = arena_array(a, LIST_MAX, sizeof(*f->nodes.v));
	if (!f->pools.v || !f->nodes.v || !cfg->store || store_open(cfg->store, 0, &s, &e))
		return;
	f->has_store = !store_list(s, KIND_IPPOOL, NULL, &events, &l, &e) &&
		       !store_list(s, KIND_NODE, NULL, &events, &l, &e);
	store_close(s);
	f->services.v = cfg->service_cidrs.v;
	f->services.n = cfg->service_cidrs.n;
}

/* Other nodes, once each, by the family that reaches them from here. */
static void choose_peers(struct doctor_facts *f, struct arena *a)
{
	f->peers.v = arena_array(a, f->nodes.n, sizeof(*f->peers.v));
	for (uint32_t i = 0; f->peers.v && i < f->nodes.n; i++) {
		const struct doctor_node *x = &f->nodes.v[i];

		if (strcmp(x->name, f->node) != 0 && (!i || strcmp(x->name, x[-1].name) != 0))
			f->peers.v[f->peers.n++] = (struct doctor_peer){ x->name, x->ip, 0 };
	}
}

/* ---- files */

static bool has_text(const char *path, const char *text)
{
	struct buf b = { 0 };
	bool has = !file_read(path, 1 << 20, &b, NULL) && b.n && strstr((char *)b.v, text);

	buf_fini(&b);
	return has;
}

/* In the file, or in one of the folder's. */
static bool told(const char *file, const char *folder, const char *text)
{
	DIR *dir = opendir(folder);
	bool has = file && has_text(file, text);
	const struct dirent *x;

	while (!has && dir && (x = readdir(dir))) {
		char path[512];

		snprintf(path, sizeof(path), "%s/%s", folder, x->d_name);
		has = x->d_name[0] != '.' && has_text(path, text);
	}
	if (dir)
		closedir(dir);
	return has;
}

/* A runtime takes the first by name of these endings. */
static void look_cni(struct doctor_facts *f, struct arena *a)
{
	struct dirent **v;
	int n = scandir(CNI_CONF, &v, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		const char *end = strrchr(v[i]->d_name, '.');
		char path[512];

		if (end &&
		    (!strcmp(end, ".conf") || !strcmp(end, ".conflist") || !strcmp(end, ".json"))) {
			snprintf(path, sizeof(path), CNI_CONF "/%s", v[i]->d_name);

			bool ours = has_text(path, "\"fairlead-cni\"");

			if (!f->cni_first) {
				f->cni_first = arena_strdup(a, v[i]->d_name);
				f->cni_first_ours = ours;
			}
			f->cni_ours |= ours;
		}
		free(v[i]);
	}
	if (n >= 0)
		free(v);
	f->cni_binary = !access(CNI_BIN, X_OK);
}

static void look_files(struct doctor_facts *f, const struct config *cfg, struct arena *a)
{
	struct buf b = { 0 };
	struct statvfs st;

	look_cni(f, a);
	f->state_dir = cfg->state_dir;
	if (!statvfs(cfg->state_dir, &st)) {
		f->state_known = true;
		f->state_readonly = st.f_flag & ST_RDONLY;
		f->state_free = (uint64_t)st.f_bavail * st.f_frsize;
		f->state_size = (uint64_t)st.f_blocks * st.f_frsize;
	}
	f->iptables_legacy = !file_read("/proc/net/ip_tables_names", 4096, &b, NULL) && b.n;
	buf_fini(&b);
}

/* ---- sockets */

/* In a table of /proc/net, all of whose numbers are hexadecimal: is the port listened on at every address? A socket of TCP does in state
 * 0A, one of UDP, which has no peer, in 07. */
static bool is_taken(const char *table, const char *port)
{
	char path[64], local[64], p[8], remote[64], state[8];
	struct buf b = { 0 };
	bool taken = false;

	snprintf(path, sizeof(path), "/proc/net/%s", table);
	file_read(path, 1 << 24, &b, NULL);
	buf_puts(&b, "");
	for (const char *line = b.failed ? NULL : (const char *)b.v; line && !taken;
	     line = strchr(line, '\n')) {
		line += *line == '\n';
		taken = sscanf(line, " %*[0-9]: %60[0-9A-F]:%4[0-9A-F] %60s %2[0-9A-F]", local, p,
			       remote, state) == 4 &&
			!strcmp(p, port) && strspn(local, "0") == strlen(local) &&
			(!strcmp(state, "0A") || !strcmp(state, "07"));
	}
	buf_fini(&b);
	return taken;
}

static void look_dns(struct doctor_facts *f, const struct config *cfg)
{
	static const char *const tables[] = { "udp", "udp6", "tcp", "tcp6" };
	struct ipaddr at[CONFIG_DNS_SERVED];

	f->dns_wanted = config_dns_served(cfg, at) > 0;
	for (unsigned i = 0; i < 4 && f->dns_wanted; i++)
		f->dns_taken |= is_taken(tables[i], "0035");
}

/* ---- programs */

static bool runs(const char *comm)
{
	DIR *dir = opendir("/proc");
	const struct dirent *x;
	bool found = false;

	while (!found && dir && (x = readdir(dir))) {
		char path[280];
		struct buf b = { 0 };

		if (!isdigit((unsigned char)x->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", x->d_name);
		found = !file_read(path, 64, &b, NULL) && b.n == strlen(comm) + 1 &&
			!memcmp(b.v, comm, strlen(comm));
		buf_fini(&b);
	}
	if (dir)
		closedir(dir);
	return found;
}

static void look_managers(struct doctor_facts *f)
{
	char cidr[PREFIX_TEXT];

	f->firewalld = f->pools.n && runs("firewalld");
	f->firewalld_told = true;
	for (uint32_t i = 0; f->firewalld && i < f->pools.n; i++)
		f->firewalld_told &=
			told(NULL, "/etc/firewalld/zones", prefix_str(&f->pools.v[i].cidr, cidr));
	f->manager = runs("NetworkManager");
	f->manager_told = told("/etc/NetworkManager/NetworkManager.conf",
			       "/etc/NetworkManager/conf.d", "interface-name:fl*");
	f->networkd = runs("systemd-network"); /* as the kernel cuts it */
	f->networkd_told = told("/etc/systemd/networkd.conf", "/etc/systemd/networkd.conf.d",
				"ManageForeignRoutes=no");
}

void doctor_look(struct doctor_facts *f, const struct config *cfg, struct arena *a)
{
	*f = (struct doctor_facts){ .node = cfg->node,
				    .agent_wanted = config_has_role(cfg, "agent") };
	look_store(f, cfg, a);
	look_kernel(f, cfg);
	look_knobs(f);
	choose_peers(f, a);
	look_files(f, cfg, a);
	look_dns(f, cfg);
	look_managers(f);
	doctor_look_nft(f, a);
	doctor_try(f);
}

void doctor_forget(struct doctor_facts *f)
{
	free((void *)f->v);
	f->v = NULL;
	f->n = 0;
}
