// SPDX-License-Identifier: Apache-2.0
/* fairlead lab status: who is where, with the process ids and paths that other tools need. */
#include "base/names.h"
#include "cmd/lab.h"
#include "cmd/out.h"
#include "lab/bgp.h"
#include "lab/words.h"
#include "sys/file.h"

#include <dirent.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct status_opts {
	struct lab_opts common;
};

static const struct opt status_table[] = { LAB_OPT_FORMAT(struct status_opts),
					   LAB_OPT_NAME(struct status_opts),
					   { 0 } };

/* The keeper and its roles, by the files that they leave for this: ROLE.pid. */
static json_t *roles_of(const struct world *w, const char *node)
{
	char dir[LAB_PATH], path[2 * LAB_PATH];
	DIR *d = opendir(lab_path(dir, w->name, "nodes/%s/run/fairlead", node));
	json_t *roles = json_object();
	struct dirent *de;

	while (d && (de = readdir(d))) {
		size_t n = strlen(de->d_name);
		struct buf text = { .v = NULL };
		uint64_t pid, start;

		if (n < 5 || strcmp(de->d_name + n - 4, ".pid") != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, de->d_name);
		de->d_name[n - 4] = '\0';
		if (!file_read(path, 64, &text, NULL) && text.v)
			text.v[strcspn(text.v, "\n")] = '\0';
		if (text.v && !words_number(text.v, INT32_MAX, &pid) &&
		    !space_start_time((pid_t)pid, &start))
			json_object_set_new(roles, de->d_name, json_integer((json_int_t)pid));
		buf_fini(&text);
	}
	if (d)
		closedir(d);
	return roles;
}

static json_t *addresses(const struct world_member *m)
{
	json_t *v = json_array();
	char text[ADDR_TEXT];

	for (uint32_t i = 0; i < m->addrs.n; i++)
		json_array_append_new(v, json_string(addr_str(&m->addrs.v[i], text)));
	return v;
}

static json_t *netns(const struct world_member *m)
{
	return json_sprintf("/proc/%d/ns/net", m->pid);
}

static const struct lab_node *node_of(const struct world *w, const char *name)
{
	for (uint32_t i = 0; i < w->spec.nodes.n; i++)
		if (!strcmp(w->spec.nodes.v[i].name, name))
			return &w->spec.nodes.v[i];
	return NULL;
}

static json_t *node_json(const struct world *w, const struct world_member *m)
{
	char path[LAB_PATH];

	lab_path(path, w->name, "nodes/%s/run/fairlead", m->name);
	return json_pack("{s:s, s:i, s:o, s:i, s:s, s:o, s:o}", "name", m->name, "rack",
			 (int)node_of(w, m->name)->rack, "netns", netns(m), "pid", m->pid, "run",
			 path, "addresses", addresses(m), "roles", roles_of(w, m->name));
}

static json_t *pod_json(const struct world_member *m)
{
	const char *slash = strchr(m->name, '/');

	return json_pack("{s:s%, s:s, s:s, s:o, s:i, s:o}", "namespace", m->name,
			 (size_t)(slash - m->name), "name", slash + 1, "node", m->node, "netns",
			 netns(m), "pid", m->pid, "ips", addresses(m));
}

static json_t *to_json(const struct world *w)
{
	json_t *nodes = json_array(), *pods = json_array();

	for (uint32_t i = 0; i < w->nodes.n; i++)
		json_array_append_new(nodes, node_json(w, &w->nodes.v[i]));
	for (uint32_t i = 0; i < w->pods.n; i++)
		json_array_append_new(pods, pod_json(&w->pods.v[i]));
	return json_pack("{s:s, s:s, s:s, s:b, s:s, s:s, s:b, s:o, s:o, s:{s:o, s:i, s:o}}", "name",
			 w->name, "store", w->url, "mode", name_of(&lab_mode_names, w->spec.mode),
			 "crossSubnet", w->spec.cross_subnet, "attachment",
			 name_of(&lab_attachment_names, w->spec.attachment), "routes",
			 name_of(&lab_routes_names, w->spec.routes), "routerHasPodRoutes",
			 w->spec.mode == POOL_DIRECT, "nodes", nodes, "pods", pods, "outside",
			 "netns", netns(&w->outside), "pid", w->outside.pid, "addresses",
			 addresses(&w->outside));
}

static void join(const struct world_member *m, char *out, size_t n)
{
	char text[ADDR_TEXT];
	size_t at = 0;

	out[0] = '\0';
	for (uint32_t i = 0; i < m->addrs.n && at < n; i++)
		at += (size_t)snprintf(out + at, n - at, "%s%s", i ? " " : "",
				       addr_str(&m->addrs.v[i], text));
}

static void roles_text(const struct world *w, const char *node, char *out, size_t n)
{
	json_t *roles = roles_of(w, node), *pid;
	const char *role;
	size_t at = 0;

	out[0] = '\0';
	json_object_foreach(roles, role, pid)
	{
		if (at < n)
			at += (size_t)snprintf(out + at, n - at, "%s%s:%d", at ? " " : "", role,
					       (int)json_integer_value(pid));
	}
	json_decref(roles);
}

static void print_bgp(const struct world *w)
{
	const struct lab_spec *s = &w->spec;

	printf("Nodes learn routes by BGP%s, %s", s->bird ? ", each rack an AS of its own" : "",
	       s->routes == LAB_ROUTES_BGP ? "each from every other one" : "from reflectors:");
	for (uint32_t i = 0; i < s->nodes.n; i++)
		if (lab_is_reflector(s, &s->nodes.v[i]))
			printf(" %s", s->nodes.v[i].name);
	puts(s->bird && s->routes == LAB_ROUTES_BGP ? " in it." : ".");
}

static void print_text(const struct world *w)
{
	static const char *const node_heads[] = {
		"NODE", "RACK", "PID", "ADDRESSES", "ROLES", NULL
	};
	static const char *const pod_heads[] = { "POD", "NODE", "PID", "ADDRESSES", NULL };
	struct table t;
	char text[512];

	printf("lab %s: mode %s%s, attachment %s, store %s\n", w->name,
	       name_of(&lab_mode_names, w->spec.mode), w->spec.cross_subnet ? " across racks" : "",
	       name_of(&lab_attachment_names, w->spec.attachment), w->url);
	if (lab_has_bgp(&w->spec))
		print_bgp(w);
	puts(w->spec.bird ? "BIRD in the router learns the routes to pods from each rack's nodes, "
			    "and tells them the others'."
	     : w->spec.mode == POOL_DIRECT ? "The router has a static route for each IPBlock and "
					     "keeps them equal to the store's."
					   : "The router has no routes to pods and drops their "
					     "addresses outside of tunnels.");
	join(&w->outside, text, sizeof(text));
	printf("outside: %s, process %d\n\n", text, w->outside.pid);
	table_initv(&t, node_heads);
	for (uint32_t i = 0; i < w->nodes.n; i++) {
		const struct world_member *m = &w->nodes.v[i];

		table_cell(&t, "%s", m->name);
		table_cell(&t, "%u", node_of(w, m->name)->rack);
		table_cell(&t, "%d", m->pid);
		join(m, text, sizeof(text));
		table_cell(&t, "%s", text);
		roles_text(w, m->name, text, sizeof(text));
		table_cell(&t, "%s", text);
	}
	table_print(&t, stdout);
	table_fini(&t);
	putchar('\n');
	table_initv(&t, pod_heads);
	for (uint32_t i = 0; i < w->pods.n; i++) {
		table_cell(&t, "%s", w->pods.v[i].name);
		table_cell(&t, "%s", w->pods.v[i].node);
		table_cell(&t, "%d", w->pods.v[i].pid);
		join(&w->pods.v[i], text, sizeof(text));
		table_cell(&t, "%s", text);
	}
	table_print(&t, stdout);
	table_fini(&t);
}

static int run_status(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	const struct status_opts *o = opts;
	struct world w;
	json_t *j;
	int rc;

	if (argc)
		return cmd_usage(ctx, "\"%s\" is too much", argv[0]);
	rc = lab_load(ctx, &o->common, &w);
	if (rc)
		return rc;
	if (o->common.format != OUT_JSON) {
		print_text(&w);
		return 0;
	}
	j = to_json(&w);
	out_json(j, stdout);
	json_decref(j);
	return 0;
}

const struct cmd cmd_lab_status = {
	.name = "status",
	.summary = "Nodes, roles, pods and the outside, with process ids and addresses",
	.help = "The JSON also has the path of each network namespace (nsenter --net=PATH); "
		"docs/lab.md\n"
		"describes it.\n\n"
		"Try:\n"
		"  fairlead lab status\n"
		"  fairlead lab status -o json",
	.opts = status_table,
	.opts_size = sizeof(struct status_opts),
	.run = run_status,
};
