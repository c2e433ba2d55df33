// SPDX-License-Identifier: Apache-2.0
/* Writes as functions from trees to trees. Fields of metadata that the server owns (uid,
 * creationTimestamp, resourceVersion) come from what is stored, never from the writer. */
#include "store/change.h"

#include "store/json.h"
#include "store/keep.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static const char *const server_fields[] = { "uid",        "creationTimestamp", "resourceVersion",
					     "generation", "managedFields",     "selfLink" };

static int no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "no memory");
}

uint64_t json_revision(const json_t *j)
{
	const json_t *v = json_object_get(json_object_get(j, "metadata"), "resourceVersion");
	const char *s = json_string_value(v);
	unsigned long long rev;
	char *end;

	if (!s || *s < '1' || *s > '9')
		return 0;
	errno = 0;
	rev = strtoull(s, &end, 10);
	/* Records carry it as a signed number, and there must always be a next one. */
	return errno || *end || rev > INT64_MAX / 2 ? 0 : rev;
}

int json_set_revision(json_t *j, uint64_t rev)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)rev);
	return json_object_set_new(json_object_get(j, "metadata"), "resourceVersion",
				   json_string(text))
		       ? -ENOMEM
		       : 0;
}

/* "KIND NS/NAME: what" */
static int about(const struct store_key *key, int code, const char *what, struct err *e)
{
	return err_set(e, code, "%s %s%s%s: %s", key->k->name, key->ns ? key->ns : "",
		       key->ns ? "/" : "", key->name, what);
}

int change_stale(const struct store_key *key, uint64_t have, uint64_t expect, struct err *e)
{
	char text[96];

	snprintf(text, sizeof(text), "is at revision %llu, not %llu", (unsigned long long)have,
		 (unsigned long long)expect);
	return about(key, -ESTALE, text, e);
}

static int check_precondition(const struct change *c, const json_t *old, uint64_t old_rev,
			      struct err *e)
{
	if (c->op == STORE_OP_CREATE && old)
		return about(&c->key, -EEXIST, "exists already", e);
	if ((c->op == STORE_OP_UPDATE || c->op == STORE_OP_STATUS) && !old)
		return about(&c->key, -ENOENT, "does not exist", e);
	if (old && c->expect && c->expect != old_rev)
		return change_stale(&c->key, old_rev, c->expect, e);
	return 0;
}

static const char *new_uid(char text[37])
{
	unsigned char b[16];

	/* After boot getrandom(2) gives up to 256 bytes without failing. */
	if (getrandom(b, sizeof(b), 0) != sizeof(b))
		memset(b, 0, sizeof(b));
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40); /* RFC 4122: version 4, variant 1 */
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	for (int i = 0, at = 0; i < 16; i++)
		at += snprintf(text + at, (size_t)(37 - at), "%s%02x",
			       i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
	return text;
}

static json_t *now_json(void)
{
	char text[32];
	time_t now = time(NULL);
	struct tm tm;

	if (!gmtime_r(&now, &tm) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
		return NULL;
	return json_string(text);
}

/* Identity and server's fields of `j` as they must be stored. */
static int set_server_fields(const struct change *c, json_t *j, const json_t *old, struct err *e)
{
	json_t *meta = json_object_get(j, "metadata");
	const json_t *old_meta = json_object_get(old, "metadata");
	char uid[37];
	int rc = 0;

	if (!meta) {
		meta = json_object();
		if (json_object_set_new(j, "metadata", meta))
			return no_memory(e);
	}
	for (size_t i = 0; i < sizeof(server_fields) / sizeof(server_fields[0]); i++) {
		json_t *kept = json_object_get(old_meta, server_fields[i]);

		if (kept)
			rc |= json_object_set(meta, server_fields[i], kept);
		else
			json_object_del(meta, server_fields[i]);
	}
	if (!json_object_get(meta, "uid"))
		rc |= json_object_set_new(meta, "uid", json_string(new_uid(uid)));
	if (!json_object_get(meta, "creationTimestamp"))
		rc |= json_object_set_new(meta, "creationTimestamp", now_json());
	if (c->key.ns)
		rc |= json_object_set_new(meta, "namespace", json_string(c->key.ns));
	return rc ? no_memory(e) : 0;
}

/* STATUS by JSON: the status of `c->json`, the rest of `old`. */
static json_t *with_status(const struct change *c, const json_t *old)
{
	json_t *j = json_deep_copy(old);

	for (uint32_t i = 0; j && i < c->key.k->schema->n; i++) {
		const struct field *f = &c->key.k->schema->fields[i];
		json_t *status = json_object_get(c->json, f->key);

		if (f->flags & FF_STATUS && status)
			json_object_set_new(j, f->key, json_deep_copy(status));
	}
	return j;
}

static int wanted(const struct change *c, const json_t *old, json_t **out, struct err *e)
{
	json_t *j;
	int rc = 0;

	if (c->json) {
		j = c->op == STORE_OP_STATUS ? with_status(c, old) : json_deep_copy(c->json);
		if (j && c->op == STORE_OP_APPLY && old)
			rc = keep_daemons_fields(c->key.k, j, old);
	} else if (old && c->op != STORE_OP_CREATE) {
		j = json_deep_copy(old);
		if (j)
			rc = struct_onto_json(j, c->key.k->schema, c->body,
					      c->op == STORE_OP_STATUS ? FF_STATUS : 0, e);
	} else {
		j = object_to_json(c->key.k, c->body);
	}
	if (j && !rc)
		rc = set_server_fields(c, j, old, e);
	if (!j || rc) {
		json_decref(j);
		return no_memory(e);
	}
	*out = j;
	return 0;
}

int change_compute(const struct change *c, const json_t *old, uint64_t old_rev, json_t **out,
		   struct object **o, struct err *e)
{
	struct object *decoded;
	json_t *j = NULL;
	int rc = check_precondition(c, old, old_rev, e);

	if (rc)
		return rc;
	rc = wanted(c, old, &j, e);
	if (rc)
		return rc;
	if (old && old_rev && json_equal(j, (json_t *)old)) {
		json_decref(j);
		*out = NULL;
		*o = NULL;
		return 0;
	}
	decoded = object_from_json(j, e);
	if (!decoded) {
		json_decref(j);
		return -EINVAL;
	}
	*out = j;
	*o = decoded;
	return 0;
}
