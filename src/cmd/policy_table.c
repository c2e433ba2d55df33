// SPDX-License-Identifier: Apache-2.0
/* Reading expectations: see policy_table.h. Strict, as a key that is misspelt would test nothing. */
#include "cmd/policy_table.h"

#include "model/cluster.h"
#include "store/yaml_json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define EXPECTATIONS_MAX 100000

struct reading {
	struct arena *a;
	struct expectations got;
	uint32_t cap;
	struct err *e;
	int rc;
};

/* "5432/tcp", 5432 (tcp), "icmp". */
static int read_port(struct reading *r, const json_t *j, struct expectation *x)
{
	static const char *const protos[] = { NULL, "tcp", "udp", "sctp" };
	const struct names names = NAMES(protos);
	const char *text = json_string_value(j);
	char *end = NULL;
	int proto = PROTO_TCP;
	long long port = json_integer_value(j);

	if (text && !strcmp(text, "icmp"))
		return 0;
	if (text && *text >= '0' && *text <= '9') {
		port = strtoll(text, &end, 10);
		if (*end)
			proto = *end == '/' ? name_find(&names, end + 1) : -1;
	}
	if (port < 1 || port > 65535 || proto < 0)
		return err_set(r->e, -EINVAL,
			       "expectation %u: port: must be PORT, PORT/tcp, /udp, /sctp or icmp",
			       r->got.n + 1);
	x->port = (uint16_t)port;
	x->proto = (uint8_t)proto;
	return 0;
}

static int read_end(struct reading *r, const char *key, const json_t *j, const char **out)
{
	if (!json_string_length(j) || strlen(json_string_value(j)) != json_string_length(j))
		return err_set(r->e, -EINVAL,
			       "expectation %u: %s: must be NS/POD, NS/WORKLOAD, a node or an "
			       "address",
			       r->got.n + 1, key);
	*out = arena_strdup(r->a, json_string_value(j));
	return *out ? 0 : err_set(r->e, -ENOMEM, "no memory");
}

static int read_verdict(struct reading *r, const json_t *j, bool *allow)
{
	const char *text = json_string_value(j);

	if (!text || (strcmp(text, "allow") != 0 && strcmp(text, "deny") != 0))
		return err_set(r->e, -EINVAL, "expectation %u: expect: must be allow or deny",
			       r->got.n + 1);
	*allow = !strcmp(text, "allow");
	return 0;
}

static int check_keys(struct reading *r, json_t *j)
{
	static const char *const keys[] = { "from", "to", "port", "expect" };
	const struct names names = NAMES(keys);
	const char *key;
	json_t *value;

	if (!json_is_object(j))
		return err_set(r->e, -EINVAL,
			       "expectation %u: must be {from, to, port, expect: allow or deny}",
			       r->got.n + 1);
	json_object_foreach(j, key, value) if (name_find(&names, key) < 0) return err_set(
		r->e, -EINVAL, "expectation %u: %.64s: no such key", r->got.n + 1, key);
	for (size_t i = 0; i < names.n; i++)
		if (!json_object_get(j, keys[i]))
			return err_set(r->e, -EINVAL, "expectation %u: %s: is missing",
				       r->got.n + 1, keys[i]);
	return 0;
}

static struct expectation *next(struct reading *r)
{
	if (r->got.n == r->cap) {
		uint32_t cap = r->cap ? 2 * r->cap : 64;
		struct expectation *v = arena_array(r->a, cap, sizeof(*v));

		if (!v)
			return NULL;
		if (r->got.n)
			memcpy(v, r->got.v, r->got.n * sizeof(*v));
		r->got.v = v;
		r->cap = cap;
	}
	return &r->got.v[r->got.n];
}

static int read_one(struct reading *r, json_t *j)
{
	struct expectation *x = next(r);
	int rc;

	if (!x)
		return err_set(r->e, -ENOMEM, "no memory");
	if (r->got.n == EXPECTATIONS_MAX)
		return err_set(r->e, -EINVAL, "more than %d expectations", EXPECTATIONS_MAX);
	*x = (struct expectation){ .port = 0 };
	rc = check_keys(r, j);
	if (!rc)
		rc = read_end(r, "from", json_object_get(j, "from"), &x->from);
	if (!rc)
		rc = read_end(r, "to", json_object_get(j, "to"), &x->to);
	if (!rc)
		rc = read_port(r, json_object_get(j, "port"), x);
	if (!rc)
		rc = read_verdict(r, json_object_get(j, "expect"), &x->allow);
	if (!rc)
		r->got.n++;
	return rc;
}

static void read_doc(void *arg, json_t *doc, unsigned line)
{
	struct reading *r = arg;
	json_t *one;
	size_t i;

	if (r->rc || json_is_null(doc))
		return;
	if (!json_is_array(doc)) {
		r->rc = err_set(r->e, -EINVAL, "%u: must be a list of expectations", line);
		return;
	}
	json_array_foreach(doc, i, one)
	{
		r->rc = read_one(r, one);
		if (r->rc)
			return;
	}
}

int expectations_parse(const char *text, size_t n, struct arena *a, struct expectations *out,
		       struct err *e)
{
	struct err of_yaml = { .code = 0 };
	struct reading r = { .a = a, .e = e };
	int rc = yaml_read(text, n, read_doc, &r, &of_yaml);

	if (r.rc)
		return r.rc;
	if (rc)
		return err_set(e, rc, "%s", of_yaml.text);
	if (!r.got.n)
		return err_set(e, -EINVAL, "has no expectations");
	*out = r.got;
	return 0;
}
