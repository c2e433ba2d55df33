// SPDX-License-Identifier: Apache-2.0
/* ctl: see ctl.h. */
#include "cmd/ctl.h"
#include "cmd/out.h"
#include "sys/sock.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RUN_DIR    "/run/fairlead"
#define TIMEOUT_MS 10000
#define ARGS_MAX   8

/* ---- whom to ask */

struct agents {
	struct cmd_ctx *ctx;
	const char *role, *socket;
	struct ctl_agent *v;
	size_t n;
};

static int add(struct agents *a, const char *node, const char *dir)
{
	struct ctl_agent *v = arena_array(a->ctx->arena, a->n + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	if (a->n)
		memcpy(v, a->v, a->n * sizeof(*v));
	v[a->n] = (struct ctl_agent){ .node = node,
				      .role = a->role,
				      .socket = arena_printf(a->ctx->arena, "%s/%s", dir,
							     a->socket) };
	a->v = v;
	a->n++;
	return 0;
}

static int add_lab(struct agents *a, const char *lab, const char *only)
{
	char *dir = arena_printf(a->ctx->arena, LAB_RUN "/%s/nodes", lab);
	struct dirent **names = NULL;
	int n = dir ? scandir(dir, &names, NULL, alphasort) : -1, rc = 0;

	for (int i = 0; i < n; i++) {
		const char *name = names[i]->d_name;

		if (name[0] != '.' && (!only || !strcmp(only, name)) && !rc)
			rc = add(a, arena_strdup(a->ctx->arena, name),
				 arena_printf(a->ctx->arena, "%s/%s/run/fairlead", dir, name));
		free(names[i]);
	}
	free(names);
	return rc;
}

/* The lab whose store a URL is: LAB_RUN/NAME/store.d, or NULL. */
static const char *lab_of(struct cmd_ctx *ctx, const char *url)
{
	const char *head = "dir:" LAB_RUN "/";
	size_t n = strlen(head);

	if (strncmp(url, head, n) != 0)
		return NULL;
	return arena_strndup(ctx->arena, url + n, strcspn(url + n, "/"));
}

static int find(struct cmd_ctx *ctx, const struct ctl_opts *o, const char *role, const char *socket,
		struct ctl_agent **v, size_t *n)
{
	struct agents a = { .ctx = ctx, .role = role, .socket = socket };
	const char *lab = ctx->lab, *url;
	char here[64];
	struct err e;
	int rc;

	snprintf(here, sizeof(here), RUN_DIR "/%s", socket);
	if (!lab && !o->run_dir && access(here, F_OK)) {
		if (cmd_store_url(ctx, &url, &e))
			return cmd_error(CMD_PARTLY, "no %s on this machine (%s), and %s", role,
					 here, e.text);
		lab = lab_of(ctx, url);
	}
	rc = lab && !o->run_dir ? add_lab(&a, lab, o->node)
				: add(&a, NULL, o->run_dir ? o->run_dir : RUN_DIR);
	if (rc)
		return cmd_error(CMD_NO, "no memory");
	if (!a.n && o->node)
		return cmd_error(CMD_NO, "lab %s has no node %s", lab, o->node);
	if (!a.n)
		return cmd_error(CMD_PARTLY, "lab %s has no nodes", lab);
	*v = a.v;
	*n = a.n;
	return 0;
}

int ctl_agents(struct cmd_ctx *ctx, const struct ctl_opts *o, struct ctl_agent **v, size_t *n)
{
	return find(ctx, o, "agent", "ctl.sock", v, n);
}

int ctl_speakers(struct cmd_ctx *ctx, const struct ctl_opts *o, struct ctl_agent **v, size_t *n)
{
	return find(ctx, o, "role bgp", "bgp.sock", v, n);
}

int ctl_dns(struct cmd_ctx *ctx, const struct ctl_opts *o, struct ctl_agent **v, size_t *n)
{
	return find(ctx, o, "role dns", "dns.sock", v, n);
}

/* ---- one question */

/* Columns are text on the wire; these mean numbers and truth values. */
/* clang-format off */
static const char *const number_keys[] = {
	"asNumber", "blockSize", "blocks", "bytes", "cooling", "count", "ends", "faulty", "holdTime", "left", "lent",
	"listenPort", "localPref", "med", "messagesIn", "messagesOut", "metric", "mtu", "observedRevision", "ownBlocks",
	"packets", "podMTU", "pods", "port", "problems", "received", "reserved", "revision", "routes4", "routes6",
	"seconds", "size", "told", "ttl", "us", "used", "usedHere", "workers", NULL
};
static const char *const flag_keys[] = {
	"best", "complete", "disabled", "filtered", "fixed", "gracefulRestart", "inSync", "inUse", "known", "natOutgoing",
	"own", "passive", "password", "stale", NULL
};
/* clang-format on */

static bool is_one_of(const char *const *v, const char *key)
{
	while (*v && strcmp(*v, key) != 0)
		v++;
	return *v;
}

static json_t *to_json(const char *key, const char *text)
{
	if (is_one_of(flag_keys, key))
		return json_boolean(!strcmp(text, "true"));
	if (is_one_of(number_keys, key))
		return json_integer(strtoll(text, NULL, 10));
	return json_string(text);
}

json_t *ctl_table(json_t *tables, const char *name)
{
	json_t *v = json_object_get(tables, name);

	if (!v) {
		v = json_array();
		json_object_set_new(tables, name, v);
	}
	return v;
}

static void take_row(json_t *tables, const struct rec_ctl_row *row)
{
	json_t *j = json_object();

	for (uint32_t i = 0; i < row->cols.n; i++)
		json_object_set_new(j, row->cols.v[i].key,
				    to_json(row->cols.v[i].key, row->cols.v[i].value));
	json_array_append_new(ctl_table(tables, row->table ? row->table : ""), j);
}

/* Rows until the end; the end's code is the answer. */
static int read_answer(struct rstream *s, json_t *tables, struct err *e)
{
	for (;;) {
		struct rec_written end = { 0 };
		struct rec_ctl_row row = { 0 };
		struct rframe f;
		struct arena a;
		int rc = rstream_recv(s, &f, TIMEOUT_MS, e);

		if (rc < 0)
			return rc;
		if (f.fd >= 0)
			close(f.fd);
		arena_init(&a, RECORD_MAX);
		if (f.type == REC_CTL_ROW) {
			rc = record_decode(&f.body, record_schema(f.type), &row, &a, e);
			if (!rc)
				take_row(tables, &row);
		} else if (f.type == REC_CTL_END) {
			rc = record_decode(&f.body, record_schema(f.type), &end, &a, e);
			if (!rc && end.code)
				rc = err_set(e, (int)end.code, "%s",
					     end.text ? end.text : "refused");
			arena_fini(&a);
			return rc;
		} else {
			rc = 0;
		}
		arena_fini(&a);
		if (rc)
			return rc;
	}
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct strmap_entry *)a)->key, ((const struct strmap_entry *)b)->key);
}

int ctl_ask(const struct ctl_agent *agent, json_t *tables, struct err *e, const char *verb, ...)
{
	struct strmap_entry args[ARGS_MAX];
	struct rec_ctl_request q = { .verb = verb, .args = { args, 0 } };
	struct rstream s = { .fd = -1 };
	const char *node = agent->node ? agent->node : "", *of = *node ? " of " : "", *key;
	const char *the = strchr(agent->role, ' ') ? "" : "the ";
	va_list ap;
	int fd, rc;

	va_start(ap, verb);
	while ((key = va_arg(ap, const char *)) && q.args.n < ARGS_MAX)
		args[q.args.n++] = (struct strmap_entry){ key, va_arg(ap, const char *) };
	va_end(ap);
	qsort(args, q.args.n, sizeof(*args), by_key);
	fd = sock_unix_connect(agent->socket, SOCK_STREAM, TIMEOUT_MS, e);
	if (fd < 0)
		return err_set(e, -ECONNREFUSED, "%s%s%s%s %s (%s)", the, agent->role, of, node,
			       fd == -EACCES ? "answers root alone" : "is not there",
			       agent->socket);
	rc = rstream_init(&s, fd, e);
	if (!rc)
		rc = rstream_put(&s, REC_CTL_REQUEST, record_schema(REC_CTL_REQUEST), &q, -1, e);
	if (!rc)
		rc = read_answer(&s, tables, e);
	if (rc == -ETIMEDOUT)
		err_set(e, rc, "%s%s%s%s did not answer in time (%s)", the, agent->role, of, node,
			agent->socket);
	rstream_fini(&s);
	return rc;
}

const char *ctl_text(const json_t *row, const char *key, char buf[32])
{
	const json_t *v = json_object_get(row, key);

	if (json_is_integer(v)) {
		snprintf(buf, 32, "%lld", (long long)json_integer_value(v));
		return buf;
	}
	if (json_is_boolean(v))
		return json_is_true(v) ? "yes" : "no";
	return json_is_string(v) ? json_string_value(v) : "";
}

/* ---- rows as a table */

/* "3d4h", "12m5s": the two largest units. */
static void cell_since(struct table *t, const json_t *row)
{
	static const struct {
		char unit;
		json_int_t seconds;
	} units[] = { { 'd', 86400 }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 } };
	const json_t *v = json_object_get(row, "seconds");
	json_int_t s = json_integer_value(v);
	unsigned i = 0;

	while (i < 3 && s < units[i].seconds)
		i++;
	if (!v)
		table_cell(t, "%s", "");
	else if (i == 3)
		table_cell(t, "%llds", (long long)s);
	else
		table_cell(t, "%lld%c%lld%c", (long long)(s / units[i].seconds), units[i].unit,
			   (long long)(s % units[i].seconds / units[i + 1].seconds),
			   units[i + 1].unit);
}

static void cells(struct table *t, const json_t *row, const char *const *keys)
{
	char buf[32];

	for (; *keys; keys++)
		if (strcmp(*keys, "seconds") == 0)
			cell_since(t, row);
		else
			table_cell(t, "%s", ctl_text(row, *keys, buf));
}

void ctl_print(const json_t *rows, const char *const *heads, const char *const *keys)
{
	const json_t *row;
	struct table t;
	size_t i;

	if (!json_array_size(rows))
		return;
	table_initv(&t, heads);
	json_array_foreach(rows, i, row) cells(&t, row, keys);
	table_print(&t, stdout);
	table_fini(&t);
}
