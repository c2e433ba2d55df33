/* SPDX-License-Identifier: Apache-2.0 */
/* A prevResult of any JSON: refused with a text, or read, and then written and read again in
 * every version with the same addresses.
 * Parser: core/cni/result.c */
#include "core/cni/result.h"
#include "store/json.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>

static void again(unsigned version, const struct cni_result *r, struct arena *a)
{
	struct cni_result_text t, u = { .cniVersion = NULL };
	struct cni_result back;
	struct err e = { .code = 0 };
	json_t *j;

	assert(!cni_result_write(version, false, r, a, &t, &e));
	j = struct_to_json(&cni_result_text_schema, &t);
	assert(j && !struct_from_json(j, &cni_result_text_schema, &u, a, &e));
	json_decref(j);
	assert(!cni_result_read(version, &u, a, &back, &e));
	assert(back.ips.n == r->ips.n);
	for (uint32_t i = 0; i < r->ips.n; i++)
		assert(prefix_eq(&back.ips.v[i].address, &r->ips.v[i].address));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *j = json_loadb((const char *)data, size, 0, NULL);
	struct cni_result_text t = { .cniVersion = NULL };
	struct err e = { .code = 0 };
	struct cni_result r;
	struct arena a;

	arena_init(&a, 0);
	if (json_is_object(j)) {
		if (struct_from_json(j, &cni_result_text_schema, &t, &a, &e) ||
		    cni_result_read(CNI_1_0_0, &t, &a, &r, &e))
			assert(e.text[0]);
		else
			for (unsigned v = 0; v < CNI_VERSIONS; v++)
				again(v, &r, &a);
	}
	json_decref(j);
	arena_fini(&a);
	return 0;
}
