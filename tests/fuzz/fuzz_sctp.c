/* SPDX-License-Identifier: Apache-2.0 */
/* SCTP packets (base/sctp.h): what is accepted is written back to a packet that reads the same.
 * Parser: base/sctp.c */
#include "base/sctp.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sctp_packet p, again;
	uint8_t out[SCTP_PACKET_MAX];

	if (!sctp_parse(data, size, &p))
		return 0;
	assert(p.cookie_len <= SCTP_COOKIE_MAX);
	assert(sctp_parse(out, sctp_build(&p, out), &again));
	assert(again.type == p.type && again.src == p.src && again.dst == p.dst);
	assert(again.vtag == p.vtag && again.init_tag == p.init_tag);
	return 0;
}
