/* SPDX-License-Identifier: Apache-2.0 */
/* A journal of any bytes: replayed or refused with a text. What was replayed is written anew as
 * a snapshot, which replays to a snapshot of the same bytes. */
#include "core/ipam/ipam.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ipam *s = ipam_new("n1", IPAM_COOLDOWN_MS), *t = ipam_new("n1", IPAM_COOLDOWN_MS);
	struct buf one = { .v = NULL }, two = { .v = NULL };
	struct err e = { .code = 0 };
	size_t good = 0;

	if (ipam_replay(s, data, size, &good, &e)) {
		assert(e.code < 0 && e.text[0]);
	} else {
		assert(good <= size);
		if (!ipam_snapshot(s, 1000, &one, &e)) {
			assert(!ipam_replay(t, one.v, one.n, &good, &e));
			assert(good == one.n);
			assert(!ipam_snapshot(t, 1000, &two, &e));
			assert(one.n == two.n && !memcmp(one.v, two.v, one.n));
		}
	}
	buf_fini(&one);
	buf_fini(&two);
	ipam_free(s);
	ipam_free(t);
	return 0;
}
