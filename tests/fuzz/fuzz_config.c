/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration parser (daemon/config.h). What it accepts it also prints, and reads back to
 * the same text.
 * Parser: daemon/config.c daemon/config_keys.c */
#include "daemon/config.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf first = { 0 }, second = { 0 };
	struct config a, b;
	struct err e = { 0 };

	if (config_parse(&a, "fuzz", (const char *)data, size, &e)) {
		assert(e.code < 0 && e.text[0]);
		return 0;
	}
	if (config_finish(&a, "host", &e) == 0) {
		for (uint32_t i = 0; i < a.binds.n; i++) {
			const struct bind_rule *r = &a.binds.v[i];

			assert(config_allows_bind(&a, r->proto, &r->addr, r->port));
			assert(config_allows_bind(&a, r->proto, &r->addr, r->port_end));
		}
		config_print(&a, &first);
		assert(config_parse(&b, "printed", first.v, first.n, &e) == 0);
		assert(config_finish(&b, "other", &e) == 0);
		config_print(&b, &second);
		assert(first.n == second.n && memcmp(first.v, second.v, first.n) == 0);
		config_fini(&b);
	}
	config_fini(&a);
	buf_fini(&first);
	buf_fini(&second);
	return 0;
}
