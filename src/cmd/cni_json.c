// SPDX-License-Identifier: Apache-2.0
/* cni_json: the runtime's side of the plugin. Only here and in store/json.c is CNI JSON. */
#include "cmd/cni_io.h"
#include "store/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STDIN_MAX (1u << 20)

/* What standard input holds; the caller frees. */
static char *slurp(size_t *n, struct err *e)
{
	size_t cap = 16384, used = 0;
	char *p = malloc(cap), *q;

	while (p) {
		ssize_t r = read(STDIN_FILENO, p + used, cap - used);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0) {
			err_sys(e, -errno, "reading the configuration");
			free(p);
			return NULL;
		}
		used += (size_t)r;
		if (!r) {
			*n = used;
			return p;
		}
		if (used < cap)
			continue;
		if (cap >= STDIN_MAX) {
			err_set(e, -EFBIG, "the configuration is larger than 1 MiB");
			free(p);
			return NULL;
		}
		cap *= 2;
		q = realloc(p, cap);
		if (!q)
			free(p);
		p = q;
	}
	err_set(e, -ENOMEM, "no memory");
	return NULL;
}

json_t *cni_read_stdin(enum cni_code *code, struct err *e)
{
	json_error_t where;
	size_t n = 0;
	char *text = slurp(&n, e);
	json_t *j;

	*code = CNI_ERR_IO;
	if (!text)
		return NULL;
	*code = CNI_ERR_DECODE;
	j = json_loadb(text, n, 0, &where);
	free(text);
	if (!j) {
		err_set(e, -EINVAL, "the configuration is not JSON: line %d, column %d: %s",
			where.line, where.column, where.text);
		return NULL;
	}
	if (!json_is_object(j)) {
		err_set(e, -EINVAL, "the configuration is not a JSON object");
		json_decref(j);
		return NULL;
	}
	return j;
}

enum cni_code cni_read_conf(const json_t *j, struct arena *a, struct cni_conf *out, struct err *e)
{
	return struct_from_json(j, &cni_conf_schema, out, a, e) ? CNI_ERR_DECODE : CNI_OK;
}

enum cni_code cni_read_prev(const json_t *j, unsigned version, struct arena *a,
			    struct cni_result **out, struct err *e)
{
	const json_t *prev = json_object_get(j, "prevResult");
	struct cni_result_text t = { .cniVersion = NULL };
	struct cni_result *r;
	enum cni_code code;

	*out = NULL;
	if (!prev || json_is_null(prev))
		return CNI_OK;
	if (!json_is_object(prev)) {
		err_set(e, -EINVAL, "prevResult: must be an object");
		return CNI_ERR_DECODE;
	}
	if (struct_from_json(prev, &cni_result_text_schema, &t, a, e)) {
		err_wrap(e, "prevResult");
		return CNI_ERR_DECODE;
	}
	r = arena_alloc(a, sizeof(*r));
	if (!r) {
		err_set(e, -ENOMEM, "no memory");
		return CNI_ERR_INTERNAL;
	}
	code = cni_result_read(version, &t, a, r, e);
	if (!code)
		*out = r;
	return code;
}

/* ---- printing */

static int print(const struct schema *s, const void *body)
{
	json_t *j = struct_to_json(s, body);
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	size_t n = text ? strlen(text) : 0, done = 0;

	json_decref(j);
	if (!text)
		return 1;
	text[n] = '\n'; /* one document, one line: written at once, or not usable at all */
	for (n++; done < n;) {
		ssize_t w = write(STDOUT_FILENO, text + done, n - done);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			break;
		done += (size_t)w;
	}
	free(text);
	return done < n;
}

int cni_print_result(unsigned version, bool ipam_only, const struct cni_result *r, struct arena *a)
{
	struct cni_result_text t;
	struct err e = { .code = 0 };

	if (cni_result_write(version, ipam_only, r, a, &t, &e))
		return cni_print_error(version, CNI_ERR_INTERNAL, e.text, NULL);
	return print(&cni_result_text_schema, &t);
}

int cni_print_error(unsigned version, enum cni_code code, const char *msg, const char *details)
{
	struct cni_error_text t = {
		.cniVersion = cni_version_name(version),
		.code = { 1, code },
		.msg = msg && *msg ? msg : "unknown error",
		.details = details,
	};

	print(&cni_error_text_schema, &t);
	return 1;
}

int cni_print_versions(const char *asked)
{
	const char *all[CNI_VERSIONS];
	struct cni_version_text t = { .supportedVersions = { all, CNI_VERSIONS } };

	for (unsigned i = 0; i < CNI_VERSIONS; i++)
		all[i] = cni_version_name(i);
	t.cniVersion = asked ? asked : all[CNI_VERSIONS - 1];
	return print(&cni_version_text_schema, &t);
}
