/* SPDX-License-Identifier: Apache-2.0 */
/* The annotation fairlead.io/ips: never more than asked for, and only addresses.
 * Parser: daemon/agent_ips.c */
#include "daemon/agent_ips.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ipaddr v[4];
	uint32_t n = 0;
	struct err e = { .code = 0 };
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (!agent_ips_parse(text, v, 4, &n, &e)) {
		assert(n <= 4);
		for (uint32_t i = 0; i < n; i++)
			assert(addr_len(&v[i]) == 4 || addr_len(&v[i]) == 16);
	} else {
		assert(e.code == -22 && e.text[0] && !n);
	}
	free(text);
	return 0;
}
