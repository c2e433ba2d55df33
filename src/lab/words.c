// SPDX-License-Identifier: Apache-2.0
/* words: see words.h. */
#include "lab/words.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

char *words_next(char **rest)
{
	static char none[1];
	char *w = strsep(rest, " ");

	return w ? w : none;
}

int words_number(const char *text, uint64_t max, uint64_t *out)
{
	unsigned long long v;
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || *end || v > max)
		return -EINVAL;
	*out = v;
	return 0;
}
