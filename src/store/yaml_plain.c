// SPDX-License-Identifier: Apache-2.0
/* Plain scalars: YAML 1.1's types as go-yaml resolves them (null, bool, int, float; dates stay
 * strings, and so do .inf and .nan, which JSON cannot say). Only `y` and `n` differ: they stay
 * what a person means who names a namespace so. */
#include "store/yaml_plain.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool is_word(const char *s, const char *const *list)
{
	for (; *list; list++)
		if (!strcmp(s, *list))
			return true;
	return false;
}

static json_t *word(const char *s)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
	static const char *const yes[] = { "true", "True", "TRUE", "yes", "Yes",
					   "YES",  "on",   "On",   "ON",  NULL };
	static const char *const no[] = { "false", "False", "FALSE", "no",  "No",
					  "NO",    "off",   "Off",   "OFF", NULL };

	if (is_word(s, nulls))
		return json_null();
	if (is_word(s, yes))
		return json_true();
	return is_word(s, no) ? json_false() : NULL;
}

static json_t *integer(const char *s)
{
	const char *digits = s + (*s == '-' || *s == '+');
	int base = 10;
	long long v;
	char *end;

	if (digits[0] == '0' && digits[1]) {
		base = digits[1] == 'x' ? 16 : digits[1] == 'b' ? 2 : 8;
		digits += base != 8 || digits[1] == 'o' ? 2 : 1;
	}
	/* strtoll would take a second sign, space, or "0x" once more. */
	if (!*digits ||
	    strspn(digits, base == 16 ? "0123456789abcdefABCDEF" : "0123456789") != strlen(digits))
		return NULL;
	errno = 0;
	v = strtoll(digits, &end, base);
	if (errno || *end)
		return NULL;
	return json_integer(*s == '-' ? -v : v);
}

static json_t *real(const char *s)
{
	const char *p = s + (*s == '-' || *s == '+');
	size_t whole = strspn(p, "0123456789"), fraction = 0;
	double v;

	p += whole;
	if (*p == '.') {
		fraction = strspn(p + 1, "0123456789");
		p += 1 + fraction;
	}
	if (!whole && !fraction)
		return NULL;
	if (*p == 'e' || *p == 'E') {
		size_t n;

		p += 1 + (p[1] == '-' || p[1] == '+');
		n = strspn(p, "0123456789");
		if (!n)
			return NULL;
		p += n;
	}
	if (*p)
		return NULL;
	v = strtod(s, NULL);
	return isfinite(v) ? json_real(v) : NULL;
}

json_t *yaml_plain(const char *s, size_t n)
{
	json_t *j = NULL;
	char text[64];

	/* Nothing longer than this is a number or a word. */
	if (n < sizeof(text) && !memchr(s, 0, n)) {
		memcpy(text, s, n);
		text[n] = 0;
		j = word(text);
		if (!j)
			j = integer(text);
		if (!j)
			j = real(text);
	}
	return j ? j : json_stringn(s, n);
}
