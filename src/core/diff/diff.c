// SPDX-License-Identifier: Apache-2.0
/* diff: sort-merge of what is wanted with what is there; see diff.h. One pass, each object leaves by
 * one verdict. */
#include "core/diff/diff.h"

#include <assert.h>
#include <errno.h>

const char *diff_verdict_name(enum diff_verdict v)
{
	static const char *const names[] = { "seen",   "ignore",  "update",
					     "delete", "missing", "conflict" };

	static_assert(sizeof(names) / sizeof(names[0]) == DIFF_VERDICTS, "a name per verdict");
	return v < DIFF_VERDICTS ? names[v] : "?";
}

struct merge {
	struct diff *d;
	struct kop *gone; /* deletions, in order; turned around at the end */
	size_t ngone;
	diff_ours_fn ours;
	void *arg;
};

static void op(struct diff *d, enum kop_verb verb, const struct kobj *o)
{
	d->ops[d->n++] = (struct kop){ (uint8_t)verb, o };
}

static void only_wanted(struct merge *m, const struct kobj *want)
{
	m->d->counts[DIFF_MISSING]++;
	op(m->d, KOP_ADD, want);
}

static void only_there(struct merge *m, const struct kobj *have)
{
	if (have->foreign || (m->ours && !m->ours(m->arg, have))) {
		m->d->counts[DIFF_IGNORE]++;
		return;
	}
	m->d->counts[DIFF_DELETE]++;
	m->gone[m->ngone++] = (struct kop){ KOP_DELETE, have };
}

static void both(struct merge *m, const struct kobj *want, const struct kobj *have)
{
	struct diff *d = m->d;

	if (have->foreign) {
		d->counts[DIFF_CONFLICT]++;
		d->conflicts[d->nconflicts++] = (struct diff_conflict){ have, want };
	} else if (kobj_same(want, have)) {
		d->counts[DIFF_SEEN]++;
	} else {
		d->counts[DIFF_UPDATE]++;
		op(d, KOP_CHANGE, want);
	}
}

int diff_kobjs(struct kobjs want, struct kobjs have, diff_ours_fn ours, void *arg, struct arena *a,
	       struct diff *out)
{
	size_t i = 0, j = 0;
	struct diff d = { .ops = arena_array(a, want.n + have.n, sizeof(*d.ops)),
			  .conflicts = arena_array(a, want.n < have.n ? want.n : have.n,
						   sizeof(*d.conflicts)) };
	struct merge m = {
		.d = &d, .gone = arena_array(a, have.n, sizeof(*m.gone)), .ours = ours, .arg = arg
	};

	if (!d.ops || !d.conflicts || !m.gone)
		return -ENOMEM;
	while (i < want.n || j < have.n) {
		int c = i == want.n ? 1 : j == have.n ? -1 : kobj_cmp(&want.v[i], &have.v[j]);

		if (c < 0)
			only_wanted(&m, &want.v[i++]);
		else if (c > 0)
			only_there(&m, &have.v[j++]);
		else
			both(&m, &want.v[i++], &have.v[j++]);
	}
	while (m.ngone)
		d.ops[d.n++] = m.gone[--m.ngone];
	*out = d;
	return 0;
}
