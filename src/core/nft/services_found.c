// SPDX-License-Identifier: Apache-2.0
/* What an earlier run's rules lead to, said as plans: their fronts of UDP and SCTP, each with the
 * endpoints behind it. Only what conntrack's clean-up asks of a plan is in them. A front's Service
 * is told by its element's comment; a name that was too long for one ends in a checksum, and is
 * then no Service's. */
#include "core/nft/services_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct found_front {
	char *ns, *name;
	struct svc_port *port;
	struct svc_front front;
	uint8_t family;
};

struct finding {
	const struct nft_services *s;
	struct arena *mem;
	struct found_front *v;
	size_t n;
};

static int cmp_endpoints(const void *x, const void *y)
{
	const struct svc_endpoint *a = x, *b = y;
	int c = addr_cmp(&a->ip, &b->ip);

	return c ? c : (int)a->port - (int)b->port;
}

static void add_group(const struct nft_services *s, uint32_t id, struct svc_port *out)
{
	const struct nft_adopted_group *g;

	HASH_FIND(hh, s->adopted.groups, &id, sizeof(id), g);
	for (uint32_t i = 0; g && i < g->n; i++) {
		struct svc_endpoint *ep = &out->endpoints.v[out->endpoints.n++];

		*ep = (struct svc_endpoint){ .ip.family = g->family, .port = g->slots[i].port };
		memcpy(ep->ip.b, g->slots[i].ip, sizeof(ep->ip.b));
	}
}

static uint32_t group_size(const struct nft_services *s, uint32_t id)
{
	const struct nft_adopted_group *g;

	HASH_FIND(hh, s->adopted.groups, &id, sizeof(id), g);
	return g ? g->n : 0;
}

/* Of a group, or of both that a chooser leads to. */
static int find_endpoints(const struct finding *f, uint32_t id, struct svc_port *out)
{
	const struct nft_adopted_chooser *c;
	uint32_t ids[SVC_GROUPS] = { id }, most = 0, n = 0;

	HASH_FIND(hh, f->s->adopted.choosers, &id, sizeof(id), c);
	if (c)
		memcpy(ids, c->groups, sizeof(ids));
	for (unsigned g = 0; g < SVC_GROUPS; g++)
		most += group_size(f->s, ids[g]);
	out->endpoints.v = arena_array(f->mem, most, sizeof(*out->endpoints.v));
	if (!out->endpoints.v)
		return -ENOMEM;
	for (unsigned g = 0; g < SVC_GROUPS; g++)
		add_group(f->s, ids[g], out);
	if (most)
		qsort(out->endpoints.v, most, sizeof(*out->endpoints.v), cmp_endpoints);
	for (uint32_t i = 0; i < most; i++)
		if (!n || cmp_endpoints(&out->endpoints.v[n - 1], &out->endpoints.v[i]))
			out->endpoints.v[n++] = out->endpoints.v[i];
	out->endpoints.n = n;
	return 0;
}

/* "namespace/name:port" */
static bool parse_comment(char *text, struct found_front *out)
{
	char *slash = text ? strchr(text, '/') : NULL;

	if (!slash)
		return false;
	*slash = '\0';
	out->ns = text;
	out->name = slash + 1;
	out->name[strcspn(out->name, ":")] = '\0';
	return true;
}

static int find_front(struct finding *f, const struct nft_elem *e, unsigned v6, bool at_node)
{
	struct found_front *out = &f->v[f->n];
	uint32_t len = at_node ? 0 : v6 ? 16 : 4, id;
	uint8_t proto = nft_adopted_proto(e->key[0]);

	if ((proto != PROTO_UDP && proto != PROTO_SCTP) || !e->data || !e->comment)
		return 0;
	if (!parse_comment(arena_strdup(f->mem, e->comment), out))
		return f->mem->failed ? -ENOMEM : 0;
	memcpy(&id, e->data, sizeof(id));
	out->family = v6 ? AF_INET6 : AF_INET;
	out->port = arena_alloc(f->mem, sizeof(*out->port));
	if (!out->port)
		return -ENOMEM;
	out->port->name = "";
	out->port->proto = proto;
	out->front.port = out->port;
	out->front.number = (uint16_t)(e->key[4 + len] << 8 | e->key[5 + len]);
	if (!at_node) {
		out->front.address.family = out->family;
		memcpy(out->front.address.b, e->key + 4, len);
	}
	f->n++;
	return find_endpoints(f, id, out->port);
}

static int find_fronts(struct finding *f, const struct nft_table *t)
{
	const struct nft_set *sets[2][2];
	size_t most = 0;
	int rc = 0;

	for (unsigned v6 = 0; v6 < 2; v6++)
		for (unsigned at_node = 0; at_node < 2; at_node++) {
			const struct nft_set *set = nft_adopted_set(
				t, at_node ? f->s->sets.nodeport[v6] : f->s->sets.vip[v6]);

			sets[v6][at_node] = set;
			most += set ? set->n : 0;
		}
	f->v = arena_array(f->mem, most, sizeof(*f->v));
	if (!f->v)
		return -ENOMEM;
	for (unsigned i = 0; i < 4 && !rc; i++) {
		const struct nft_set *set = sets[i / 2][i % 2];

		for (uint32_t k = 0; set && k < set->n && !rc; k++)
			rc = find_front(f, &set->elems[k], i / 2, i % 2);
	}
	return rc;
}

static int cmp_services(const struct found_front *a, const struct found_front *b)
{
	int c = strcmp(a->ns, b->ns);

	return c ? c : strcmp(a->name, b->name);
}

static int cmp_fronts(const void *x, const void *y)
{
	const struct found_front *a = x, *b = y;
	int c = cmp_services(a, b);

	return c ? c : (int)a->family - (int)b->family;
}

/* The first n of `v` are of one Service and family. */
static int make_plan(const struct found_front *v, size_t n, struct arena *mem, struct svc_plan *out)
{
	struct svc_port *ports = arena_array(mem, n, sizeof(*ports));
	struct svc_front *fronts = arena_array(mem, n, sizeof(*fronts));

	if (!ports || !fronts)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		ports[i] = *v[i].port;
		fronts[i] = v[i].front;
		fronts[i].port = &ports[i];
	}
	*out = (struct svc_plan){ .ns = v->ns, .name = v->name, .family = v->family };
	out->ports.v = ports;
	out->fronts.v = fronts;
	out->ports.n = out->fronts.n = (uint32_t)n;
	return 0;
}

int nft_services_found(const struct nft_services *s, const struct nft_table *observed,
		       struct arena *a, struct svc_plan **out, size_t *n, struct err *e)
{
	struct finding f = { .s = s, .mem = a };
	struct svc_plan *plans;
	size_t n_plans = 0;
	int rc = find_fronts(&f, observed);

	if (!rc && f.n)
		qsort(f.v, f.n, sizeof(*f.v), cmp_fronts);
	plans = arena_array(a, f.n, sizeof(*plans));
	for (size_t i = 0, k; i < f.n && plans && !rc; i = k) {
		for (k = i + 1; k < f.n && !cmp_fronts(&f.v[i], &f.v[k]); k++)
			;
		rc = make_plan(&f.v[i], k - i, a, &plans[n_plans++]);
	}
	if (rc || !plans)
		return err_set(e, -ENOMEM, "no memory");
	*out = plans;
	*n = n_plans;
	return 0;
}
