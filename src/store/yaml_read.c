// SPDX-License-Identifier: Apache-2.0
/* YAML events to JSON trees.
 *
 * Plain scalars follow YAML 1.1 as go-yaml, hence Kubernetes, resolves them: `yes` and `on`
 * are booleans, 0o17 and 017 are octal. An alias copies its node, and all nodes of a document
 * are counted, so "a billion laughs" ends at NODES_MAX. An anchor is known once its node is
 * complete, so there are no cycles. */
#include "store/yaml_json.h"

#include "store/yaml_plain.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define DEPTH_MAX 64
#define NODES_MAX 1000000

struct anchor {
	struct anchor *next;
	json_t *node;
	size_t nodes;
	char name[];
};

struct reader {
	yaml_parser_t parser;
	struct anchor *anchors; /* of the current document */
	size_t nodes;           /* of the current document, aliases counted in full */
	unsigned depth;
	struct err *e;
};

static int fail(struct reader *r, const yaml_mark_t *at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static int fail(struct reader *r, const yaml_mark_t *at, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(r->e, -EINVAL, "%zu: %s", at->line + 1, text);
}

static int next_event(struct reader *r, yaml_event_t *ev)
{
	const yaml_parser_t *p = &r->parser;

	if (yaml_parser_parse(&r->parser, ev))
		return 0;
	if (p->error == YAML_MEMORY_ERROR)
		return err_set(r->e, -ENOMEM, "no memory");
	/* The reader's errors come with an offset, not with a mark. */
	if (p->error == YAML_READER_ERROR)
		return err_set(r->e, -EINVAL, "%zu: %s", p->mark.line + 1, p->problem);
	return fail(r, &p->problem_mark, "%s", p->problem ? p->problem : "is no YAML");
}

static void drop_anchors(struct reader *r)
{
	while (r->anchors) {
		struct anchor *next = r->anchors->next;

		json_decref(r->anchors->node);
		free(r->anchors);
		r->anchors = next;
	}
}

static int add_anchor(struct reader *r, const char *name, json_t *node, size_t nodes)
{
	struct anchor *a;

	if (!name[0])
		return 0;
	a = calloc(1, sizeof(*a) + strlen(name) + 1);
	if (!a)
		return err_set(r->e, -ENOMEM, "no memory");
	memcpy(a->name, name, strlen(name));
	a->node = json_incref(node);
	a->nodes = nodes;
	a->next = r->anchors;
	r->anchors = a;
	return 0;
}

static int count(struct reader *r, const yaml_mark_t *at, size_t n)
{
	r->nodes += n;
	return r->nodes > NODES_MAX ? fail(r, at, "more than %d values", NODES_MAX) : 0;
}

static int alias_node(struct reader *r, const yaml_event_t *ev, json_t **out)
{
	const char *name = (const char *)ev->data.alias.anchor;

	for (const struct anchor *a = r->anchors; a; a = a->next) {
		if (strcmp(a->name, name) != 0)
			continue;
		if (count(r, &ev->start_mark, a->nodes))
			return -EINVAL;
		*out = json_deep_copy(a->node);
		return *out ? 0 : err_set(r->e, -ENOMEM, "no memory");
	}
	return fail(r, &ev->start_mark, "unknown anchor \"%.64s\"", name);
}

static int scalar_node(struct reader *r, const yaml_event_t *ev, json_t **out)
{
	const char *v = (const char *)ev->data.scalar.value;
	const char *tag = (const char *)ev->data.scalar.tag;
	size_t n = ev->data.scalar.length;
	bool text = ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;

	if (tag && (!strcmp(tag, YAML_STR_TAG) || !strcmp(tag, "!")))
		text = true;
	else if (tag && (!strcmp(tag, YAML_INT_TAG) || !strcmp(tag, YAML_BOOL_TAG) ||
			 !strcmp(tag, YAML_NULL_TAG) || !strcmp(tag, YAML_FLOAT_TAG)))
		text = false;
	else if (tag)
		return fail(r, &ev->start_mark, "unknown tag %.64s", tag);
	*out = text ? json_stringn(v, n) : yaml_plain(v, n);
	return *out ? 0 : fail(r, &ev->start_mark, "a string that is no UTF-8");
}

static int node_from(struct reader *r, yaml_event_t *ev, json_t **out);

static int sequence_node(struct reader *r, json_t *list)
{
	for (;;) {
		yaml_event_t ev;
		json_t *item = NULL;
		int rc = next_event(r, &ev);

		if (rc)
			return rc;
		if (ev.type == YAML_SEQUENCE_END_EVENT) {
			yaml_event_delete(&ev);
			return 0;
		}
		rc = node_from(r, &ev, &item);
		yaml_event_delete(&ev);
		if (rc)
			return rc;
		if (json_array_append_new(list, item))
			return err_set(r->e, -ENOMEM, "no memory");
	}
}

/* `<<: *base` or a list of them: keys that the mapping does not have itself. */
static int merge_into(struct reader *r, json_t *map, const json_t *from, const yaml_mark_t *at)
{
	size_t i;
	json_t *one;

	if (json_is_object(from))
		return json_object_update_missing(map, (json_t *)from)
			       ? err_set(r->e, -ENOMEM, "no memory")
			       : 0;
	if (!json_is_array(from))
		return fail(r, at, "<< needs a mapping");
	json_array_foreach(from, i, one)
	{
		if (!json_is_object(one))
			return fail(r, at, "<< needs a mapping");
		if (json_object_update_missing(map, one))
			return err_set(r->e, -ENOMEM, "no memory");
	}
	return 0;
}

static int mapping_pair(struct reader *r, json_t *map, const yaml_event_t *key, json_t **merge)
{
	const char *name = (const char *)key->data.scalar.value;
	bool is_merge = key->type == YAML_SCALAR_EVENT && !strcmp(name, "<<") &&
			key->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	yaml_event_t ev;
	json_t *value = NULL;
	int rc;

	if (key->type != YAML_SCALAR_EVENT)
		return fail(r, &key->start_mark, "a key must be a string");
	if (strlen(name) != key->data.scalar.length)
		return fail(r, &key->start_mark, "a key with a zero byte");
	if (json_object_get(map, name) || (is_merge && *merge))
		return fail(r, &key->start_mark, "key \"%.64s\" is there twice", name);
	rc = next_event(r, &ev);
	if (rc)
		return rc;
	rc = node_from(r, &ev, &value);
	yaml_event_delete(&ev);
	if (rc)
		return rc;
	if (is_merge) {
		*merge = value;
		return 0;
	}
	/* A key given here, or an anchor on it, is rare enough to be left alone. */
	return json_object_set_new(map, name, value)
		       ? fail(r, &key->start_mark, "a key that is no UTF-8")
		       : 0;
}

static int mapping_node(struct reader *r, json_t *map)
{
	json_t *merge = NULL;
	yaml_mark_t at = { 0 };
	int rc;

	for (;;) {
		yaml_event_t key;

		rc = next_event(r, &key);
		if (rc)
			break;
		if (key.type == YAML_MAPPING_END_EVENT) {
			at = key.start_mark;
			yaml_event_delete(&key);
			break;
		}
		rc = count(r, &key.start_mark, 1);
		if (!rc)
			rc = mapping_pair(r, map, &key, &merge);
		yaml_event_delete(&key);
		if (rc)
			break;
	}
	if (!rc && merge)
		rc = merge_into(r, map, merge, &at);
	json_decref(merge);
	return rc;
}

static int collection_node(struct reader *r, const yaml_event_t *ev, json_t **out)
{
	bool map = ev->type == YAML_MAPPING_START_EVENT;
	json_t *j;
	int rc;

	if (r->depth >= DEPTH_MAX)
		return fail(r, &ev->start_mark, "nested more than %d deep", DEPTH_MAX);
	j = map ? json_object() : json_array();
	if (!j)
		return err_set(r->e, -ENOMEM, "no memory");
	r->depth++;
	rc = map ? mapping_node(r, j) : sequence_node(r, j);
	r->depth--;
	if (rc)
		json_decref(j);
	else
		*out = j;
	return rc;
}

/* The node that begins with `ev`; a new reference. */
static int node_from(struct reader *r, yaml_event_t *ev, json_t **out)
{
	size_t before = r->nodes;
	const char *anchor;
	json_t *j = NULL;
	int rc = count(r, &ev->start_mark, 1);

	if (rc)
		return rc;
	if (ev->type == YAML_ALIAS_EVENT)
		return alias_node(r, ev, out);
	if (ev->type == YAML_SCALAR_EVENT) {
		anchor = (const char *)ev->data.scalar.anchor;
		rc = scalar_node(r, ev, &j);
	} else {
		anchor = ev->type == YAML_MAPPING_START_EVENT
				 ? (const char *)ev->data.mapping_start.anchor
				 : (const char *)ev->data.sequence_start.anchor;
		rc = collection_node(r, ev, &j);
	}
	if (!rc && anchor)
		rc = add_anchor(r, anchor, j, r->nodes - before);
	if (rc)
		json_decref(j);
	else
		*out = j;
	return rc;
}

static int document(struct reader *r, yaml_doc_fn *doc, void *arg)
{
	yaml_event_t ev;
	json_t *j = NULL;
	size_t line;
	int rc = next_event(r, &ev);

	if (rc)
		return rc;
	line = ev.start_mark.line + 1;
	r->nodes = 0;
	rc = node_from(r, &ev, &j);
	yaml_event_delete(&ev);
	drop_anchors(r);
	if (rc)
		return rc;
	doc(arg, j, (unsigned)line);
	json_decref(j);
	return 0;
}

int yaml_read(const char *text, size_t n, yaml_doc_fn *doc, void *arg, struct err *e)
{
	struct err local = { .code = 0 };
	struct reader r = { .e = e ? e : &local };
	bool end = false;
	int rc = 0;

	if (!yaml_parser_initialize(&r.parser))
		return err_set(e, -ENOMEM, "no memory");
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, n);
	while (!rc && !end) {
		yaml_event_t ev;
		yaml_event_type_t type;

		rc = next_event(&r, &ev);
		if (rc)
			break;
		type = ev.type;
		yaml_event_delete(&ev);
		if (type == YAML_DOCUMENT_START_EVENT)
			rc = document(&r, doc, arg);
		end = type == YAML_STREAM_END_EVENT;
	}
	drop_anchors(&r);
	yaml_parser_delete(&r.parser);
	return rc;
}
