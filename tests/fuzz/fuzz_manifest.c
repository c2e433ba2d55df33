/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests: YAML or JSON by the first bytes, and as a file that says to be JSON. What is accepted comes back the same from its
 * own JSON, and through a merge onto what was written.
 * Parser: store/manifest.c store/json.c store/yaml_read.c store/yaml_plain.c model/validate.c model/validate_bgp.c model/text.c model/bgp.c */
#include "model/validate.h"
#include "store/json.h"
#include "store/manifest.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <string.h>

static void again(const struct manifest_item *item)
{
	const struct kind *k = item->obj->kind;
	json_t *one = object_to_json(k, item->obj->body), *two;
	json_t *merged = json_deep_copy(item->json);
	struct err e = { .code = 0 };
	struct object *o = object_from_json(one, &e);

	assert(o);
	two = object_to_json(k, o->body);
	assert(json_equal(one, two));
	assert(!struct_onto_json(merged, k->schema, o->body, 0, &e));
	object_free(o);
	o = object_from_json(merged, &e);
	assert(o);
	json_decref(two);
	two = object_to_json(k, o->body);
	assert(json_equal(one, two));
	object_free(o);
	json_decref(merged);
	json_decref(one);
	json_decref(two);
}

static void parse(const char *name, const char *text, size_t size)
{
	struct manifest m = { .n_items = 0 };
	struct cluster *c = cluster_new();

	manifest_parse(&m, name, text, size);
	for (size_t i = 0; i < m.n_items; i++) {
		again(&m.items[i]);
		if (i)
			validate_among(m.items[i].obj, m.items[i - 1].obj, NULL);
	}
	for (size_t i = 0; i < m.n_errors; i++)
		assert(!strncmp(m.errors[i], name, strlen(name)) &&
		       m.errors[i][strlen(name)] == ':');
	manifest_into_cluster(&m, c);
	cluster_free(c);
	manifest_fini(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	parse("fuzz", (const char *)data, size);
	parse("fuzz.json", (const char *)data, size);
	return 0;
}
