// SPDX-License-Identifier: Apache-2.0
/* Verdicts of core/policy for people and for programs, the same from `why` and `policy test`. */
#include "cmd/policy.h"

static const char *exempt_words(const struct policy_half *h, const char *who, struct arena *a)
{
	switch ((enum policy_exempt)h->exempt) {
	case POLICY_ITSELF:
		return "a pod may always reach itself";
	case POLICY_OWN_NODE:
		return "a node and its own pods may always reach each other";
	case POLICY_NO_POD:
	case POLICY_JUDGED:
		break;
	}
	return arena_printf(a, "%s is no pod that a policy can select", who);
}

const char *policy_half_words(const struct policy_half *h, enum policy_type type, const char *who,
			      struct arena *a)
{
	char rule[POLICY_RULE_TEXT];

	switch ((enum policy_state)h->state) {
	case POLICY_EXEMPT:
		return exempt_words(h, who, a);
	case POLICY_OPEN:
		return arena_printf(a, "no policy isolates %s for %s", who,
				    name_of(&policy_way_names, type));
	case POLICY_ALLOWED:
		return arena_printf(a, "%s/%s %s", h->by->meta.namespace, h->by->meta.name,
				    policy_rule_text(type, h->rule, h->peer, rule));
	case POLICY_DENIED:
		break;
	}
	return policy_denial_text(h, a);
}

static void append_policy(json_t *list, const struct network_policy *p, const char *rule,
			  enum policy_type type)
{
	json_t *one = json_pack("{s:s, s:s, s:s, s:s?, s:s}", "kind", "NetworkPolicy", "ns",
				p->meta.namespace, "name", p->meta.name, "rule", rule, "direction",
				name_of(&policy_way_names, type)),
	       *there;
	size_t i;

	json_array_foreach(list, i, there) if (json_equal(there, one)) break;
	if (i == json_array_size(list))
		json_array_append(list, one);
	json_decref(one);
}

void policy_by_json(json_t *list, const struct policy_half *h, enum policy_type type)
{
	char rule[POLICY_RULE_TEXT];

	if (h->state == POLICY_ALLOWED)
		append_policy(list, h->by, policy_rule_text(type, h->rule, h->peer, rule), type);
	for (uint32_t i = 0; h->state == POLICY_DENIED && i < h->isolating.n; i++)
		append_policy(list, h->isolating.v[i], NULL, type);
}

/* None where the half is not denied, or memory is short. */
static struct policy_misses misses_of(const struct policy_said *s, struct arena *a)
{
	struct policy_misses m = { .list = { NULL, 0 } };

	if (s->half->state == POLICY_DENIED && !s->half->closed)
		policy_explain(s->cluster, s->flow, s->type, s->half, a, &m, NULL);
	return m;
}

/* "ingress[0].from[1]", or NULL of a policy without rules. */
static const char *miss_rule(const struct policy_miss *x, enum policy_type type,
			     char buf[POLICY_RULE_TEXT])
{
	return x->rule < 0 ? NULL : policy_rule_text(type, (uint32_t)x->rule, x->peer, buf);
}

void policy_print_half(const struct policy_said *s, const char *indent, struct arena *a)
{
	struct policy_misses m = misses_of(s, a);

	printf("%s%-9s %s\n", indent, name_of(&policy_way_names, s->type),
	       policy_half_words(s->half, s->type, s->who, a));
	for (uint32_t i = 0; i < m.list.n; i++) {
		const struct policy_miss *x = &m.list.v[i];
		char buf[POLICY_RULE_TEXT];
		const char *rule = miss_rule(x, s->type, buf);

		printf("%s%-9s   %s/%s%s%s: %s\n", indent, "", x->policy->meta.namespace,
		       x->policy->meta.name, rule ? " " : "", rule ? rule : "", x->why);
	}
}

json_t *policy_half_json(const struct policy_said *s, struct arena *a)
{
	struct policy_misses m = misses_of(s, a);
	json_t *misses = json_array();

	for (uint32_t i = 0; i < m.list.n; i++) {
		const struct policy_miss *x = &m.list.v[i];
		char buf[POLICY_RULE_TEXT];

		json_array_append_new(misses, json_pack("{s:s, s:s, s:s?, s:s}", "ns",
							x->policy->meta.namespace, "name",
							x->policy->meta.name, "rule",
							miss_rule(x, s->type, buf), "why", x->why));
	}
	return json_pack("{s:s, s:s, s:o}", "state", name_of(&policy_state_names, s->half->state),
			 "reason", policy_half_words(s->half, s->type, s->who, a), "misses",
			 misses);
}
