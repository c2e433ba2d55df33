// SPDX-License-Identifier: Apache-2.0
/* world: see world.h. Processes and addresses come from the records of the lab-nodes, which say
 * what is, ports and labels from the Pod objects, which say what was asked for. */
#include "lab/world.h"

#include "lab/prober.h"
#include "store/store.h"
#include "sys/file.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OUTSIDE_HOST 10

struct loading {
	struct world *w;
	struct arena *a;
};

/* ---- pods */

static struct world_member *find_pod(const struct world *w, const char *ns, const char *name)
{
	for (uint32_t i = 0; i < w->pods.n; i++) {
		const char *key = w->pods.v[i].name;
		size_t n = strlen(ns);

		if (!strncmp(key, ns, n) && key[n] == '/' && !strcmp(key + n + 1, name))
			return &w->pods.v[i];
	}
	return NULL;
}

static void copy_ports(struct world_member *m, const struct pod *pod, struct arena *a)
{
	static const uint8_t protos[] = { PROBE_TCP, PROBE_TCP, PROBE_UDP, PROBE_SCTP };
	uint32_t n = 0;

	for (uint32_t i = 0; i < pod->spec.containers.n; i++)
		n += pod->spec.containers.v[i].ports.n;
	m->ports.v = arena_array(a, n, sizeof(*m->ports.v));
	for (uint32_t i = 0; m->ports.v && i < pod->spec.containers.n; i++) {
		const struct container *c = &pod->spec.containers.v[i];

		for (uint32_t k = 0; k < c->ports.n; k++)
			m->ports.v[m->ports.n++] =
				(struct world_port){ (uint16_t)c->ports.v[k].containerPort,
						     protos[c->ports.v[k].protocol] };
	}
}

static void copy_labels(struct world_member *m, const struct strmap *labels, struct arena *a)
{
	struct strmap *out = arena_alloc(a, sizeof(*out));

	if (!out)
		return;
	out->v = arena_array(a, labels->n, sizeof(*out->v));
	for (uint32_t i = 0; out->v && i < labels->n; i++)
		out->v[out->n++] = (struct strmap_entry){ arena_strdup(a, labels->v[i].key),
							  arena_strdup(a, labels->v[i].value) };
	m->labels = out;
}

static void on_put(void *arg, struct object *o, const json_t *json)
{
	struct loading *l = arg;
	struct world_member *m = find_pod(l->w, o->meta->namespace, o->meta->name);

	if (m) {
		copy_ports(m, o->body, l->a);
		copy_labels(m, &o->meta->labels, l->a);
	}
	object_free(o);
}

static int load_objects(struct world *w, struct arena *a, struct err *e)
{
	static const struct store_events events = { .put = on_put };
	struct loading l = { w, a };
	struct store *s;
	int rc = store_open(w->url, 0, &s, e);

	if (rc)
		return rc;
	rc = store_list(s, KIND_POD, NULL, &events, &l, e);
	store_close(s);
	return rc;
}

static void add_pod(struct world *w, const struct sandbox *s, struct arena *a)
{
	struct world_member *m = &w->pods.v[w->pods.n];

	if (s->phase != SANDBOX_RUNNING || !space_alive(&s->pause))
		return;
	*m = (struct world_member){ .kind = WORLD_POD, .node = s->node, .pid = s->pause.pid };
	m->name = arena_printf(a, "%s/%s", s->ns, s->name);
	m->addrs.v = arena_array(a, s->ips.n, sizeof(*m->addrs.v));
	for (uint32_t i = 0; m->addrs.v && i < s->ips.n; i++)
		m->addrs.v[m->addrs.n++] = s->ips.v[i].addr;
	w->pods.n++;
}

static int by_name(const void *x, const void *y)
{
	return strcmp(((const struct world_member *)x)->name,
		      ((const struct world_member *)y)->name);
}

static int load_pods(struct world *w, struct arena *a, struct err *e)
{
	struct sandbox_list *lists = arena_array(a, w->spec.nodes.n, sizeof(*lists));
	uint32_t n = 0;
	int rc = lists ? 0 : err_set(e, -ENOMEM, "out of memory");

	for (uint32_t i = 0; !rc && i < w->spec.nodes.n; i++) {
		rc = sandbox_list(w->name, w->spec.nodes.v[i].name, &lists[i], a, e);
		n += rc ? 0 : lists[i].pods.n;
	}
	if (rc)
		return rc;
	w->pods.v = arena_array(a, n, sizeof(*w->pods.v));
	for (uint32_t i = 0; w->pods.v && i < w->spec.nodes.n; i++)
		for (uint32_t k = 0; k < lists[i].pods.n; k++)
			add_pod(w, &lists[i].pods.v[k], a);
	if (w->pods.v)
		qsort(w->pods.v, w->pods.n, sizeof(*w->pods.v), by_name);
	return a->failed ? err_set(e, -ENOMEM, "out of memory") : 0;
}

/* ---- nodes and outside */

static void add_addr(struct world_member *m, const struct ipaddr *ip)
{
	m->addrs.v[m->addrs.n++] = *ip;
}

static void load_members(struct world *w, struct arena *a)
{
	static const int families[] = { AF_INET, AF_INET6 };

	w->nodes.v = arena_array(a, w->spec.nodes.n, sizeof(*w->nodes.v));
	for (uint32_t i = 0; w->nodes.v && i < w->spec.nodes.n; i++) {
		const struct lab_node *node = &w->spec.nodes.v[i];
		const struct member *s = lab_state_find(&w->state, MEMBER_NODE, node->name);
		struct world_member *m = &w->nodes.v[w->nodes.n++];

		*m = (struct world_member){ .kind = WORLD_NODE,
					    .name = node->name,
					    .pid = s ? s->space.pid : 0 };
		m->addrs.v = arena_array(a, node->addrs.n + node->extra.n, sizeof(*m->addrs.v));
		for (uint32_t k = 0; m->addrs.v && k < node->addrs.n; k++)
			add_addr(m, &node->addrs.v[k].addr);
		for (uint32_t k = 0; m->addrs.v && k < node->extra.n; k++)
			add_addr(m, &node->extra.v[k]);
	}
	w->outside = (struct world_member){ .kind = WORLD_OUTSIDE, .name = "outside" };
	w->outside.addrs.v = arena_array(a, 2, sizeof(*w->outside.addrs.v));
	for (int i = 0; w->outside.addrs.v && i < 2; i++) {
		struct prefix p = lab_address(families[i], 0, OUTSIDE_HOST);

		if (lab_has_family(&w->spec, families[i]))
			add_addr(&w->outside, &p.addr);
	}
	if (lab_state_find(&w->state, MEMBER_OUTSIDE, NULL))
		w->outside.pid = lab_state_find(&w->state, MEMBER_OUTSIDE, NULL)->space.pid;
}

int world_load(const char *name, struct world *w, struct arena *a, struct err *e)
{
	char path[LAB_PATH];
	struct buf url = { 0 };
	int rc;

	*w = (struct world){ .name = arena_strdup(a, name) };
	rc = lab_state_read(name, &w->state, a, e);
	if (!rc)
		rc = lab_spec_load(&w->spec, lab_path(path, name, "lab.conf"), a, e);
	if (!rc)
		rc = file_read(lab_path(path, name, "store"), LAB_PATH, &url, e);
	if (!rc)
		w->url = arena_strndup(a, url.v, strcspn(url.v, "\n"));
	buf_fini(&url);
	if (!rc)
		rc = load_pods(w, a, e);
	if (!rc)
		rc = load_objects(w, a, e);
	if (rc)
		return rc;
	load_members(w, a);
	return a->failed ? err_set(e, -ENOMEM, "out of memory") : 0;
}

const struct world_member *world_find(const struct world *w, const char *name)
{
	const char *slash = strchr(name, '/');

	for (uint32_t i = 0; slash && i < w->pods.n; i++)
		if (!strcmp(w->pods.v[i].name, name))
			return &w->pods.v[i];
	for (uint32_t i = 0; !slash && i < w->nodes.n; i++)
		if (!strcmp(w->nodes.v[i].name, name))
			return &w->nodes.v[i];
	if (!strcmp(name, "outside"))
		return &w->outside;
	return slash ? NULL : find_pod(w, "default", name);
}

const struct ipaddr *world_addr(const struct world_member *m, int family)
{
	for (uint32_t i = 0; i < m->addrs.n; i++)
		if (!family || m->addrs.v[i].family == family)
			return &m->addrs.v[i];
	return NULL;
}

int world_split(const char *text, const char **host, uint16_t *port, struct arena *a, struct err *e)
{
	const char *close = *text == '[' ? strchr(text, ']') : NULL;
	const char *colon = close ? (close[1] == ':' ? close + 1 : NULL) : strrchr(text, ':');
	struct ipaddr ip;
	char *end;
	unsigned long v = 0;

	if (!close && !addr_parse(text, &ip))
		colon = NULL; /* a bare IPv6 address */
	if (*text == '[' && (!close || (close[1] && !colon)))
		return err_set(e, -EINVAL, "\"%s\": must be [ADDR] or [ADDR]:PORT", text);
	if (colon) {
		v = strtoul(colon + 1, &end, 10);
		if (!isdigit((unsigned char)colon[1]) || *end || v < 1 || v > 65535)
			return err_set(e, -EINVAL, "\"%s\": the port must be 1 to 65535", text);
	}
	if (close)
		*host = arena_strndup(a, text + 1, (size_t)(close - text - 1));
	else
		*host = colon ? arena_strndup(a, text, (size_t)(colon - text))
			      : arena_strdup(a, text);
	*port = (uint16_t)v;
	if (!*host || !**host)
		return err_set(e, -EINVAL, "\"%s\": must be TARGET or TARGET:PORT", text);
	return 0;
}
