// SPDX-License-Identifier: Apache-2.0
/* fairlead lab up, down, wait. */
#include "cmd/bgp.h"
#include "cmd/interrupt.h"
#include "cmd/lab.h"
#include "cmd/wait.h"
#include "lab/bgp.h"
#include "lab/up.h"
#include "sys/clock.h"
#include "sys/proc.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define UP_WAIT 60.0 /* seconds */

struct up_opts {
	struct lab_opts common;
	LIST(const char *) files;
	LIST(struct prefix) pod_cidrs, service_cidrs;
	int64_t nodes, racks, mtu;
	uint8_t mode, cross_subnet, attachment, family, routes, lab_store;
	const char *domain;
	double wait;
};

static const char *const stores_text[] = { "dir" };
static const struct names store_names = NAMES(stores_text);

static const struct opt up_table[] = {
	OPT(struct up_opts, files, 'f', "filename", OPT_STR, .list = 1, .arg = "PATH",
	    .complete = "file", .doc = "Manifests (default: a small shop)"),
	OPT(struct up_opts, nodes, 0, "nodes", OPT_INT, .min = 1, .max = LAB_NODES_MAX, .arg = "N",
	    .doc = "How many nodes (default 3; Node objects in manifests take their place)"),
	OPT(struct up_opts, racks, 0, "racks", OPT_INT, .min = 1, .max = LAB_RACKS_MAX, .arg = "R",
	    .doc = "How many racks (default 2)"),
	OPT(struct up_opts, mode, 0, "mode", OPT_ENUM, .names = &lab_mode_names,
	    .doc = "How packets go from node to node (default vxlan)"),
	OPT(struct up_opts, cross_subnet, 0, "cross-subnet", OPT_FLAG,
	    .doc = "Encapsulate only between racks"),
	OPT(struct up_opts, routes, 0, "routes", OPT_ENUM, .names = &lab_routes_names,
	    .doc = "Where nodes learn routes from (default store)"),
	OPT(struct up_opts, lab_store, 0, "lab-store", OPT_ENUM, .names = &store_names,
	    .doc = "Which store the lab has"),
	OPT(struct up_opts, attachment, 0, "attachment", OPT_ENUM, .names = &lab_attachment_names,
	    .doc = "How pods hang on their node (default routed)"),
	OPT(struct up_opts, pod_cidrs, 0, "pod-cidr", OPT_PREFIX, .list = 1, .arg = "CIDR",
	    .doc = "Pods' addresses (default 10.244.0.0/16 and fd00:10:244::/56)"),
	OPT(struct up_opts, service_cidrs, 0, "service-cidr", OPT_PREFIX, .list = 1, .arg = "CIDR",
	    .doc = "Services' addresses (default 10.96.0.0/12 and fd00:10:96::/112)"),
	OPT(struct up_opts, domain, 0, "cluster-domain", OPT_STR, .arg = "DOMAIN",
	    .doc = "Default cluster.local"),
	OPT(struct up_opts, family, 0, "family", OPT_ENUM, .names = &lab_family_names,
	    .doc = "Address families (default dual)"),
	OPT(struct up_opts, mtu, 0, "mtu", OPT_INT, .min = 1280, .max = 65535, .arg = "N",
	    .doc = "MTU of the fabric (default 1500)"),
	OPT(struct up_opts, wait, 0, "wait", OPT_SECONDS, .optional = 1, .arg = "SEC",
	    .doc = "Wait at most so long for the pods (default 60; 0: not at all)"),
	LAB_OPT_NAME(struct up_opts),
	{ 0 },
};

static void up_defaults(void *opts)
{
	struct up_opts *o = opts;

	o->nodes = 3;
	o->racks = 2;
	o->mode = POOL_VXLAN;
	o->domain = "cluster.local";
	o->wait = UP_WAIT;
}

/* ---- waiting */

struct gathering {
	struct cmd_ctx *ctx;
	struct wait_target *v;
	size_t n, cap;
	uint64_t revision;
};

static void on_put(void *arg, struct object *o, const json_t *json)
{
	struct gathering *g = arg;
	unsigned id = o->kind->id;
	struct wait_target *v;

	if (id == KIND_POD || (id >= KIND_DEPLOYMENT && id <= KIND_JOB)) {
		if (g->n == g->cap) {
			size_t cap = g->cap ? 2 * g->cap : 64;

			v = arena_array(g->ctx->arena, cap, sizeof(*v));
			if (v && g->n)
				memcpy(v, g->v, g->n * sizeof(*v));
			g->v = v ? v : g->v;
			g->cap = v ? cap : g->cap;
		}
		if (g->n < g->cap)
			g->v[g->n++] = (struct wait_target){
				.k = o->kind,
				.ns = arena_strdup(g->ctx->arena, o->meta->namespace),
				.name = arena_strdup(g->ctx->arena, o->meta->name),
			};
	}
	object_free(o);
}

static void on_sync(void *arg, uint64_t revision)
{
	((struct gathering *)arg)->revision = revision;
}

/* Everything that is in the store now, and where nodes learn routes by BGP all sessions. `fresh`: nobody has deleted
 * anything, so no address comes free. Returns the exit code. */
static int settle(struct cmd_ctx *ctx, const struct lab_spec *lab, double seconds, bool fresh)
{
	const uint64_t begun = clock_mono_ns();
	static const struct store_events events = { .put = on_put, .sync = on_sync };
	struct gathering g = { .ctx = ctx };
	struct wait w;
	struct store *s;
	struct err e = { .code = 0 };
	int rc;

	ctx->store = NULL;
	ctx->lab = lab->name;
	rc = cmd_store_open(ctx, 0, &s);
	if (rc)
		return rc;
	if (store_list(s, KIND_NONE, NULL, &events, &g, &e)) {
		store_close(s);
		return cmd_fail(&e);
	}
	w = (struct wait){ .targets = g.v,
			   .n = g.n,
			   .revision = g.revision,
			   .seconds = seconds,
			   .addresses_final = fresh };
	rc = wait_for(s, &w);
	store_close(s);
	if (!rc && lab_has_bgp(lab))
		rc = bgp_wait(ctx, seconds - (double)(clock_mono_ns() - begun) / 1e9);
	return rc;
}

/* ---- up */

static int load_files(struct cmd_ctx *ctx, const struct up_opts *o, struct manifest *m)
{
	char dir[PATH_MAX], shop[PATH_MAX + 64];
	struct err e = { .code = 0 };
	int rc = 0;

	for (uint32_t i = 0; !rc && i < o->files.n; i++)
		rc = manifest_load(m, o->files.v[i], &e);
	if (!rc && !o->files.n && !(rc = proc_exe_dir(dir, sizeof(dir), &e))) {
		snprintf(shop, sizeof(shop), "%s/../share/fairlead/examples/shop.yaml", dir);
		rc = manifest_load(m, shop, &e);
	}
	if (rc)
		return cmd_fail(&e);
	for (size_t i = 0; i < m->n_ignored; i++)
		fprintf(stderr, "ignored: %s\n", m->ignored[i].what);
	for (size_t i = 0; i < m->n_errors; i++)
		cmd_error(CMD_USAGE, "%s", m->errors[i]);
	return m->n_errors ? CMD_USAGE : 0;
}

static int plan(struct cmd_ctx *ctx, const struct up_opts *o, const struct manifest *m,
		struct lab_spec *s, struct err *e)
{
	const struct object **nodes = arena_array(ctx->arena, m->n_items, sizeof(*nodes));
	size_t n = 0;
	bool pools = false;
	int rc;

	for (size_t i = 0; nodes && i < m->n_items; i++) {
		unsigned id = m->items[i].obj->kind->id;

		pools = pools || id == KIND_IPPOOL;
		if (id == KIND_NODE)
			nodes[n++] = m->items[i].obj;
	}
	*s = (struct lab_spec){
		.name = lab_name(ctx, &o->common),
		.racks = (unsigned)o->racks,
		.mode = o->mode,
		.cross_subnet = o->cross_subnet,
		.attachment = o->attachment,
		.family = o->family,
		.routes = o->routes,
		.bird = o->routes != LAB_ROUTES_STORE && o->mode == POOL_DIRECT && lab_bird(),
		.mtu = (uint32_t)o->mtu,
		.cluster_domain = o->domain,
		.own_pools = pools && !o->pod_cidrs.n,
	};
	s->pod_cidrs.v = o->pod_cidrs.v;
	s->pod_cidrs.n = o->pod_cidrs.n;
	s->service_cidrs.v = o->service_cidrs.v;
	s->service_cidrs.n = o->service_cidrs.n;
	rc = lab_spec_finish(s, (unsigned)o->nodes, nodes, n, ctx->arena, e);
	for (size_t i = 0; !rc && i < m->n_items; i++) {
		if (m->items[i].obj->kind->id != KIND_IPPOOL)
			continue;
		rc = lab_spec_pool(s, m->items[i].obj, e);
		if (rc)
			err_wrap(e, "%s", m->items[i].where);
	}
	return rc;
}

static int bring_up(struct cmd_ctx *ctx, const struct up_opts *o, const struct lab_spec *s,
		    const struct manifest *m)
{
	uint64_t begun = clock_mono_ns();
	struct err e = { .code = 0 };
	sigset_t old;
	int rc;

	cmd_block_interrupts(&old); /* until the lab is whole, and can be taken down as a whole */
	rc = lab_up(s, m, &e);
	if (!rc && cmd_interrupted()) {
		lab_down(s->name, NULL);
		rc = err_set(&e, -EINTR, "interrupted");
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (rc)
		return rc == -EINVAL ? cmd_fail(&e) : cmd_error(CMD_NO, "%s", e.text);
	rc = o->wait > 0 ? settle(ctx, s, o->wait, true) : 0;
	printf("lab %s: %u nodes in %u racks%s after %.2f s\n", s->name, s->nodes.n, s->racks,
	       rc            ? ", not all ready"
	       : o->wait > 0 ? ", all pods ready,"
			     : "",
	       (double)(clock_mono_ns() - begun) / 1e9);
	return rc;
}

static int run_up(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	const struct up_opts *o = opts;
	struct manifest m = { .items = NULL };
	struct lab_spec s;
	struct err e = { .code = 0 };
	int rc;

	if (argc)
		return cmd_usage(ctx, "\"%s\" is too much", argv[0]);
	if (!lab_name_ok(lab_name(ctx, &o->common)))
		return cmd_usage(ctx,
				 "--name %s: must be small letters, digits and inner hyphens, "
				 "at most %d",
				 lab_name(ctx, &o->common), LAB_NAME_MAX);
	if (o->cross_subnet && o->mode == POOL_DIRECT)
		return cmd_usage(ctx, "--cross-subnet: mode direct encapsulates nothing");
	rc = load_files(ctx, o, &m);
	if (!rc && plan(ctx, o, &m, &s, &e))
		rc = cmd_fail(&e);
	else if (!rc && geteuid() != 0)
		rc = cmd_error(CMD_NO, "a lab needs root (sudo fairlead lab up)");
	else if (!rc)
		rc = bring_up(ctx, o, &s, &m);
	manifest_fini(&m);
	return rc;
}

const struct cmd cmd_lab_up = {
	.name = "up",
	.summary = "Build a lab, apply manifests, wait until the pods are ready",
	.help = "Exit codes: 1 when it cannot be built (nothing is left), 3 when it is up but not "
		"all "
		"pods\nbecame ready.\n\n"
		"Try:\n"
		"  fairlead lab up\n"
		"  fairlead lab up --mode direct --racks 2 -f examples/plain-30.yaml\n"
		"  fairlead lab up --mode direct --routes bgp-rr\n"
		"  fairlead lab up --name two --family 6",
	.opts = up_table,
	.opts_size = sizeof(struct up_opts),
	.init = up_defaults,
	.run = run_up,
};

/* ---- down */

struct down_opts {
	struct lab_opts common;
};

static const struct opt down_table[] = { LAB_OPT_NAME(struct down_opts), { 0 } };

static int run_down(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	const char *name = lab_name(ctx, &((const struct down_opts *)opts)->common);
	struct err e = { .code = 0 };

	if (argc)
		return cmd_usage(ctx, "\"%s\" is too much", argv[0]);
	if (!lab_name_ok(name))
		return cmd_usage(ctx, "\"%s\" is no name of a lab", name);
	if (geteuid() != 0)
		return cmd_error(CMD_NO, "a lab needs root (sudo fairlead lab down)");
	return lab_down(name, &e) ? cmd_error(CMD_NO, "%s", e.text) : 0;
}

const struct cmd cmd_lab_down = {
	.name = "down",
	.summary = "Remove a lab, whatever state it is in",
	.help = "Try:\n"
		"  fairlead lab down\n"
		"  fairlead lab down --name two",
	.opts = down_table,
	.opts_size = sizeof(struct down_opts),
	.run = run_down,
};

/* ---- wait */

struct wait_opts {
	struct lab_opts common;
	double timeout;
};

static const struct opt wait_table[] = {
	OPT(struct wait_opts, timeout, 0, "timeout", OPT_SECONDS, .arg = "SEC",
	    .doc = "At most so long (default 60)"),
	LAB_OPT_NAME(struct wait_opts),
	{ 0 },
};

static void wait_defaults(void *opts)
{
	((struct wait_opts *)opts)->timeout = UP_WAIT;
}

static int run_wait(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	const struct wait_opts *o = opts;
	const char *name = lab_name(ctx, &o->common);
	char path[LAB_PATH];
	struct lab_spec s;
	struct err e;

	if (argc)
		return cmd_usage(ctx, "\"%s\" is too much", argv[0]);
	if (!lab_name_ok(name))
		return cmd_usage(ctx, "\"%s\" is no name of a lab", name);
	if (access(lab_path(path, name, "store"), F_OK))
		return cmd_error(CMD_NO, "no lab \"%s\" is up", name);
	if (lab_spec_load(&s, lab_path(path, name, "lab.conf"), ctx->arena, &e))
		return cmd_fail(&e);
	return settle(ctx, &s, o->timeout, false);
}

const struct cmd cmd_lab_wait = {
	.name = "wait",
	.summary = "Until all nodes hold the store's last revision and all pods are ready",
	.help = "Exit code 3 when that takes too long.\n\n"
		"Try:\n"
		"  fairlead lab wait --timeout 10",
	.opts = wait_table,
	.opts_size = sizeof(struct wait_opts),
	.init = wait_defaults,
	.run = run_wait,
};
