// SPDX-License-Identifier: Apache-2.0
/* keep: see keep.h. Trees, not structs: what we do not know of is kept as it is written. */
#include "store/keep.h"

#include <errno.h>
#include <string.h>

/* ---- Service */

static bool is(const json_t *o, const char *key, const char *value, bool by_default)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? !strcmp(s, value) : by_default;
}

static void first_only(json_t *list)
{
	while (json_array_size(list) > 1)
		json_array_remove(list, 1);
}

/* Takes out of `was`, a spec, what `now` has no use for. */
static void forget_useless(json_t *was, const json_t *now)
{
	static const char *const of_addresses[] = { "clusterIP", "clusterIPs", "ipFamilies",
						    "ipFamilyPolicy" };

	for (size_t i = 0; i < sizeof(of_addresses) / sizeof(of_addresses[0]); i++)
		if (is(now, "type", "ExternalName", false))
			json_object_del(was, of_addresses[i]);
	if (is(now, "ipFamilyPolicy", "SingleStack", false)) {
		first_only(json_object_get(was, "clusterIPs"));
		first_only(json_object_get(was, "ipFamilies"));
	}
	if (!is(now, "type", "LoadBalancer", false) ||
	    !is(now, "externalTrafficPolicy", "Local", false))
		json_object_del(was, "healthCheckNodePort");
}

static bool same_protocol(const json_t *a, const json_t *b)
{
	const char *p = json_string_value(json_object_get(a, "protocol"));

	return is(b, "protocol", p ? p : "TCP", !p || !strcmp(p, "TCP"));
}

static bool same_number(const json_t *a, const json_t *b, const char *key)
{
	return json_integer_value(json_object_get(a, key)) ==
	       json_integer_value(json_object_get(b, key));
}

/* The port of `list` that is like `p` in this number; NULL: none. */
static const json_t *find_port(const json_t *list, const json_t *p, const char *key)
{
	size_t n = json_array_size(list);

	for (size_t i = 0; i < n; i++) {
		const json_t *other = json_array_get(list, i);

		if (same_protocol(other, p) && same_number(other, p, key))
			return other;
	}
	return NULL;
}

/* One that the manifest gives to another of its ports stays with that. */
static int keep_node_port(const json_t *all, json_t *p, const json_t *was)
{
	const json_t *before = find_port(was, p, "port");
	json_t *kept = json_object_get(before, "nodePort");

	if (json_integer_value(json_object_get(p, "nodePort")) || !json_integer_value(kept) ||
	    find_port(all, before, "nodePort"))
		return 0;
	return json_object_set(p, "nodePort", kept);
}

static int keep_node_ports(json_t *now, const json_t *was)
{
	json_t *all = json_object_get(now, "ports");
	size_t n = json_array_size(all);
	bool balanced = is(now, "type", "LoadBalancer", false);
	int rc = 0;

	if (!is(now, "type", "NodePort", false) &&
	    (!balanced || json_is_false(json_object_get(now, "allocateLoadBalancerNodePorts"))))
		return 0;
	for (size_t i = 0; i < n; i++)
		rc |= keep_node_port(all, json_array_get(all, i), json_object_get(was, "ports"));
	return rc;
}

/* ---- any kind */

static int keep_marked(const struct schema *s, json_t *now, const json_t *was)
{
	int rc = 0;

	for (uint32_t i = 0; json_is_object(now) && i < s->n; i++) {
		const struct field *f = &s->fields[i];
		json_t *kept = json_object_get(was, f->key);

		if (f->flags & FF_KEEP && kept && !json_object_get(now, f->key))
			rc |= json_object_set(now, f->key, kept);
	}
	return rc;
}

static int keep_in(const struct kind *k, const struct field *f, json_t *now, const json_t *was)
{
	json_t *useful;
	int rc;

	if (k->id != KIND_SERVICE || strcmp(f->key, "spec") != 0 || !json_is_object(now))
		return keep_marked(f->sub, now, was);
	useful = json_deep_copy(was);
	if (!useful)
		return -1;
	forget_useless(useful, now);
	rc = keep_marked(f->sub, now, useful) | keep_node_ports(now, useful);
	json_decref(useful);
	return rc;
}

int keep_daemons_fields(const struct kind *k, json_t *now, const json_t *old)
{
	int rc = 0;

	for (uint32_t i = 0; i < k->schema->n; i++) {
		const struct field *f = &k->schema->fields[i];
		json_t *was = json_object_get(old, f->key), *part = json_object_get(now, f->key);

		if (!was || f->type != F_OBJ || f->flags & FF_LIST)
			continue;
		if (f->flags & FF_STATUS)
			rc |= json_is_object(part) ? json_object_update_missing(part, was)
						   : json_object_set(now, f->key, was);
		else
			rc |= keep_in(k, f, part, was);
	}
	return rc ? -ENOMEM : 0;
}
