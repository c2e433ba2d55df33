/* SPDX-License-Identifier: Apache-2.0 */
/* BFD: packets of a session, 24 octets each, with the time of one interval between them. What is dropped has a reason; a session is
 * always in one of its states, and knows when it is next.
 * Parser: core/bgp/bfd.c */
#include "core/bgp/bfd.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct bfd_conf c = { .interval_us = 100000, .multiplier = 3, .discriminator = 1 };
	const struct bfd_conf far = { .multihop = true, .min_ttl = 64 };
	int64_t now = 1;
	struct bfd s;

	bfd_init(&s, &c, now);
	for (size_t at = 0; at < size; at += BFD_PACKET, now += 50000) {
		size_t n = size - at < BFD_PACKET ? size - at : BFD_PACKET;
		struct bfd_packet p;
		const char *why = NULL;
		bool send;

		if (bfd_packet_decode(data + at, n, &p, &why))
			assert(why && *why);
		else
			bfd_receive(&s, &p, now);
		bfd_tick(&s, now, data[at], &send, &p);
		assert(bfd_is_near(&c, BFD_PORT, data[at]) == (data[at] == 255));
		assert(bfd_is_near(&far, BFD_MULTIHOP_PORT, data[at]) == (data[at] >= far.min_ttl));
		assert(s.state <= BFD_UP && *bfd_state_name(s.state) && *bfd_diag_name(s.diag));
		assert(bfd_at(&s) > 0);
	}
	return 0;
}
