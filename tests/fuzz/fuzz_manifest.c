/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests: YAML or JSON by the first bytes. What is accepted comes back the same from its
 * own JSON, and through a merge onto what was written.
 * Parser: store/manifest.c store/json.c store/yaml_read.c store/yaml_plain.c model/validate.c model/text.c */
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct manifest m = { .n_items = 0 };

	manifest_parse(&m, "fuzz", (const char *)data, size);
	for (size_t i = 0; i < m.n_items; i++)
		again(&m.items[i]);
	for (size_t i = 0; i < m.n_errors; i++)
		assert(!strncmp(m.errors[i], "fuzz:", 5));
	manifest_fini(&m);
	return 0;
}
