/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the independent cases about cluster DNS (suites/dns/public, spec and coredns) on core/dns: a table is filled with a world's objects under the
 * case's settings, and the question is asked as octets. Compared as the suite says: rcode; the answer as a set; an SOA in negative answers.
 *
 *     dns_suite SUITES-FOLDER      exit 0: none failed; 77: there is no such folder */
#include "dns_world.h"
#include "store/json.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define SKIP    77
#define REGION  (4UL << 20)
#define RECORDS 64

/* Cases whose world is not the one that they were written for. */
static const struct {
	const char *id, *why;
} not_applicable[] = {
	{ "core-066", "its world has no namespace svcns; upstream's stub has every namespace" },
};

static const struct {
	const char *name;
	uint16_t type;
} types[] = {
	{ "A", DNS_A },     { "AAAA", DNS_AAAA },   { "NS", DNS_NS },   { "CNAME", DNS_CNAME },
	{ "SOA", DNS_SOA }, { "PTR", DNS_PTR },     { "SRV", DNS_SRV }, { "TXT", DNS_TXT },
	{ "MX", DNS_MX },   { "HINFO", DNS_HINFO }, { "ANY", DNS_ANY },
};

static const char *text_of(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s ? s : "";
}

static uint16_t type_of(const char *name)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (!strcmp(types[i].name, name))
			return types[i].type;
	return (uint16_t)strtoul(name, NULL, 10);
}

static const char *rcode_text(int rcode)
{
	static const char *const names[] = { "NOERROR",  "FORMERR", "SERVFAIL",
					     "NXDOMAIN", "NOTIMP",  "REFUSED" };

	return rcode >= 0 && rcode < 6 ? names[rcode] : "not ours";
}

/* ---- a case's world */

static void set(struct dns_settings *s, const json_t *c)
{
	const char *pods = text_of(c, "podMode");
	const json_t *v;
	struct ipaddr ip;
	size_t i;

	dns_settings_init(s);
	json_array_foreach(json_object_get(c, "zones"), i, v)
		dns_settings_zone(s, json_string_value(v), false, NULL);
	json_array_foreach(json_object_get(c, "externalZones"), i, v)
		dns_settings_zone(s, json_string_value(v), true, NULL);
	json_array_foreach(json_object_get(c, "namespaces"), i, v)
		dns_settings_namespace(s, json_string_value(v), NULL);
	json_array_foreach(json_object_get(c, "localIPs"), i,
			   v) if (!addr_parse(json_string_value(v), &ip))
		dns_settings_local(s, &ip, NULL);
	s->pods = !strcmp(pods, "insecure")   ? DNS_PODS_INSECURE
		  : !strcmp(pods, "verified") ? DNS_PODS_VERIFIED
					      : DNS_PODS_DISABLED;
	s->zonal = json_is_true(json_object_get(c, "zonal"));
	s->ignore_empty = json_is_true(json_object_get(c, "ignoreEmptyService"));
	s->external_headless = json_is_true(json_object_get(c, "headless"));
}

static bool fill(struct dns_world *w, const json_t *objects, struct object **held, size_t *n)
{
	struct err e = { 0 };
	const json_t *j;
	size_t i;
	int r = 0;

	json_array_foreach(objects, i, j)
	{
		struct object *o = object_from_json(j, &e);

		if (o) {
			held[(*n)++] = o;
			r = dns_world_put(w, o, true, &e);
		}
		if (!o || r) {
			printf("FAIL object %zu: %s\n", i, e.text);
			return false;
		}
	}
	return dns_zone_commit(w->zone, UINT_MAX, &e) == 0;
}

/* ---- judging */

static bool srv_same(const char *want, const char *got)
{
	char w[4][256], g[4][256];

	if (sscanf(want, "%255s %255s %255s %255s", w[0], w[1], w[2], w[3]) != 4 ||
	    sscanf(got, "%255s %255s %255s %255s", g[0], g[1], g[2], g[3]) != 4)
		return false;
	/* "@" and an address: any name of the endpoint that has it. */
	if (w[3][0] == '@') {
		const char *tail = strstr(w[3], ".");

		for (int i = 0; tail && i < 4; i++)
			tail = strchr(tail + 1, '.');
		if (!tail || strlen(g[3]) < strlen(tail) ||
		    strcasecmp(g[3] + strlen(g[3]) - strlen(tail), tail) != 0)
			return false;
	} else if (strcasecmp(w[3], g[3]) != 0) {
		return false;
	}
	return !strcmp(w[2], g[2]) && (w[0][0] == '*' || !strcmp(w[0], g[0])) &&
	       (w[1][0] == '*' || !strcmp(w[1], g[1]));
}

static bool same(const json_t *want, const struct dns_world_record *got)
{
	const char *data = text_of(want, "rdata");
	char quoted[300];

	if (strcasecmp(text_of(want, "name"), got->owner) != 0 ||
	    type_of(text_of(want, "type")) != got->type)
		return false;
	if (got->type == DNS_SRV)
		return srv_same(data, got->data);
	if (got->type == DNS_SOA)
		return true;
	if (got->type == DNS_TXT && data[0] != '"') {
		snprintf(quoted, sizeof(quoted), "\"%s\"", data);
		data = quoted;
	}
	return !strcasecmp(data, got->data);
}

static bool listed(const json_t *list, const char *text)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v) if (!strcmp(json_string_value(v), text)) return true;
	return false;
}

static const char *judge(const json_t *c, int rcode, const struct dns_world_record *got, size_t n)
{
	const json_t *answer = json_object_get(c, "answer"), *a;
	const char *says = rcode_text(rcode);
	bool taken[RECORDS] = { false }, soa = false, need = false;
	size_t i, left = 0;

	if (strcmp(says, text_of(c, "rcode")) != 0 &&
	    !listed(json_object_get(c, "rcode_any"), says))
		return says;
	for (size_t k = 0; k < n; k++) {
		left += got[k].section == DNS_ANSWER;
		soa |= got[k].section == DNS_AUTHORITY && got[k].type == DNS_SOA;
	}
	json_array_foreach(answer, i, a)
	{
		size_t k = 0;

		while (k < n && (taken[k] || got[k].section != DNS_ANSWER || !same(a, &got[k])))
			k++;
		if (k == n)
			return "a record is missing";
		taken[k] = true;
		left--;
	}
	if (left && !json_is_true(json_object_get(c, "answer_may_continue")))
		return "there is a record too many";
	json_array_foreach(json_object_get(c, "authority"), i, a) need |=
		!strcmp(text_of(a, "type"), "SOA");
	need = json_is_true(json_object_get(c, "soa")) || (need && !json_array_size(answer));
	return need && !soa ? "there is no SOA" : NULL;
}

static bool run(const json_t *objects, const json_t *c)
{
	static struct dns_world w;
	static struct dns_world_record got[RECORDS];
	struct object **held = calloc(json_array_size(objects) + 1, sizeof(*held));
	const char *bad = "its world cannot be made";
	size_t n_held = 0, n = 0;
	int rcode = -1;

	memset(&w, 0, sizeof(w));
	set(&w.settings, json_object_get(c, "config"));
	dns_world_open(&w, REGION);
	if (held && fill(&w, objects, held, &n_held)) {
		if (!json_is_false(json_object_get(json_object_get(c, "config"), "apiSynced")))
			dns_zone_synced(w.zone, 1499347823);
		n = dns_world_ask(&w, text_of(c, "qname"), type_of(text_of(c, "qtype")), &rcode,
				  got, RECORDS);
		bad = judge(c, rcode, got, n);
	}
	if (bad) {
		printf("FAIL %s (%s) %s %s: %s: %s\n", text_of(c, "id"), text_of(c, "portability"),
		       text_of(c, "qname"), text_of(c, "qtype"), rcode_text(rcode), bad);
		for (size_t i = 0; i < n; i++)
			printf("     %d %s %u %u %s\n", got[i].section, got[i].owner, got[i].ttl,
			       got[i].type, got[i].data);
	}
	dns_world_close(&w);
	for (size_t i = 0; i < n_held; i++)
		object_free(held[i]);
	free(held);
	return !bad;
}

static const char *why_not(const json_t *c)
{
	for (size_t i = 0; i < sizeof(not_applicable) / sizeof(not_applicable[0]); i++)
		if (!strcmp(not_applicable[i].id, text_of(c, "id")))
			return not_applicable[i].why;
	return NULL;
}

int main(int argc, char **argv)
{
	static const char *const files[] = { "spec.json", "coredns.json" };
	unsigned ok = 0, failed = 0, not = 0;

	if (argc != 2 || access(argv[1], R_OK)) {
		printf("skipped: no suites at %s\n", argc == 2 ? argv[1] : "?");
		return SKIP;
	}
	for (size_t f = 0; f < sizeof(files) / sizeof(files[0]); f++) {
		char path[4096];
		json_error_t je;
		const json_t *c;
		json_t *doc;
		size_t i;

		snprintf(path, sizeof(path), "%s/dns/public/%s", argv[1], files[f]);
		doc = json_load_file(path, 0, &je);
		if (!doc) {
			printf("FAIL %s: %s\n", path, je.text);
			return 1;
		}
		json_array_foreach(json_object_get(doc, "cases"), i, c)
		{
			const char *why = why_not(c);

			if (why)
				printf("n/a  %s: %s\n", text_of(c, "id"), why);
			not += why != NULL;
			if (why)
				continue;
			if (run(json_object_get(json_object_get(doc, "worlds"),
						text_of(c, "world")),
				c))
				ok++;
			else
				failed++;
		}
		json_decref(doc);
	}
	printf("%u passed, %u failed, %u not applicable\n", ok, failed, not );
	return failed != 0;
}
