/* SPDX-License-Identifier: Apache-2.0 */
/* Services from objects in memory to the kernel by one process: planner, encoder and transport as the
 * agent has them, in its slices, without store, records and loop.
 *
 *   services_load SERVICES ENDPOINTS CHANGES   in a namespace of its own; prints "NAME NANOSECONDS":
 *     load plan put commit   once; `load` is all of it
 *     change add             for each of CHANGES: an endpoint that went and came, a Service that came */
#include "measure.h"
#include "ruleset.h"
#include "services_made.h"

#include "core/nft/services.h"
#include "core/service/service.h"

#include <string.h>
#include <sys/socket.h>

#define SLICE_NS 2000000u /* as agent_service.c */

struct bench {
	struct nfnl *nl;
	struct nft_services *rules;
	struct svc_node node;
	struct arena slice; /* what one commit is made of */
	struct nft_ops ops;
	uint64_t plan, put, commit;
};

static void flush(struct bench *b)
{
	uint64_t begun = now_ns();
	struct err e;

	check(nfnl_commit(b->nl, &b->ops, NULL, &e), &e);
	arena_reset(&b->slice);
	nft_ops_init(&b->ops, &b->slice);
	b->commit += now_ns() - begun;
}

/* `s` NULL: it went. */
static void put(struct bench *b, const char *name, const struct made_service *s)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	struct svc_plan plans[2];
	uint64_t begun = now_ns(), planned;
	struct err e;

	for (unsigned f = 0; s && f < 2; f++)
		check(svc_plan(s->service, (const struct endpoint_slice *const *)s->slices,
			       s->n_slices, &b->node, families[f], &b->slice, &plans[f], &e),
		      &e);
	planned = now_ns();
	check(nft_services_put(b->rules, MADE_NAMESPACE, name, plans, s ? 2 : 0, &b->ops, &e), &e);
	b->plan += planned - begun;
	b->put += now_ns() - planned;
}

static void load(struct bench *b, const struct made_service *v, uint32_t n)
{
	uint64_t begun = now_ns(), until = begun + SLICE_NS;

	for (uint32_t i = 0; i < n; i++) {
		put(b, v[i].service->meta.name, &v[i]);
		if (now_ns() < until && i + 1 < n)
			continue;
		flush(b);
		until = now_ns() + SLICE_NS;
	}
	printf("load %llu\nplan %llu\nput %llu\ncommit %llu\n",
	       (unsigned long long)(now_ns() - begun), (unsigned long long)b->plan,
	       (unsigned long long)b->put, (unsigned long long)b->commit);
}

static void timed(struct bench *b, const char *what, const struct made_service *s)
{
	uint64_t begun = now_ns();

	put(b, s->service->meta.name, s);
	flush(b);
	printf("%s %llu\n", what, (unsigned long long)(now_ns() - begun));
}

int main(int argc, char **argv)
{
	uint32_t n = argc == 4 ? (uint32_t)atoi(argv[1]) : 0, m = n ? (uint32_t)atoi(argv[2]) : 0;
	struct bench b = { .node = { .name = "here" } };
	struct made_service *v = calloc(n + 1, sizeof(*v)), less;
	struct arena objects;
	struct err e;

	if (!n || !m || !v) {
		fprintf(stderr, "usage: services_load SERVICES ENDPOINTS CHANGES\n");
		return 2;
	}
	arena_init(&objects, 0);
	for (uint32_t i = 0; i <= n; i++)
		made_service(&objects, i, m, 0, m, &v[i]);
	b.rules = nft_services_new(&b.node);
	check(nfnl_open(&b.nl, &e), &e);
	load_frame(b.nl, &(struct nft_input){ .services = b.rules });
	arena_init(&b.slice, 0);
	nft_ops_init(&b.ops, &b.slice);
	load(&b, v, n);
	for (int i = 0; i < atoi(argv[3]); i++) {
		uint32_t at = (uint32_t)i * 7919 % n;

		made_service(&objects, at, m, 1, m - 1, &less);
		timed(&b, "change", &less);
		timed(&b, "change", &v[at]);
		timed(&b, "add", &v[n]);
		put(&b, v[n].service->meta.name, NULL);
		flush(&b);
	}
	nfnl_close(b.nl);
	nft_services_free(b.rules);
	arena_fini(&b.slice);
	arena_fini(&objects);
	free(v);
	return 0;
}
