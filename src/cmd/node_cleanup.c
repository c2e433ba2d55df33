// SPDX-License-Identifier: Apache-2.0
/* fairlead node cleanup: takes away everything that fairlead put into this network namespace and
 * on this machine, in the reverse order of how it came. What carries no mark of ours stays. */
#include "cmd/node.h"
#include "core/ipam/ipam.h"
#include "core/nft/build.h"
#include "core/route/plan.h"
#include "daemon/agent_link.h"
#include "daemon/config.h"
#include "sys/file.h"
#include "sys/ipip.h"
#include "sys/nfnl.h"
#include "sys/pod.h"
#include "sys/sock.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct cleanup_opts {
	const char *config;
	uint8_t keep_store;
};

static const struct opt cleanup_table[] = {
	OPT(struct cleanup_opts, config, 0, "config", OPT_STR, .arg = "FILE",
	    .doc = "fairleadd's configuration (default: " CONFIG_PATH ")", .complete = "file"),
	OPT(struct cleanup_opts, keep_store, 0, "keep-store", OPT_FLAG,
	    .doc = "Leave this node's blocks and endpoints in the store"),
	{ 0 },
};

struct cleanup {
	struct config cfg;
	struct nl *nl;
	struct klist have;
	char (*bridges)[IFNAME_LEN]; /* those that the journal names */
	size_t n_bridges;
	size_t links, objects, tables, sysctls, files, stored;
	int code;
};

static void failed(struct cleanup *c, const struct err *e)
{
	c->code = cmd_error(CMD_PARTLY, "%s", e->text);
}

/* ---- the agent must not work against us */

static bool agent_lives(const struct cleanup *c)
{
	char path[512];
	struct err e;
	int fd;

	snprintf(path, sizeof(path), "%s/ctl.sock", c->cfg.run_dir);
	fd = sock_unix_connect(path, SOCK_STREAM, 1000, &e);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* ---- links */

static void read_journal(struct cleanup *c)
{
	struct ipam *book = ipam_new(c->cfg.node, 0);
	const struct ipam_attachment *const *v;
	struct buf b = { 0 };
	char path[512];
	size_t good, n;
	struct err e;

	snprintf(path, sizeof(path), "%s/ipam.journal", c->cfg.state_dir);
	if (book && !file_read(path, 256 << 20, &b, &e) && b.n &&
	    !ipam_replay(book, b.v, b.n, &good, &e)) {
		v = ipam_all(book, &n);
		c->bridges = calloc(n + 1, sizeof(*c->bridges));
		for (size_t i = 0; c->bridges && i < n; i++)
			if (v[i]->container[0] == '.' && v[i]->hostif)
				snprintf(c->bridges[c->n_bridges++], IFNAME_LEN, "%s",
					 v[i]->hostif);
	}
	buf_fini(&b);
	ipam_free(book);
}

static bool is_our_bridge(const struct cleanup *c, const char *name)
{
	if (!strncmp(name, "br-fl", 5))
		return true;
	for (size_t i = 0; i < c->n_bridges; i++)
		if (!strcmp(c->bridges[i], name))
			return true;
	return false;
}

static bool is_our_link(const struct cleanup *c, const struct klink *l)
{
	switch ((enum klink_kind)l->kind) {
	case KLINK_VETH:
		return agent_is_host_link(l->name);
	case KLINK_BRIDGE:
		return is_our_bridge(c, l->name);
	case KLINK_VXLAN:
		return !strcmp(l->name, ROUTE_VXLAN_DEV) && l->vni == ROUTE_VXLAN_VNI &&
		       l->vxlan_port == ROUTE_VXLAN_PORT;
	case KLINK_IFB:
		return !strcmp(l->name, ROUTE_IPIP_DEV);
	case KLINK_IPIP: /* see quiet_tunnel() */
	case KLINK_ANY:
		break;
	}
	return false;
}

/* All in one go: a link that goes alone costs the kernel 35 ms. */
static void remove_links(struct cleanup *c)
{
	int *index = calloc(c->have.n + 1, sizeof(*index));
	struct err e;

	for (size_t i = 0; index && i < c->have.n; i++) {
		const struct klink *l = &c->have.v[i].link;
		int x;

		if (c->have.v[i].type != KOBJ_LINK || !is_our_link(c, l))
			continue;
		x = rtnl_ifindex(c->nl, l->name, &e);
		if (x > 0)
			index[c->links++] = x;
	}
	if (index && c->links && pod_reap(c->nl, index, c->links, &e))
		failed(c, &e);
	free(index);
}

/* The ipip driver's tunl0 stays whatever one does, but takes nothing any more. Ours it is where it has
 * our address, which goes with the others. */
static void quiet_tunnel(struct cleanup *c)
{
	struct kobj tunnel = { .type = KOBJ_LINK,
			       .link = { .name = ROUTE_IPIP_DEV, .kind = KLINK_IPIP } };
	const struct kop op = { KOP_DELETE, &tunnel };
	struct klist addrs = { 0 };
	bool ours = false;
	struct err e;
	int rc = rtnl_dump(c->nl, RTNL(KOBJ_ADDR), &addrs, &e);

	for (size_t i = 0; !rc && i < addrs.n; i++)
		ours |= !addrs.v[i].foreign && !strcmp(addrs.v[i].addr.ifname, ROUTE_IPIP_DEV);
	if (ours)
		rc = rtnl_apply(c->nl, &op, 1, NULL, &e);
	if (rc)
		failed(c, &e);
	klist_fini(&addrs);
}

/* Which link the uplink was, nobody remembers. */
static void remove_programs(struct cleanup *c)
{
	struct err e;

	for (size_t i = 0; i < c->have.n; i++) {
		int x = rtnl_ifindex(c->nl, c->have.v[i].link.name, &e);

		if (x > 0 && ipip_detach(c->nl, x, &e))
			failed(c, &e);
	}
}

/* ---- routes, addresses, neighbours that do not hang on those links */

static void remove_objects(struct cleanup *c)
{
	struct klist left = { 0 };
	struct kop *ops;
	struct err e;

	if (rtnl_dump(c->nl, RTNL(KOBJ_ADDR) | RTNL(KOBJ_ROUTE) | RTNL(KOBJ_NEIGH), &left, &e)) {
		failed(c, &e);
		return;
	}
	ops = calloc(left.n + 1, sizeof(*ops));
	for (size_t i = 0; ops && i < left.n; i++)
		if (!left.v[i].foreign)
			ops[c->objects++] = (struct kop){ KOP_DELETE, &left.v[i] };
	if (ops && c->objects && rtnl_apply(c->nl, ops, c->objects, NULL, &e))
		failed(c, &e);
	free(ops);
	klist_fini(&left);
}

/* ---- nftables */

static void remove_tables(struct cleanup *c)
{
	static const uint8_t families[] = { NFPROTO_INET, NFPROTO_ARP, NFPROTO_BRIDGE };
	struct nft_ruleset rs;
	struct nfnl *nl = NULL;
	struct nft_ops ops;
	struct arena a;
	struct err e;
	int rc;

	arena_init(&a, 0);
	nft_ruleset_init(&rs, &a);
	nft_ops_init(&ops, &a);
	rc = nfnl_open(&nl, &e);
	for (size_t i = 0; !rc && i < sizeof(families); i++)
		rc = nfnl_dump(nl, families[i], NFT_TABLE, false, &rs, &e);
	for (uint32_t i = 0; !rc && i < rs.n; i++) {
		const struct nft_op op = { .verb = NFTV_DEL_TABLE,
					   .family = rs.tables[i]->family,
					   .table = rs.tables[i]->name,
					   .t = rs.tables[i] };

		nft_op_add(&ops, &op);
	}
	if (!rc && ops.n)
		rc = nfnl_commit(nl, &ops, NULL, &e);
	if (rc)
		failed(c, &e);
	else
		c->tables = ops.n;
	nfnl_close(nl);
	arena_fini(&a);
}

/* ---- sysctls: STATE/sysctl.saved, lines of "PATH VALUE" */

static void restore_sysctls(struct cleanup *c)
{
	char path[512], *save = NULL;
	struct buf b = { 0 };
	struct err e;

	snprintf(path, sizeof(path), "%s/sysctl.saved", c->cfg.state_dir);
	if (file_read(path, 1 << 20, &b, &e) || !b.n) {
		buf_fini(&b);
		return;
	}
	for (char *l = strtok_r(b.v, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		char *value = strchr(l, ' ');
		int rc;

		if (!value || strncmp(l, "net/", 4) != 0 || strstr(l, ".."))
			continue;
		*value++ = 0;
		rc = sysctl_write(l, value, &e);
		if (rc && rc != -ENOENT)
			failed(c, &e);
		c->sysctls += !rc;
	}
	buf_fini(&b);
}

/* ---- the store */

struct stored {
	const char *node;
	struct arena *arena;
	struct {
		const struct kind *k;
		const char *ns, *name;
	} v[4096];
	size_t n;
};

static bool is_nodes(const struct object *o, const char *node)
{
	const char *of = NULL;

	if (o->kind->id == KIND_IPBLOCK)
		of = ((const struct ipblock *)o->body)->spec.node;
	else if (o->kind->id == KIND_WORKLOADENDPOINT)
		of = ((const struct workload_endpoint *)o->body)->spec.node;
	else if (o->kind->id == KIND_NODESTATE)
		of = o->meta->name;
	return of && !strcmp(of, node);
}

static void on_stored(void *arg, struct object *o, const json_t *json)
{
	struct stored *s = arg;

	if (is_nodes(o, s->node) && s->n < sizeof(s->v) / sizeof(s->v[0])) {
		s->v[s->n].k = o->kind;
		s->v[s->n].ns = arena_strdup(s->arena, o->meta->namespace);
		s->v[s->n++].name = arena_strdup(s->arena, o->meta->name);
	}
	object_free(o);
}

static void remove_stored(struct cmd_ctx *ctx, struct cleanup *c)
{
	static const unsigned kinds[] = { KIND_WORKLOADENDPOINT, KIND_IPBLOCK, KIND_NODESTATE };
	static const struct store_events events = { .put = on_stored };
	struct stored *s = arena_alloc(ctx->arena, sizeof(*s));
	struct store *st;
	struct err e;
	int rc;

	if (!s || !c->cfg.store)
		return;
	rc = store_open(c->cfg.store, 0, &st, &e);
	if (rc) {
		failed(c, &e);
		return;
	}
	s->node = c->cfg.node;
	s->arena = ctx->arena;
	for (size_t i = 0; !rc && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		rc = store_list(st, kinds[i], NULL, &events, s, &e);
	for (size_t i = 0; !rc && i < s->n; i++) {
		rc = store_delete(st, &(struct store_key){ s->v[i].k, s->v[i].ns, s->v[i].name },
				  NULL, &e);
		rc = rc == -ENOENT ? 0 : rc;
		c->stored += !rc;
	}
	if (rc)
		failed(c, &e);
	store_close(st);
}

/* ---- files: the ones that fairlead writes, and their folders where nothing else is in them */

static void remove_files(struct cleanup *c)
{
	static const char *const state[] = { "ipam.journal",   "ipam.journal.damaged",
					     "ipam.lock",      "sysctl.saved",
					     "watch/snapshot", "watch/snapshot.new",
					     "watch",          NULL };
	static const char *const run[] = {
		"cni.sock",       "ctl.sock",      "takeover.sock",  "bgp.sock",  "bgp.pid",
		"fairleadd.conf", "fairleadd.pid", "agent.pid",      "watch.pid", "health.pid",
		"controller.pid", "roles.lock",    "fairleadd.lock", NULL
	};
	const struct {
		const char *dir;
		const char *const *names;
	} places[] = { { c->cfg.state_dir, state }, { c->cfg.run_dir, run } };

	for (int i = 0; i < 2; i++) {
		for (const char *const *name = places[i].names; *name; name++) {
			char path[512];

			snprintf(path, sizeof(path), "%s/%s", places[i].dir, *name);
			c->files += !remove(path);
		}
		c->files += !rmdir(places[i].dir);
	}
}

/* ---- the verb */

static int load_config(struct cleanup *c, const char *path, struct err *e)
{
	char host[256] = "";
	int rc = config_load(&c->cfg, path ? path : CONFIG_PATH, e);

	if (rc == -ENOENT && !path)
		rc = config_parse(&c->cfg, "defaults", "", 0, e);
	gethostname(host, sizeof(host) - 1);
	if (!rc && !c->cfg.node)
		rc = config_set(&c->cfg, "host name", "node", host, e);
	return rc;
}

static int run_cleanup(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	const struct cleanup_opts *o = opts;
	struct cleanup c = { 0 };
	struct err e;

	if (argc)
		return cmd_usage(ctx, "takes no operands");
	if (geteuid() != 0)
		return cmd_error(CMD_NO, "needs root");
	if (load_config(&c, o->config, &e))
		return cmd_fail(&e);
	if (agent_lives(&c)) {
		config_fini(&c.cfg);
		return cmd_error(CMD_NO, "fairleadd is running here: stop it first");
	}
	c.nl = nl_open(NETLINK_ROUTE, &e);
	if (!c.nl || rtnl_dump(c.nl, RTNL(KOBJ_LINK), &c.have, &e)) {
		failed(&c, &e);
	} else {
		read_journal(&c);
		remove_links(&c);
		quiet_tunnel(&c);
		remove_programs(&c);
		remove_objects(&c);
		remove_tables(&c);
		restore_sysctls(&c);
	}
	if (!o->keep_store)
		remove_stored(ctx, &c);
	if (!c.code)
		remove_files(&c);
	printf("removed %zu links, %zu routes, addresses and neighbours, %zu nftables tables, "
	       "%zu objects of the store, %zu files; %zu sysctls are as before\n",
	       c.links, c.objects, c.tables, c.stored, c.files, c.sysctls);
	klist_fini(&c.have);
	nl_close(c.nl);
	free(c.bridges);
	config_fini(&c.cfg);
	return c.code;
}

const struct cmd cmd_node_cleanup = {
	.name = "cleanup",
	.summary = "Remove everything that fairlead put on this node",
	.help = "Links of pods, bridges, vxlan0, tunl0 and the programs on the uplink,\n"
		"routes with protocol 70, the nftables tables named\n"
		"fairlead, this node's blocks and endpoints in the store, the journal and the run\n"
		"directory; sysctls get back the values from before. fairleadd must not be "
		"running.\n"
		"Pods that still run lose their network.\n"
		"Exit code 3 when something could not be removed; it may be run again.",
	.opts = cleanup_table,
	.opts_size = sizeof(struct cleanup_opts),
	.run = run_cleanup,
};
