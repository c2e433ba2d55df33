// SPDX-License-Identifier: Apache-2.0
/* What policies say, on paper. Endpoints that are judged alike are said once. */
#include "cmd/out.h"
#include "cmd/policy.h"
#include "cmd/why.h"

#include <string.h>

static struct policy_said said_of(const struct why *w, const struct why_target *t,
				  enum policy_type type)
{
	bool in = type == POLICY_INGRESS;

	return (struct policy_said){ w->objects.cluster, in ? &t->arrives : &t->sent,
				     in ? &t->ingress : &t->egress, type,
				     in ? t->name : w->from.text };
}

/* The half that decides: the first that denies, else the one that a rule allows. */
static const struct policy_half *deciding(const struct why_target *t, enum policy_type *type)
{
	bool in = t->allowed
			  ? t->ingress.state == POLICY_ALLOWED || t->egress.state != POLICY_ALLOWED
			  : t->egress.state != POLICY_DENIED;

	*type = in ? POLICY_INGRESS : POLICY_EGRESS;
	return in ? &t->ingress : &t->egress;
}

static const struct why_target *first_denied(const struct why_policy *p)
{
	for (uint32_t i = 0; i < p->targets.n; i++)
		if (!p->targets.v[i].allowed)
			return &p->targets.v[i];
	return p->targets.v;
}

static const char *reason_text(const struct why *w, const struct why_policy *p, struct arena *a)
{
	const struct why_target *t = first_denied(p);
	enum policy_type type;
	const struct policy_half *h = deciding(t, &type);
	const char *words =
		policy_half_words(h, type, type == POLICY_INGRESS ? t->name : w->from.text, a);

	if (p->n_denied && p->n_denied < p->targets.n)
		return arena_printf(a, "on %u of %u ways: %s", p->n_denied, p->targets.n, words);
	return words;
}

/* ---- JSON */

static json_t *by_json(const struct svc_verdict *v, const struct why_policy *p)
{
	json_t *by = json_array();

	if (!p->targets.n && v->plan)
		json_array_append_new(by, json_pack("{s:s, s:s?, s:s, s:n, s:n}", "kind", "Service",
						    "ns", v->plan->ns, "name", v->plan->name,
						    "rule", "direction"));
	for (uint32_t i = 0; i < p->targets.n; i++) {
		const struct why_target *t = &p->targets.v[i];

		/* Where some are denied, those who deny. */
		if (!p->n_denied || t->egress.state == POLICY_DENIED)
			policy_by_json(by, &t->egress, POLICY_EGRESS);
		if (!p->n_denied || t->ingress.state == POLICY_DENIED)
			policy_by_json(by, &t->ingress, POLICY_INGRESS);
	}
	return by;
}

static json_t *target_json(const struct why *w, const struct why_target *t, struct arena *a)
{
	struct policy_said egress = said_of(w, t, POLICY_EGRESS);
	struct policy_said ingress = said_of(w, t, POLICY_INGRESS);
	const char *pod = t->pod ? t->name : NULL;

	return json_pack("{s:o, s:o, s:s?, s:s?, s:o, s:s?, s:b, s:o, s:o}", "ip",
			 out_address_json(&t->ip), "port", out_port_json(t->port), "pod", pod,
			 "dns", t->dns ? t->name : NULL, "source",
			 out_address_json(&t->arrives.src), "source_because", t->source_because,
			 "allowed", t->allowed, "egress", policy_half_json(&egress, a), "ingress",
			 policy_half_json(&ingress, a));
}

void why_policy_json(const struct why *w, const struct svc_verdict *v, const struct why_policy *p,
		     json_t *onto, struct arena *a)
{
	json_t *targets = json_array();

	for (uint32_t i = 0; i < p->targets.n; i++)
		json_array_append_new(targets, target_json(w, &p->targets.v[i], a));
	json_object_set_new(onto, "allowed", json_boolean(p->targets.n && !p->n_denied));
	json_object_set_new(onto, "partly",
			    json_boolean(p->n_denied && p->n_denied < p->targets.n));
	json_object_set_new(onto, "reason",
			    json_string(p->targets.n ? reason_text(w, p, a) : v->reason));
	json_object_set_new(onto, "by", by_json(v, p));
	json_object_set_new(onto, "policy", targets);
}

/* ---- text */

static bool is_half_alike(const struct policy_half *a, const struct policy_half *b)
{
	return a->state == b->state && a->exempt == b->exempt && a->by == b->by &&
	       a->closed == b->closed && a->rule == b->rule && a->peer == b->peer &&
	       a->isolating.n == b->isolating.n &&
	       (!a->isolating.n ||
		!memcmp(a->isolating.v, b->isolating.v, a->isolating.n * sizeof(*a->isolating.v)));
}

static bool is_alike(const struct why_target *a, const struct why_target *b)
{
	return addr_eq(&a->arrives.src, &b->arrives.src) &&
	       !a->source_because == !b->source_because && is_half_alike(&a->egress, &b->egress) &&
	       is_half_alike(&a->ingress, &b->ingress);
}

/* As whom policies take it. */
static void print_dns(const struct policy_answerer *dns, struct arena *a)
{
	const struct meta *m = &dns->pods.v[0]->meta;
	const struct label_selector its = { .matchLabels = dns->stand_in->meta.labels };

	printf("  %-9s the node's own, ", "DNS");
	if (dns->pods.v[0] == dns->stand_in)
		printf("to policies a pod of %s with %s\n", m->namespace, selector_text(&its, a));
	else if (dns->pods.n == 1)
		printf("to policies %s/%s\n", m->namespace, m->name);
	else
		printf("to policies each of %u pods, as %s/%s\n", dns->pods.n, m->namespace,
		       m->name);
}

static void print_target(const struct why *w, const struct why_target *t, uint32_t more,
			 struct arena *a)
{
	struct policy_said egress = said_of(w, t, POLICY_EGRESS);
	struct policy_said ingress = said_of(w, t, POLICY_INGRESS);
	const char *address = why_address(&t->ip, t->port, a);
	char source[ADDR_TEXT];

	printf("\n%-9s to ", t->allowed ? "ALLOWED" : "DENIED");
	if (t->pod || t->dns)
		printf("%s (%s)", t->name, address);
	else
		fputs(address, stdout);
	if (more)
		printf(" and %u more", more);
	putchar('\n');
	if (t->dns)
		print_dns(t->dns, a);
	if (t->source_because)
		printf("  %-9s %s, not %s: %s\n", "arrives", addr_str(&t->arrives.src, source),
		       w->from.text, t->source_because);
	policy_print_half(&egress, "  ", a);
	policy_print_half(&ingress, "  ", a);
}

void why_policy_print(const struct why *w, const struct why_policy *p, struct arena *a)
{
	bool *said = arena_array(a, p->targets.n, sizeof(*said));

	for (uint32_t i = 0; said && i < p->targets.n; i++) {
		const struct why_target *t = &p->targets.v[i];
		uint32_t more = 0;

		if (said[i])
			continue;
		for (uint32_t k = i + 1; k < p->targets.n; k++)
			if (!said[k] && is_alike(t, &p->targets.v[k])) {
				said[k] = true;
				more++;
			}
		print_target(w, t, more, a);
	}
}
