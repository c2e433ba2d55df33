/* SPDX-License-Identifier: Apache-2.0 */
/* Expectations of `fairlead policy test`: whatever the text, names are there and ports in range, or
 * an error that says where.
 * Parser: cmd/policy_table.c */
#include "cmd/policy_table.h"
#include "model/cluster.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct expectations x = { NULL, 0 };
	struct err e = { .code = 0 };
	struct arena a;

	arena_init(&a, 0);
	if (expectations_parse((const char *)data, size, &a, &x, &e)) {
		assert(e.code < 0 && e.text[0] && !x.n);
	} else {
		assert(x.n);
		for (uint32_t i = 0; i < x.n; i++) {
			assert(*x.v[i].from && *x.v[i].to && x.v[i].proto <= PROTO_SCTP);
			assert(!x.v[i].port == !x.v[i].proto);
		}
	}
	arena_fini(&a);
	return 0;
}
