/* SPDX-License-Identifier: Apache-2.0 */
/* rtnetlink messages as a dump or a notice brings them: decoding never reads outside of them, and what
 * comes out is an object that can be ordered, compared and printed.
 * Parser: sys/rtnl_decode.c sys/nlattr.c */
#include "sys/rtnl.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void check(const struct kobj *o)
{
	char text[512];

	assert(o->type > KOBJ_NONE && o->type <= KOBJ_FDB);
	assert(kobj_cmp(o, o) == 0 && kobj_same(o, o));
	assert(strlen(kobj_str(o, text, sizeof(text))) > 0);
	if (o->type == KOBJ_ROUTE)
		assert(o->route.dst.len <= addr_bits(&o->route.dst.addr));
	if (o->type == KOBJ_LINK)
		assert(memchr(o->link.name, 0, IFNAME_LEN) && o->link.name[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ifnames *names = ifnames_new();
	const struct nlmsghdr *nlh;
	char *copy = malloc(size ? size : 1); /* aligned, and its end is guarded */
	size_t off = 0;
	struct kobj o;
	int index;

	if (size)
		memcpy(copy, data, size);
	while ((nlh = nl_walk(copy, size, &off)))
		if (rtnl_decode(names, nlh, &o, &index) > 0)
			check(&o);
	free(copy);
	ifnames_free(names);
	return 0;
}
