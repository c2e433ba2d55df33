// SPDX-License-Identifier: Apache-2.0
/* fairlead apply, fairlead delete: manifests into the store and out of it. */
#include "cmd/verbs.h"
#include "cmd/wait.h"
#include "model/validate.h"
#include "store/json.h"
#include "store/manifest.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct apply_opts {
	LIST(const char *) files;
	double wait;
	const char *ns;
	uint8_t ignore_missing;
};

#define COMMON_OPTS                                                                                \
	OPT(struct apply_opts, files, 'f', "filename", OPT_STR, .list = 1, .arg = "PATH",          \
	    .complete = "file", .doc = "File, folder or - for standard input"),                    \
		OPT(struct apply_opts, wait, 0, "wait", OPT_SECONDS, .optional = 1, .arg = "SEC",  \
		    .doc = "Wait at most so long (default 60; 0: not at all)")

static const struct opt apply_table[] = { COMMON_OPTS, { 0 } };

static const struct opt delete_table[] = {
	COMMON_OPTS,
	OPT(struct apply_opts, ns, 'n', "namespace", OPT_STR, .arg = "NS",
	    .doc = "Namespace of NAME (default: default)"),
	OPT(struct apply_opts, ignore_missing, 0, "ignore-not-found", OPT_FLAG,
	    .doc = "What is not there counts as deleted"),
	{ 0 },
};

static void set_defaults(void *opts)
{
	((struct apply_opts *)opts)->wait = WAIT_DEFAULT;
}

/* What was done so far. */
struct work {
	struct store *store;
	struct wait_target *targets;
	size_t n;
	uint64_t revision;
	bool failed;
};

static void say(const struct kind *k, const struct meta *m, const char *what)
{
	for (const char *p = k->name; *p; p++)
		putchar(tolower((unsigned char)*p));
	printf("/%s%s%s %s\n", k->namespaced ? m->namespace : "", k->namespaced ? "/" : "", m->name,
	       what);
}

static void complain(struct work *w, const char *where, const struct err *e)
{
	cmd_error(CMD_NO, "%s%s%s", where ? where : "", where ? ": " : "", e->text);
	w->failed = true;
}

static int add_target(struct work *w, const struct object *o, bool deleted)
{
	struct wait_target *v = reallocarray(w->targets, w->n + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	w->targets = v;
	v[w->n++] = (struct wait_target){ o->kind, o->meta->namespace, o->meta->name, deleted };
	return 0;
}

static void note_revision(struct work *w, uint64_t rev)
{
	if (rev > w->revision)
		w->revision = rev;
}

static void apply_item(struct work *w, const struct manifest_item *item)
{
	const struct meta *m = item->obj->meta;
	const struct kind *k = item->obj->kind;
	struct err e = { .code = 0 };
	struct object *was = NULL;
	uint64_t rev = 0;

	/* A broken or missing one is simply replaced. */
	store_get(w->store, &(struct store_key){ k, m->namespace, m->name }, &was, NULL, NULL);
	if (store_put_json(w->store, STORE_OP_APPLY, item->json, &rev, &e)) {
		complain(w, item->where, &e);
	} else {
		say(k, m, !was ? "created" : was->rev == rev ? "unchanged" : "configured");
		if (!k->derived) /* whose revisions nodes do not report */
			note_revision(w, rev);
		if (add_target(w, item->obj, false))
			w->failed = true;
	}
	object_free(was);
}

static void delete_object(struct work *w, const struct object *o, const char *where,
			  const struct apply_opts *opts)
{
	struct store_key key = { o->kind, o->meta->namespace, o->meta->name };
	struct err e = { .code = 0 };
	uint64_t rev = 0;
	int rc = store_delete(w->store, &key, &rev, &e);

	if (rc == -ENOENT && opts->ignore_missing)
		return;
	if (rc) {
		complain(w, where, &e);
		return;
	}
	say(o->kind, o->meta, "deleted");
	if (!o->kind->derived)
		note_revision(w, rev);
	if (add_target(w, o, true))
		w->failed = true;
}

static int load(struct work *w, const struct apply_opts *o, struct manifest *m)
{
	for (uint32_t i = 0; i < o->files.n; i++) {
		struct err e = { .code = 0 };

		if (manifest_load(m, o->files.v[i], &e))
			complain(w, NULL, &e);
	}
	for (size_t i = 0; i < m->n_errors; i++) {
		cmd_error(CMD_NO, "%s", m->errors[i]);
		w->failed = true;
	}
	for (size_t i = 0; i < m->n_ignored; i++)
		fprintf(stderr, "ignored: %s\n", m->ignored[i].what);
	if (o->files.n && !w->failed && !m->n_items && !m->n_ignored)
		return cmd_error(CMD_NO, "%s%s: no object is there", o->files.v[0],
				 o->files.n > 1 ? " and the others" : "");
	return w->failed && !m->n_items ? CMD_NO : CMD_OK;
}

static int finish(struct work *w, const struct apply_opts *o)
{
	int rc = CMD_OK;

	fflush(stdout);
	if (w->n && o->wait > 0) {
		struct wait wait = { w->targets, w->n, w->revision, o->wait };

		rc = wait_for(w->store, &wait);
	}
	free(w->targets);
	store_close(w->store);
	return w->failed ? CMD_NO : rc;
}

static int run_apply(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	const struct apply_opts *o = opts;
	struct manifest m = { .n_items = 0 };
	struct work w = { .store = NULL };
	int rc;

	if (argc)
		return cmd_usage(ctx, "takes no operands; name files with -f");
	if (!o->files.n)
		return cmd_usage(ctx, "-f PATH is missing");
	rc = load(&w, o, &m);
	if (!rc)
		rc = cmd_store_open(ctx, STORE_CREATE, &w.store);
	if (!rc) {
		for (size_t i = 0; i < m.n_items; i++)
			apply_item(&w, &m.items[i]);
		rc = finish(&w, o);
	}
	manifest_fini(&m);
	return rc;
}

/* Objects as the command line names them: KIND NAME... */
static int named_objects(struct cmd_ctx *ctx, const struct apply_opts *o, int argc, char **argv,
			 struct work *w)
{
	const struct kind *k = kind_by_word(argv[0]);
	struct err e = { .code = 0 };

	if (!k)
		return cmd_unknown_kind(ctx, argv[0]);
	for (int i = 1; i < argc; i++) {
		struct meta *m = arena_alloc(ctx->arena, sizeof(*m));
		struct object obj = { .kind = k, .meta = m };
		const char *ns = NULL;

		if (!m)
			return cmd_error(CMD_NO, "no memory");
		m->name = argv[i];
		if (k->namespaced) {
			if (cmd_split_name(ctx, argv[i], o->ns, &ns, &m->name, &e))
				return cmd_usage(ctx, "%s", e.text);
			m->namespace = ns;
		}
		delete_object(w, &obj, NULL, o);
	}
	return CMD_OK;
}

static int run_delete(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	const struct apply_opts *o = opts;
	struct manifest m = { .n_items = 0 };
	struct work w = { .store = NULL };
	int rc;

	if (!o->files.n == !argc)
		return cmd_usage(ctx, "takes either -f PATH or KIND NAME");
	if (argc == 1)
		return cmd_usage(ctx, "NAME is missing");
	if (o->ns && !is_dns_label(o->ns))
		return cmd_usage(ctx, "--namespace: \"%s\" is no name of a namespace", o->ns);
	rc = load(&w, o, &m);
	if (!rc)
		rc = cmd_store_open(ctx, 0, &w.store);
	if (!rc && argc)
		rc = named_objects(ctx, o, argc, argv, &w);
	/* Against the order of creation: pods before what they stand on. */
	for (size_t i = m.n_items; !rc && i-- > 0;)
		delete_object(&w, m.items[i].obj, m.items[i].where, o);
	if (w.store && !rc)
		rc = finish(&w, o);
	else
		store_close(w.store);
	manifest_fini(&m);
	return rc;
}

const struct cmd cmd_apply = {
	.name = "apply",
	.args = "-f PATH...",
	.summary = "Bring objects from manifests into the store",
	.help = "Reads Kubernetes manifests, YAML or JSON. Kinds that fairlead does not know are "
		"listed and\nignored; a bad object is reported and does not stop the others. Waits "
		"until every node's\nkernel holds the change and the pods that it brings are "
		"Ready; "
		"exit code 3 when that takes\ntoo long.\n\n"
		"Try:\n"
		"  fairlead apply -f pods.yaml -f pools/\n"
		"  fairlead apply --wait=0 -f - < pod.json",
	.opts = apply_table,
	.opts_size = sizeof(struct apply_opts),
	.init = set_defaults,
	.run = run_apply,
};

const struct cmd cmd_delete = {
	.name = "delete",
	.args = "-f PATH... | KIND NAME...",
	.summary = "Take objects out of the store",
	.help = "Names are NAME or NS/NAME. Pods of a deleted workload go with it.\n\n"
		"Try:\n"
		"  fairlead delete -f pods.yaml\n"
		"  fairlead delete pod shop/web-1\n"
		"  fairlead delete deployment web -n shop --wait=10",
	.complete = "kind",
	.opts = delete_table,
	.opts_size = sizeof(struct apply_opts),
	.init = set_defaults,
	.run = run_delete,
};
