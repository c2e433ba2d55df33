// SPDX-License-Identifier: Apache-2.0
/* condition: see condition.h. */
#include "core/service/condition.h"
#include "base/text.h"

#include <errno.h>
#include <string.h>

static const char *reason_of(int code)
{
	return code == -EEXIST ? "Taken" : code == -ENOSPC ? "Exhausted" : "NoRange";
}

static bool is_ours(const struct pod_condition *c)
{
	return c->type && !strcmp(c->type, CONDITION_ALLOCATED);
}

static bool same(const struct pod_condition *a, const struct pod_condition *b)
{
	return text_eq(a->status, b->status) && text_eq(a->reason, b->reason) &&
	       text_eq(a->message, b->message);
}

int svc_condition(const struct service *s, const struct err *refused, struct arena *mem,
		  struct service *out, bool *changed, struct err *e)
{
	struct pod_condition want = { .type = CONDITION_ALLOCATED, .status = "False" };
	const struct pod_condition *was = NULL;
	uint32_t n = 0, all = s->status.conditions.n;
	struct pod_condition *v = arena_array(mem, all + 1, sizeof(*v));

	if (!v)
		return err_set(e, -ENOMEM, "no memory");
	for (uint32_t i = 0; i < all; i++)
		if (is_ours(&s->status.conditions.v[i]))
			was = &s->status.conditions.v[i];
		else
			v[n++] = s->status.conditions.v[i];
	if (refused) {
		want.reason = reason_of(refused->code);
		want.message = arena_strdup(mem, refused->text);
		if (!want.message)
			return err_set(e, -ENOMEM, "no memory");
		v[n++] = want;
	}
	*out = *s;
	out->status.conditions.v = v;
	out->status.conditions.n = n;
	*changed = refused ? !was || !same(was, &want) : was != NULL;
	return 0;
}
