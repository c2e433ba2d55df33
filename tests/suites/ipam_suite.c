/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the independent IPAM scenarios (suites/ipam/scenarios.json) on a cluster on paper
 * (tests/ipam_sim.h). In the scenarios a handle holds several addresses; here each is an
 * attachment of its own, "HANDLE#N".
 *
 *     ipam_suite SUITES-FOLDER      exit 0: none failed; 77: there is no such folder */
#include "core/ipam/pool.h"
#include "model/validate.h"
#include "tests/ipam_sim.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define SKIP 77

struct world {
	struct sim m;
	size_t *last; /* leases of the last operation, by index */
	size_t n_last;
	struct ipaddr *given; /* addresses of the last operation: what release_ips counts in */
	size_t n_given;
	int serial;
	char error[256];
};

static bool fails(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool fails(struct world *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(w->error, sizeof(w->error), fmt, ap);
	va_end(ap);
	return false;
}

/* ---- reading a scenario */

static const char *text_of(const json_t *j, const char *key)
{
	return json_string_value(json_object_get(j, key));
}

static int int_of(const json_t *j, const char *key, int otherwise)
{
	const json_t *v = json_object_get(j, key);

	return json_is_integer(v) ? (int)json_integer_value(v) : otherwise;
}

/* "zone == 'x'" */
static struct label_selector *selector(struct object *o, const char *text)
{
	struct label_selector *s = arena_alloc(&o->arena, sizeof(*s));
	char key[32], value[32];

	if (sscanf(text, "%31[a-z] == '%31[a-z]'", key, value) != 2)
		abort();
	s->matchLabels.v = arena_array(&o->arena, 1, sizeof(*s->matchLabels.v));
	s->matchLabels.v[0].key = arena_strdup(&o->arena, key);
	s->matchLabels.v[0].value = arena_strdup(&o->arena, value);
	s->matchLabels.n = 1;
	return s;
}

static struct object *pool_object(const json_t *j)
{
	struct prefix net;
	char name[IPAM_BLOCK_NAME];
	struct ippool *p;
	struct object *o;

	if (prefix_parse(text_of(j, "cidr"), &net))
		abort();
	o = sim_object(KIND_IPPOOL, ipam_block_name(&net, name));
	p = o->body;
	p->spec.cidr = net;
	p->spec.blockSize = int_of(j, "blockSize", 0);
	p->spec.mode = POOL_DIRECT;
	if (text_of(j, "nodeSelector"))
		p->spec.nodeSelector = selector(o, text_of(j, "nodeSelector"));
	return o;
}

static void build(struct world *w, const json_t *c)
{
	const json_t *config = json_object_get(c, "config"), *v;
	const json_t *reserved = json_object_get(config, "reservations");
	size_t i;

	json_array_foreach(json_object_get(c, "pools"), i, v)
	{
		struct object *o = pool_object(v);
		struct ippool *p = o->body;

		p->spec.strictAffinity = json_is_true(json_object_get(config, "strictAffinity"));
		p->spec.maxBlocksPerNode = int_of(config, "maxBlocksPerHost", 0);
		sim_put(&w->m, o);
	}
	json_array_foreach(reserved, i, v)
	{
		char name[32];
		struct object *o;
		struct ipreservation *r;

		snprintf(name, sizeof(name), "r%zu", i);
		o = sim_object(KIND_IPRESERVATION, name);
		r = o->body;
		r->spec.reservedCIDRs.v = arena_array(&o->arena, 1, sizeof(struct prefix));
		r->spec.reservedCIDRs.n = 1;
		if (prefix_parse(json_string_value(v), &r->spec.reservedCIDRs.v[0]))
			abort();
		sim_put(&w->m, o);
	}
}

/* ---- what the scenarios ask about */

static bool is_of(const char *container, const char *handle)
{
	size_t n = strlen(handle);

	return !strncmp(container, handle, n) && container[n] == '#';
}

static bool of_handle(const struct sim_lease *l, const char *handle)
{
	return is_of(l->container, handle);
}

/* By the books of the hosts that are still there; `handle` NULL: of all. */
static size_t count_handle(const struct world *w, const char *handle)
{
	size_t n = 0, n_atts;

	for (size_t i = 0; i < w->m.n_hosts; i++) {
		const struct ipam_attachment *const *v = ipam_all(w->m.hosts[i].ipam, &n_atts);

		for (size_t k = 0; k < n_atts && !w->m.hosts[i].reclaimed; k++)
			if (v[k]->state == IPAM_LIVE && (!handle || is_of(v[k]->container, handle)))
				n += v[k]->addrs.n;
	}
	return n;
}

static size_t in_use(const struct world *w)
{
	return count_handle(w, NULL);
}

static const struct object *block_of(const struct world *w, const struct ipaddr *a)
{
	size_t n;
	const struct object *const *v = cluster_all(w->m.store, KIND_IPBLOCK, &n);

	for (size_t i = 0; i < n; i++)
		if (prefix_has(&((const struct ipblock *)v[i]->body)->spec.cidr, a))
			return v[i];
	return NULL;
}

static struct ippool *pool_of_addr(const struct world *w, const struct ipaddr *a)
{
	size_t n;
	const struct object *const *v = cluster_all(w->m.store, KIND_IPPOOL, &n);

	for (size_t i = 0; i < n; i++)
		if (prefix_has(&((struct ippool *)v[i]->body)->spec.cidr, a))
			return v[i]->body;
	return NULL;
}

static const struct sim_lease *first_of(const struct world *w, const char *handle)
{
	for (size_t i = 0; i < w->m.n_leases; i++)
		if (of_handle(&w->m.leases[i], handle))
			return &w->m.leases[i];
	return NULL;
}

/* How many different blocks the last operation's leases lie in. */
static size_t count_blocks(const struct world *w)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n_given; i++) {
		size_t k = 0;

		while (k < i && block_of(w, &w->given[k]) != block_of(w, &w->given[i]))
			k++;
		n += k == i;
	}
	return n;
}

static bool distinct(const struct world *w)
{
	for (size_t i = 0; i < w->n_given; i++)
		for (size_t k = 0; k < i; k++)
			if (addr_eq(&w->given[i], &w->given[k]))
				return false;
	return true;
}

/* ---- assigning */

static void note(struct world *w, const struct sim_lease *l)
{
	for (size_t i = 0; i < l->n; i++) {
		w->given = realloc(w->given, (w->n_given + 1) * sizeof(*w->given));
		w->given[w->n_given++] = l->addr[i];
	}
}

/* Takes one attachment for the handle; what it got is noted. */
static int assign(struct world *w, const char *host, const char *handle, struct ipam_request *q)
{
	char name[64];
	int r;

	snprintf(name, sizeof(name), "%s#%d", handle, w->serial++);
	r = sim_take(&w->m, sim_host(&w->m, host), name, q);
	if (!r)
		note(w, &w->m.leases[w->m.n_leases - 1]);
	return r;
}

static void set_labels(struct world *w, const char *host, const json_t *labels)
{
	struct object *o = sim_object(KIND_NODE, host);
	struct strmap *m = &o->meta->labels;
	const char *key;
	json_t *v;

	m->v = arena_array(&o->arena, json_object_size(labels), sizeof(*m->v));
	json_object_foreach((json_t *)labels, key, v)
	{
		m->v[m->n].key = arena_strdup(&o->arena, key);
		m->v[m->n++].value = arena_strdup(&o->arena, json_string_value(v));
	}
	sim_put(&w->m, o);
}

static bool judge_places(struct world *w, const json_t *x)
{
	const char *other = text_of(x, "other_pool_than"), *unlike = text_of(x, "not_equal_to");
	const json_t *never = json_object_get(x, "never"), *v;
	struct prefix in;
	size_t k;

	for (size_t i = 0; i < w->n_given; i++) {
		char text[ADDR_TEXT];

		addr_str(&w->given[i], text);
		json_array_foreach(
			never, k,
			v) if (!strcmp(text, json_string_value(v))) return fails(w, "%s was given",
										 text);
		if (text_of(x, "in") && !prefix_parse(text_of(x, "in"), &in) &&
		    !prefix_has(&in, &w->given[i]))
			return fails(w, "%s is not in %s", text, text_of(x, "in"));
		if (other && first_of(w, other) &&
		    pool_of_addr(w, &w->given[i]) == pool_of_addr(w, &first_of(w, other)->addr[0]))
			return fails(w, "%s is of the same pool", text);
		if (unlike && w->n_last && addr_eq(&w->given[i], &w->given[w->n_given]))
			return fails(w, "%s was given again", text);
	}
	return true;
}

static bool judge_assign(struct world *w, const json_t *x, size_t blocks_before, int last)
{
	const json_t *borrowed = json_object_get(x, "borrowed");
	int count = int_of(x, "count", -1);

	if (count >= 0 && (size_t)count != w->n_given)
		return fails(w, "%zu addresses instead of %d (%s)", w->n_given, count, w->m.error);
	if (json_is_true(json_object_get(x, "error")) && !last)
		return fails(w, "no error");
	if (json_is_true(json_object_get(x, "distinct")) && !distinct(w))
		return fails(w, "an address twice");
	if (json_is_true(json_object_get(x, "same_block")) && count_blocks(w) > 1)
		return fails(w, "from %zu blocks", count_blocks(w));
	if (int_of(x, "blocks", -1) >= 0 && count_blocks(w) != (size_t)int_of(x, "blocks", 0))
		return fails(w, "from %zu blocks", count_blocks(w));
	if (json_is_true(json_object_get(x, "new_block")) && sim_blocks(&w->m) != blocks_before + 1)
		return fails(w, "no new block");
	if (borrowed && w->m.n_leases &&
	    w->m.leases[w->m.n_leases - 1].borrowed[0] != json_is_true(borrowed))
		return fails(w, "borrowed: %d", w->m.leases[w->m.n_leases - 1].borrowed[0]);
	return judge_places(w, x);
}

static bool do_auto(struct world *w, const json_t *st)
{
	const json_t *x = json_object_get(st, "expect"), *pools = json_object_get(st, "pools"), *v;
	const char *host = text_of(st, "host"), *names[8], *unlike = text_of(x, "not_equal_to");
	struct ipam_request q = { .pools = { names, 0 } };
	size_t blocks = sim_blocks(&w->m), i;
	struct timespec from, to;
	int r = 0;

	sim_host(&w->m, host);
	if (json_object_get(st, "labels"))
		set_labels(w, host, json_object_get(st, "labels"));
	sim_sync(&w->m);
	json_array_foreach(pools, i, v) names[q.pools.n++] = json_string_value(v);
	/* What was given before stays behind the new list: judge_places() compares with it. */
	w->n_last = unlike ? w->n_given : 0;
	struct ipaddr before = w->n_given ? w->given[0] : (struct ipaddr){ 0 };
	w->n_given = 0;
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (int n = int_of(st, "count", 1); n > 0 && !r; n--)
		r = assign(w, host, text_of(st, "handle"), &q);
	clock_gettime(CLOCK_MONOTONIC, &to);
	if (int_of(x, "seconds_max", 0) && to.tv_sec - from.tv_sec >= int_of(x, "seconds_max", 0))
		return fails(w, "took %ld s", (long)(to.tv_sec - from.tv_sec));
	w->given = realloc(w->given, (w->n_given + 1) * sizeof(*w->given));
	w->given[w->n_given] = before;
	return judge_assign(w, x, blocks, r);
}

static bool do_dual(struct world *w, const json_t *st)
{
	const json_t *x = json_object_get(st, "expect");
	struct ipam_request q = { .families = IPAM_V4 | IPAM_V6 };
	const char *host = text_of(st, "host");
	int v4 = 0, v6 = 0, r;

	sim_host(&w->m, host);
	sim_sync(&w->m);
	w->n_given = 0;
	r = assign(w, host, text_of(st, "handle"), &q);
	for (size_t i = 0; i < w->n_given; i++)
		*(w->given[i].family == AF_INET ? &v4 : &v6) += 1;
	if (json_is_true(json_object_get(x, "error")))
		return r ? true : fails(w, "no error");
	if (r || v4 != int_of(x, "v4", v4) || v6 != int_of(x, "v6", v6))
		return fails(w, "%d IPv4 and %d IPv6: %s", v4, v6, w->m.error);
	return true;
}

/* "$free-in-block-of:b" */
static struct ipaddr free_in_block(struct world *w, const char *host)
{
	size_t n;
	const struct object *const *v = cluster_all(w->m.store, KIND_IPBLOCK, &n);

	for (size_t i = 0; i < n; i++) {
		const struct ipblock *b = v[i]->body;

		for (uint64_t k = 0; !strcmp(b->spec.node, host) && k < 64; k++) {
			struct ipaddr a = addr_add(&b->spec.cidr.addr, k);
			size_t l = 0;

			while (l < w->m.n_leases && !addr_eq(&w->m.leases[l].addr[0], &a))
				l++;
			if (l == w->m.n_leases)
				return a;
		}
	}
	abort();
}

static bool do_assign_ip(struct world *w, const json_t *st)
{
	static const char marker[] = "$free-in-block-of:";
	const char *ip = text_of(st, "ip");
	struct ipaddr a;
	struct ipam_request q = { .at.addrs = { &a, 1 } };
	bool ok = json_is_true(json_object_get(json_object_get(st, "expect"), "ok"));
	int r;

	sim_host(&w->m, text_of(st, "host"));
	sim_sync(&w->m);
	if (!strncmp(ip, marker, strlen(marker)))
		a = free_in_block(w, ip + strlen(marker));
	else if (addr_parse(ip, &a))
		abort();
	w->n_given = 0;
	r = assign(w, text_of(st, "host"), text_of(st, "handle"), &q);
	if (ok != !r)
		return fails(w, "%s: %s", ip, r ? w->m.error : "was given");
	return r || addr_eq(&w->given[0], &a) ? true : fails(w, "another address");
}

/* ---- releasing */

static bool do_release_ips(struct world *w, const json_t *st)
{
	const json_t *x = json_object_get(st, "expect"), *v;
	int released = 0, unallocated = 0;
	size_t i;

	json_array_foreach(json_object_get(st, "index"), i, v)
	{
		const struct ipaddr *a = &w->given[json_integer_value(v)];
		size_t l = 0;

		while (l < w->m.n_leases && !addr_eq(&w->m.leases[l].addr[0], a))
			l++;
		if (l < w->m.n_leases && ipam_find_addr(w->m.hosts[w->m.leases[l].host].ipam, a)) {
			sim_drop(&w->m, l);
			released++;
		} else {
			unallocated++;
		}
		for (size_t h = 0; h < w->m.n_hosts; h++)
			if (ipam_find_addr(w->m.hosts[h].ipam, a))
				return fails(w, "still in use");
	}
	if (released != int_of(x, "released", released) ||
	    unallocated != int_of(x, "unallocated", unallocated))
		return fails(w, "released %d, unallocated %d", released, unallocated);
	return true;
}

static bool do_release_handle(struct world *w, const json_t *st)
{
	const char *handle = text_of(st, "handle");
	bool found = false;

	for (size_t i = 0; i < w->m.n_leases; i++)
		if (of_handle(&w->m.leases[i], handle)) {
			sim_drop(&w->m, i--);
			found = true;
		}
	if (json_object_get(json_object_get(st, "expect"), "error") && found)
		return fails(w, "%s was there", handle);
	sim_settle(&w->m);
	return true;
}

static bool do_release_affinities(struct world *w, const json_t *st)
{
	const json_t *x = json_object_get(st, "expect");
	struct sim_host *h = &w->m.hosts[sim_host(&w->m, text_of(st, "host"))];
	size_t n, left = 0;
	const struct object *const *v;

	ipam_surrender(h->ipam, true);
	sim_settle(&w->m);
	ipam_surrender(h->ipam, false);
	v = cluster_all(w->m.store, KIND_IPBLOCK, &n);
	for (size_t i = 0; i < n; i++)
		left += !strcmp(((const struct ipblock *)v[i]->body)->spec.node, h->name);
	if (json_object_get(x, "error") && !left)
		return fails(w, "all blocks went");
	if (json_object_get(x, "ok") && left)
		return fails(w, "%zu blocks stay", left);
	return true;
}

/* The containers that do not live end without a word, and every part that finds such things looks:
 * once, and where the grace period is over, or nothing is said of it, again after that. */
static bool do_gc(struct world *w, const json_t *st)
{
	const json_t *live = json_object_get(st, "live"), *v;
	const json_t *after = json_object_get(st, "after_grace");

	for (size_t i = w->m.n_leases; live && i-- > 0;) {
		bool lives = false;
		size_t k;

		json_array_foreach(live, k, v) lives =
			lives || of_handle(&w->m.leases[i], json_string_value(v));
		if (!lives)
			sim_vanish(&w->m, i);
	}
	for (int look = 0; look < (json_is_false(after) ? 1 : 2); look++) {
		w->m.now += look * SIM_NODE_GRACE;
		sim_collect(&w->m);
		sim_control(&w->m);
	}
	sim_settle(&w->m);
	return true;
}

static bool do_delete_node(struct world *w, const json_t *st)
{
	sim_node_down(&w->m, sim_host(&w->m, text_of(st, "host")));
	return true;
}

/* ---- many at once, and accidents */

static bool do_step(struct world *w, const json_t *st);

/* The step with "%d" replaced: to be released. */
static json_t *numbered(const json_t *st, int n)
{
	char *text = json_dumps(st, 0), *at, num[16];
	json_t *j;

	snprintf(num, sizeof(num), "%d", n);
	while ((at = strstr(text, "%d"))) {
		size_t len = strlen(num);
		char *longer = malloc(strlen(text) + len);

		memcpy(longer, text, (size_t)(at - text));
		memcpy(longer + (at - text), num, len);
		strcpy(longer + (at - text) + len, at + 2);
		free(text);
		text = longer;
	}
	j = json_loads(text, 0, NULL);
	free(text);
	return j;
}

/* In the agent requests wait beside each other; their order is what differs. Views lag, so that
 * claims collide. */
static bool do_parallel(struct world *w, const json_t *st)
{
	const json_t *x = json_object_get(st, "expect");
	int n = int_of(st, "n", 0);

	for (int i = 0; i < n; i++) {
		json_t *one = numbered(json_object_get(st, "do"), i);

		sim_host(&w->m, text_of(one, "host"));
		json_decref(one);
	}
	sim_sync(&w->m);
	w->m.p_stale = 900;
	for (int i = 0; i < n; i++) {
		json_t *one = numbered(json_object_get(st, "do"), i);
		int count = int_of(one, "count", 1), r = 0;

		while (count-- && !r)
			r = assign(w, text_of(one, "host"), text_of(one, "handle"), NULL);
		json_decref(one);
		if (r && json_is_true(json_object_get(x, "all_ok")))
			return fails(w, "number %d: %s", i, w->m.error);
	}
	w->m.p_stale = 0;
	sim_settle(&w->m);
	return distinct(w) ? true : fails(w, "an address twice");
}

static bool do_race(struct world *w, const json_t *st)
{
	for (int i = 0; i < int_of(st, "rounds", 1); i++) {
		bool first = sim_random(&w->m) % 2;
		size_t n;

		if (!do_step(w, json_object_get(st, first ? "a" : "b")) ||
		    !do_step(w, json_object_get(st, first ? "b" : "a")))
			return false;
		n = in_use(w);
		if (n != 0 && n != 4)
			return fails(w, "%zu in use", n);
		do_release_handle(w, json_object_get(st, "b"));
	}
	return true;
}

/* The node dies after its first write to the store, before it hears of it. */
static bool do_crash(struct world *w, const json_t *st)
{
	const json_t *one = json_object_get(st, "do");
	size_t at = sim_host(&w->m, text_of(one, "host"));
	struct sim_host *h = &w->m.hosts[at];
	struct ipam_request q = { .at = { .network = "net", .container = "x", .ifname = "e" } };
	struct ipam_turn t = { .now = w->m.now, .arena = &w->m.mem, .journal = &h->journal };
	struct ipam_answer out;
	struct object *o;

	sim_sync(&w->m);
	if (ipam_take(h->ipam, &q, &t, &out, NULL) || out.verdict != IPAM_ACTION)
		return fails(w, "no write");
	o = sim_object(KIND_IPBLOCK, out.action.block.meta.name);
	*(struct ipblock *)o->body = out.action.block;
	o->meta->name = arena_strdup(&o->arena, out.action.block.meta.name);
	((struct ipblock *)o->body)->spec.node = h->name;
	((struct ipblock *)o->body)->spec.pool =
		arena_strdup(&o->arena, out.action.block.spec.pool);
	sim_put(&w->m, o);
	sim_crash(&w->m, at);
	return true;
}

static bool do_validate(struct world *w, const json_t *st)
{
	const json_t *x = json_object_get(st, "expect");
	struct object *o = pool_object(st);
	size_t n;
	const struct object *const *v = cluster_all(w->m.store, KIND_IPPOOL, &n);
	struct err e = { .code = 0 };
	int r = validate_object(o, &e);
	bool ok;

	for (size_t i = 0; i < n && !r; i++)
		r = validate_among(o, v[i], &e);
	object_free(o);
	ok = json_is_true(json_object_get(x, "ok")) == !r;
	return ok ? true : fails(w, "%s: %s", text_of(st, "cidr"), r ? e.text : "accepted");
}

/* ---- assertions */

static bool one_owner(struct world *w)
{
	for (size_t i = 0; i < w->m.n_leases; i++)
		for (size_t k = 0; k < i; k++) {
			const struct sim_lease *a = &w->m.leases[i], *b = &w->m.leases[k];

			if (a->host != b->host && !a->borrowed[0] && !b->borrowed[0] &&
			    block_of(w, &a->addr[0]) == block_of(w, &b->addr[0]))
				return fails(w, "a block has two owners");
		}
	return true;
}

static bool do_assert(struct world *w, const json_t *st)
{
	const json_t *any = json_object_get(st, "in_use_any"), *v;
	const char *handle;
	bool hit = !any;
	size_t i;

	if (int_of(st, "in_use", -1) >= 0 && in_use(w) != (size_t)int_of(st, "in_use", 0))
		return fails(w, "%zu in use", in_use(w));
	json_array_foreach(any, i, v) hit = hit || in_use(w) == (size_t)json_integer_value(v);
	if (!hit)
		return fails(w, "%zu in use", in_use(w));
	if (int_of(st, "blocks", -1) >= 0 && sim_blocks(&w->m) != (size_t)int_of(st, "blocks", 0))
		return fails(w, "%zu blocks", sim_blocks(&w->m));
	json_object_foreach((json_t *)json_object_get(st, "by_handle"), handle, any)
	{
		if (count_handle(w, handle) != (size_t)json_integer_value(any))
			return fails(w, "%zu of %s", count_handle(w, handle), handle);
	}
	return one_owner(w);
}

static bool do_set_pool(struct world *w, const json_t *st)
{
	static const char marker[] = "$pool-of:";
	const struct sim_lease *l = first_of(w, text_of(st, "cidr") + strlen(marker));

	if (!l)
		return fails(w, "no such handle");
	pool_of_addr(w, &l->addr[0])->spec.disabled = json_is_true(json_object_get(st, "disabled"));
	w->m.rev++;
	sim_sync(&w->m);
	return true;
}

static bool do_step(struct world *w, const json_t *st)
{
	static const struct {
		const char *op;
		bool (*run)(struct world *w, const json_t *st);
	} ops[] = {
		{ "auto_assign", do_auto },
		{ "auto_assign_dual", do_dual },
		{ "assign_ip", do_assign_ip },
		{ "release_ips", do_release_ips },
		{ "release_handle", do_release_handle },
		{ "release_host_affinities", do_release_affinities },
		{ "set_pool", do_set_pool },
		{ "gc", do_gc },
		{ "delete_node", do_delete_node },
		{ "parallel", do_parallel },
		{ "race", do_race },
		{ "crash_after", do_crash },
		{ "validate_pool", do_validate },
		{ "assert", do_assert },
	};
	const char *op = text_of(st, "op");

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (!strcmp(ops[i].op, op))
			return ops[i].run(w, st);
	return fails(w, "the runner does not know the operation %s", op);
}

static bool run_case(const json_t *c)
{
	struct world w = { .serial = 1 };
	const json_t *st;
	bool ok = true;
	size_t i;

	sim_init(&w.m);
	build(&w, c);
	json_array_foreach(json_object_get(c, "steps"), i, st)
	{
		ok = do_step(&w, st);
		if (!ok) {
			printf("FAIL %s, step %zu (%s): %s\n", text_of(c, "id"), i + 1,
			       text_of(st, "op"), w.error);
			break;
		}
		sim_audit(&w.m);
	}
	sim_fini(&w.m);
	free(w.given);
	return ok;
}

int main(int argc, char **argv)
{
	const char *folder = getenv("FAIRLEAD_SUITES");
	size_t passed = 0, failed = 0, i;
	char path[4096];
	const json_t *c;
	json_t *j;

	snprintf(path, sizeof(path), "%s/ipam/scenarios.json",
		 folder     ? folder
		 : argc > 1 ? argv[1]
			    : ".");
	j = json_load_file(path, 0, NULL);
	if (!j) {
		printf("SKIP: no scenarios: %s\n", path);
		return SKIP;
	}
	json_array_foreach(json_object_get(j, "cases"), i, c)
	{
		bool ok = run_case(c);

		passed += ok;
		failed += !ok;
	}
	json_decref(j);
	printf("%zu passed, %zu failed\n", passed, failed);
	return failed || !passed;
}
