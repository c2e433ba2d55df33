// SPDX-License-Identifier: Apache-2.0
/* Manifests: which reader for which text, and what becomes of each object. */
#include "store/manifest.h"

#include "base/buf.h"
#include "store/json.h"
#include "store/unknown.h"
#include "store/yaml_json.h"
#include "sys/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>

#define FILE_MAX (64u << 20)

struct manifest_name {
	char *key; /* "Pod shop/db" */
	size_t item;
	UT_hash_handle hh;
};

struct source {
	struct manifest *m;
	const char *name;
};

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

void manifest_fini(struct manifest *m)
{
	struct manifest_name *name, *next;

	HASH_ITER(hh, m->names, name, next)
	{
		HASH_DEL(m->names, name);
		free(name->key);
		free(name);
	}
	for (size_t i = 0; i < m->n_items; i++) {
		object_free(m->items[i].obj);
		json_decref(m->items[i].json);
		free(m->items[i].where);
	}
	for (size_t i = 0; i < m->n_ignored; i++)
		free(m->ignored[i].what);
	for (size_t i = 0; i < m->n_errors; i++)
		free(m->errors[i]);
	free(m->items);
	free(m->ignored);
	free(m->errors);
	*m = (struct manifest){ .n_items = 0 };
}

static void add_error(struct manifest *m, const char *where, const char *text)
{
	m->errors = must(reallocarray(m->errors, m->n_errors + 1, sizeof(*m->errors)));
	if (asprintf(&m->errors[m->n_errors++], "%s: %s", where, text) < 0)
		abort();
}

static void add_ignored(struct manifest *m, const char *where, const char *text)
{
	m->ignored = must(reallocarray(m->ignored, m->n_ignored + 1, sizeof(*m->ignored)));
	if (asprintf(&m->ignored[m->n_ignored++].what, "%s: %s", where, text) < 0)
		abort();
}

static void add_item(struct manifest *m, struct object *o, json_t *j, const char *where)
{
	/* Grows in powers of two. */
	if (!(m->n_items & (m->n_items + 1)))
		m->items = must(reallocarray(m->items, 2 * (m->n_items + 1), sizeof(*m->items)));
	m->items[m->n_items++] = (struct manifest_item){ o, json_incref(j), must(strdup(where)) };
}

/* True when an object of that name came before; one that differs is complained of. */
static bool is_twin(struct manifest *m, const struct object *o, json_t *j, const char *where)
{
	const char *ns = o->meta->namespace;
	struct manifest_name *name;
	const struct manifest_item *first;
	char *key, *text = NULL;

	if (asprintf(&key, "%s %s%s%s", o->kind->name, ns ? ns : "", ns ? "/" : "", o->meta->name) <
	    0)
		abort();
	HASH_FIND_STR(m->names, key, name);
	if (!name) {
		name = must(calloc(1, sizeof(*name)));
		name->key = key;
		name->item = m->n_items;
		HASH_ADD_KEYPTR(hh, m->names, name->key, strlen(name->key), name);
		return false;
	}
	first = &m->items[name->item];
	if (!json_equal(first->json, j)) {
		if (asprintf(&text, "%s: is also at %s, and differs", key, first->where) < 0)
			abort();
		add_error(m, where, text);
	}
	free(text);
	free(key);
	return true;
}

static void take_object(struct manifest *m, json_t *j, const char *where)
{
	struct err e = { .code = 0 };
	struct object *o = object_from_json(j, &e);
	char label[512];

	if (o && json_unknown_field(j, o->kind, &e)) {
		err_wrap(&e, "%s", object_label(o->kind, o->meta, label, sizeof(label)));
		object_free(o);
		o = NULL;
	}
	if (o && is_twin(m, o, j, where))
		object_free(o);
	else if (o)
		add_item(m, o, j, where);
	else if (e.code == -ENOTSUP)
		add_ignored(m, where, e.text);
	else
		add_error(m, where, e.text);
}

static void take_document(void *arg, json_t *j, unsigned line)
{
	const struct source *src = arg;
	const char *kind = json_string_value(json_object_get(j, "kind"));
	json_t *items = json_object_get(j, "items"), *item;
	char where[4096];
	size_t i;

	if (json_is_null(j)) /* nothing between two `---` */
		return;
	snprintf(where, sizeof(where), "%s:%u", src->name, line);
	if (!kind || strcmp(kind, "List") != 0) {
		take_object(src->m, j, where);
		return;
	}
	if (items && !json_is_array(items)) {
		add_error(src->m, where, "List: items: must be a list");
		return;
	}
	json_array_foreach(items, i, item)
	{
		snprintf(where, sizeof(where), "%s:%u: items[%zu]", src->name, line, i);
		take_object(src->m, item, where);
	}
}

/* ---- JSON: one text after the other */

static unsigned lines_in(const char *text, size_t n)
{
	unsigned lines = 0;

	for (size_t i = 0; i < n; i++)
		lines += text[i] == '\n';
	return lines;
}

static size_t skip_space(const char *text, size_t n)
{
	size_t at = 0;

	for (;;) {
		while (at < n && strchr(" \t\r\n", text[at]) && text[at])
			at++;
		/* kubectl prints several objects with YAML's mark between them. */
		if (n - at < 3 || memcmp(text + at, "---", 3) != 0)
			return at;
		at += 3;
	}
}

static int read_json(struct source *src, const char *text, size_t n, struct err *e)
{
	unsigned line = 1;

	for (;;) {
		size_t space = skip_space(text, n);
		json_error_t je;
		json_t *j;

		line += lines_in(text, space);
		text += space;
		n -= space;
		if (!n)
			return 0;
		j = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK, &je);
		if (!j)
			return err_set(e, -EINVAL, "%u: %s", line + (unsigned)je.line - 1, je.text);
		take_document(src, j, line);
		json_decref(j);
		line += lines_in(text, (size_t)je.position);
		text += je.position;
		n -= (size_t)je.position;
	}
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n >= k && !strcmp(s + n - k, end);
}

/* Is the text JSON from end to end? What begins like JSON may be YAML in flow style. */
static bool is_json(const char *text, size_t n)
{
	for (;;) {
		size_t space = skip_space(text, n);
		json_error_t je;
		json_t *j;

		text += space;
		n -= space;
		if (!n)
			return true;
		j = json_loadb(text, n, JSON_DISABLE_EOF_CHECK, &je);
		if (!j)
			return false;
		json_decref(j);
		text += je.position;
		n -= (size_t)je.position;
	}
}

void manifest_parse(struct manifest *m, const char *name, const char *text, size_t n)
{
	struct source src = { m, name };
	struct err e = { .code = 0 };
	size_t start = skip_space(text, n);
	bool json =
		ends_with(name, ".json") || (start < n && text[start] == '{' && is_json(text, n));
	int rc;

	rc = json ? read_json(&src, text, n, &e) : yaml_read(text, n, take_document, &src, &e);
	if (rc) {
		char *where = NULL;

		/* e.text is "LINE: …" */
		if (asprintf(&where, "%s:%s", name, e.text) < 0)
			abort();
		m->errors = must(reallocarray(m->errors, m->n_errors + 1, sizeof(*m->errors)));
		m->errors[m->n_errors++] = where;
	}
}

/* ---- files */

static int load_stdin(struct manifest *m, struct err *e)
{
	struct buf text = { .v = NULL };
	char chunk[65536];
	ssize_t n;
	int rc = 0;

	while ((n = read(STDIN_FILENO, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			rc = err_sys(e, -errno, "standard input");
			break;
		}
		buf_put(&text, chunk, (size_t)n);
		if (text.failed || text.n > FILE_MAX) {
			rc = err_set(e, -EFBIG, "standard input: more than %u bytes", FILE_MAX);
			break;
		}
	}
	if (!rc)
		manifest_parse(m, "-", text.v ? text.v : "", text.n);
	buf_fini(&text);
	return rc;
}

static int load_file(struct manifest *m, const char *path, struct err *e)
{
	struct buf text = { .v = NULL };
	int rc = file_read(path, FILE_MAX, &text, e);

	if (!rc)
		manifest_parse(m, path, text.v ? text.v : "", text.n);
	buf_fini(&text);
	return rc;
}

static int is_manifest(const struct dirent *de)
{
	return de->d_name[0] != '.' &&
	       (ends_with(de->d_name, ".yaml") || ends_with(de->d_name, ".yml") ||
		ends_with(de->d_name, ".json"));
}

static int load_dir(struct manifest *m, const char *path, struct err *e)
{
	struct dirent **names;
	int n = scandir(path, &names, is_manifest, alphasort), rc = 0;

	if (n < 0)
		return err_sys(e, -errno, "%s", path);
	if (!n)
		rc = err_set(e, -ENOENT, "%s: holds no *.yaml, *.yml or *.json", path);
	for (int i = 0; i < n; i++) {
		char *file;

		if (asprintf(&file, "%s/%s", path, names[i]->d_name) < 0)
			abort();
		if (!rc)
			rc = load_file(m, file, e);
		free(file);
		free(names[i]);
	}
	free(names);
	return rc;
}

int manifest_load(struct manifest *m, const char *path, struct err *e)
{
	struct stat st;

	if (!strcmp(path, "-"))
		return load_stdin(m, e);
	if (stat(path, &st))
		return err_sys(e, -errno, "%s", path);
	return S_ISDIR(st.st_mode) ? load_dir(m, path, e) : load_file(m, path, e);
}

void manifest_into_cluster(struct manifest *m, struct cluster *c)
{
	for (size_t i = 0; i < m->n_items; i++) {
		object_free(cluster_put(c, m->items[i].obj));
		m->items[i].obj = NULL;
	}
}
