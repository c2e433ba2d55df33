// SPDX-License-Identifier: Apache-2.0
/* Manifests against tests/golden/manifest: what was understood (as JSON of the fields that we
 * know), what was ignored, what was refused. And YAML written by us, read back. */
#include "model/record.h"
#include "store/json.h"
#include "store/manifest.h"
#include "store/yaml_json.h"
#include "tests/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What was read also survives the records between processes. */
static void check_record(const struct object *o, const json_t *json)
{
	struct object *copy = object_new(o->kind);
	struct buf out = { .v = NULL };
	struct wire body;
	unsigned type;
	json_t *j;

	assert_int_equal(record_put(&out, REC_PUT, o->kind->schema, o->body, NULL), 0);
	assert_int_equal(record_next((uint8_t *)out.v, out.n, &type, &body, NULL), out.n);
	assert_int_equal(record_decode(&body, o->kind->schema, copy->body, &copy->arena, NULL), 0);
	j = object_to_json(o->kind, copy->body);
	assert_true(json_equal(j, json));
	json_decref(j);
	object_free(copy);
	buf_fini(&out);
}

static void check(const char *stem, const char *ext)
{
	char path[256], want[256];
	struct manifest m = { .n_items = 0 };
	char *text, *said;
	size_t n, said_n;
	FILE *out = open_memstream(&said, &said_n);

	snprintf(path, sizeof(path), "%s%s", stem, ext);
	snprintf(want, sizeof(want), "%s.txt", stem);
	text = golden_read(path, &n);
	manifest_parse(&m, strrchr(path, '/') + 1, text, n);
	for (size_t i = 0; i < m.n_items; i++) {
		json_t *j = object_to_json(m.items[i].obj->kind, m.items[i].obj->body);

		fprintf(out, "%s: ", m.items[i].where);
		json_dumpf(j, out, JSON_INDENT(1));
		fputc('\n', out);
		check_record(m.items[i].obj, j);
		json_decref(j);
	}
	for (size_t i = 0; i < m.n_ignored; i++)
		fprintf(out, "ignored %s\n", m.ignored[i].what);
	for (size_t i = 0; i < m.n_errors; i++)
		fprintf(out, "error %s\n", m.errors[i]);
	fclose(out);
	golden_check(want, said);
	free(said);
	free(text);
	manifest_fini(&m);
}

static void check_yaml(const char *stem, void *arg)
{
	check(stem, ".yaml");
}

static void check_json(const char *stem, void *arg)
{
	check(stem, ".json");
}

static void test_golden(void **state)
{
	golden_each("manifest", ".yaml", check_yaml, NULL);
	golden_each("manifest", ".json", check_json, NULL);
}

static void keep_doc(void *arg, json_t *doc, unsigned line)
{
	*(json_t **)arg = json_incref(doc);
}

static void test_yaml_round_trip(void **state)
{
	static const char *const values[] = {
		"[]",
		"{}",
		"null",
		"\"\"",
		"{\"a\": {\"b\": []}, \"c\": [{}, [1, [2]], {\"d\": \"e\", \"f\": [true]}]}",
		"[\"yes\", \"no\", \"1\", \"1.5\", \"0x10\", \"null\", \"~\", \"- a\", \"a: b\", "
		"\"a #b\"]",
		"[\" lead\", \"trail \", \"tab\\t\", \"new\\nline\", \"\\u00e9\", \"'\", \"\\\"\", "
		"\"a:\"]",
		"[\"<<\", \"...\", \"---\", \"2026-01-31\", \"12:30\", \"1_000\", \"+1\", \".5\", "
		"\"=\"]",
		"{\"yes\": 1, \"1\": 2, \"\": 3, \"a b\": -4, \"#\": 1.25}",
	};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		json_t *want = json_loads(values[i], JSON_DECODE_ANY, NULL), *got = NULL;
		char *text;
		size_t n;
		FILE *out = open_memstream(&text, &n);

		assert_non_null(want);
		yaml_write(want, out);
		fclose(out);
		assert_int_equal(yaml_read(text, n, keep_doc, &got, NULL), 0);
		if (!json_equal(want, got))
			fail_msg("%s became %s", values[i], text);
		json_decref(want);
		json_decref(got);
		free(text);
	}
}

static void test_keeps_unknown_fields(void **state)
{
	static const char was[] =
		"{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"p\", "
		"\"x\": 1},"
		" \"spec\": {\"y\": 2, \"containers\": ["
		"{\"name\": \"a\", \"resources\": 1}, {\"name\": \"b\", \"resources\": 2}]}}";
	json_t *j = json_loads(was, 0, NULL);
	struct object *o = object_from_json(j, NULL);
	struct container swapped[2];
	struct pod *p;
	json_t *list;

	assert_non_null(o);
	p = o->body;
	swapped[0] = p->spec.containers.v[1];
	swapped[1] = p->spec.containers.v[0];
	swapped[1].image = "new";
	p->spec.containers.v = swapped;
	p->spec.nodeName = "n";
	assert_int_equal(struct_onto_json(j, o->kind->schema, p, 0, NULL), 0);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "metadata"), "x")),
			 1);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "spec"), "y")), 2);
	list = json_object_get(json_object_get(j, "spec"), "containers");
	/* b is what it was, somewhere else; a was changed, and is now only what we know. */
	assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "resources")),
			 2);
	assert_null(json_object_get(json_array_get(list, 1), "resources"));
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 1), "image")),
			    "new");
	object_free(o);
	json_decref(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_yaml_round_trip),
		cmocka_unit_test(test_keeps_unknown_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
