/* SPDX-License-Identifier: Apache-2.0 */
/* ctnetlink messages as a dump brings them: decoding never reads outside of them, and what comes
 * out is an entry that has addresses of one family, of a protocol that is known, and can be printed.
 * Parser: sys/ctnl_decode.c model/conntrack.c */
#include "sys/ctnl.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void check(const struct ct_entry *c)
{
	uint8_t family = c->orig.src.family;
	char text[CT_TEXT];

	assert(addr_bits(&c->orig.src) && c->orig.dst.family == family &&
	       c->reply.src.family == family && c->reply.dst.family == family);
	assert(ctnl_knows(c->proto) && c->sctp_state < ct_sctp_names.n);
	assert(strlen(ct_str(c, text)) < sizeof(text) - 1);
	assert((strchr(strchr(text, '>') + 1, '>') != NULL) == ct_is_translated(c));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct nlmsghdr *nlh;
	char *copy = malloc(size ? size : 1); /* aligned, and its end is guarded */
	size_t off = 0;
	struct ct_entry c;

	if (size)
		memcpy(copy, data, size);
	while ((nlh = nl_walk(copy, size, &off)))
		if (ctnl_decode(nlh, &c))
			check(&c);
	free(copy);
	return 0;
}
