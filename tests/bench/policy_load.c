/* SPDX-License-Identifier: Apache-2.0 */
/* Policies from objects in memory to the kernel by one process: index, encoder and transport as the
 * agent has them, without store, records and loop.
 *
 *   policy_load NODE CHANGES PLAIN CHANGED   in a namespace of its own. PLAIN is a file of Namespaces,
 *       Pods and NetworkPolicies, CHANGED one of the same Pods with other labels; those of NODE are
 *       wired here. Prints "NAME NANOSECONDS":
 *         load index put commit   once; `load` is all of it
 *         change                  a Pod that has other labels, or its old ones again; of Pods that
 *                                 this node has to know, until there are CHANGES */
#include "measure.h"
#include "ruleset.h"

#include "core/nft/policies.h"
#include "store/manifest.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

struct bench {
	struct nfnl *nl;
	struct policy_index *index;
	struct nft_policies *rules;
	struct cluster *plain, *changed;
};

static struct cluster *read_objects(const char *path)
{
	struct cluster *c = cluster_new();
	struct manifest m = { .n_items = 0 };
	struct err e;

	check(manifest_load(&m, path, &e), &e);
	if (!c || m.n_errors)
		check(err_set(&e, -EINVAL, "%s", c ? m.errors[0] : "no memory"), &e);
	manifest_into_cluster(&m, c);
	manifest_fini(&m);
	return c;
}

/* Nanoseconds of building the step, and of sending it. False: there was nothing to send. */
static bool flush(struct bench *b, uint64_t *put, uint64_t *commit)
{
	uint64_t begun = now_ns();
	struct nft_ops ops;
	struct arena a;
	struct err e;
	bool any;

	arena_init(&a, 0);
	nft_ops_init(&ops, &a);
	check(nft_policies_put(b->rules, &ops, &e), &e);
	*put = now_ns() - begun;
	begun = now_ns();
	check(nfnl_commit(b->nl, &ops, NULL, &e), &e);
	*commit = now_ns() - begun;
	any = ops.n;
	arena_fini(&a);
	return any;
}

/* 10.100.x.y and fd00:100::x, as they come. */
static void wire(struct bench *b, const struct pod *p, uint32_t i)
{
	struct ipaddr addrs[2];
	char text[2][ADDR_TEXT];
	struct err e;

	snprintf(text[0], sizeof(text[0]), "10.100.%u.%u", i / 250, i % 250 + 1);
	snprintf(text[1], sizeof(text[1]), "fd00:100::%x", i + 1);
	for (int f = 0; f < 2; f++)
		addr_parse(text[f], &addrs[f]);
	check(policy_index_wired(b->index, p->meta.namespace, p->meta.name, addrs, 2, &e), &e);
}

static void load(struct bench *b, const char *node)
{
	static const uint8_t kinds[] = { KIND_NAMESPACE, KIND_POD, KIND_NETWORKPOLICY };
	uint64_t begun = now_ns(), index, put, commit;
	uint32_t wired = 0;
	struct err e;

	for (size_t k = 0; k < sizeof(kinds); k++) {
		size_t n;
		const struct object *const *v = cluster_all(b->plain, kinds[k], &n);

		for (size_t i = 0; i < n; i++) {
			const struct pod *p = v[i]->body;

			check(policy_index_changed(b->index, NULL, v[i], &e), &e);
			if (kinds[k] == KIND_POD && !strcmp(p->spec.nodeName, node))
				wire(b, p, wired++);
		}
	}
	index = now_ns() - begun;
	flush(b, &put, &commit);
	printf("load %llu\nindex %llu\nput %llu\ncommit %llu\n",
	       (unsigned long long)(now_ns() - begun), (unsigned long long)index,
	       (unsigned long long)put, (unsigned long long)commit);
}

static bool change(struct bench *b, const struct object *old, const struct object *now)
{
	uint64_t begun = now_ns(), put, commit;
	struct err e;

	check(policy_index_changed(b->index, old, now, &e), &e);
	if (!flush(b, &put, &commit))
		return false;
	printf("change %llu\n", (unsigned long long)(now_ns() - begun));
	return true;
}

static void change_some(struct bench *b, int count)
{
	size_t n, m, at = 0;
	const struct object *const *plain = cluster_all(b->plain, KIND_POD, &n);
	const struct object *const *changed = cluster_all(b->changed, KIND_POD, &m);

	for (size_t i = 0; n == m && i < n && count > 0; i++) {
		at = (at + 7919) % n;
		count -= change(b, plain[at], changed[at]);
		count -= change(b, changed[at], plain[at]);
	}
}

int main(int argc, char **argv)
{
	struct bench b = { .nl = NULL };
	struct err e;

	if (argc != 5) {
		fprintf(stderr, "usage: policy_load NODE CHANGES PLAIN CHANGED\n");
		return 2;
	}
	b.plain = read_objects(argv[3]);
	b.changed = read_objects(argv[4]);
	b.index = policy_index_new();
	b.rules = b.index ? nft_policies_new(b.index) : NULL;
	if (!b.rules)
		check(err_set(&e, -EINVAL, "no memory"), &e);
	check(nfnl_open(&b.nl, &e), &e);
	load_frame(b.nl, &(struct nft_input){ .policies = b.rules });
	load(&b, argv[1]);
	change_some(&b, atoi(argv[2]));
	nfnl_close(b.nl);
	nft_policies_free(b.rules);
	policy_index_free(b.index);
	cluster_free(b.changed);
	cluster_free(b.plain);
	return 0;
}
