/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that may be missing. */
#pragma once
#include <stdbool.h>
#include <string.h>

/* A missing one equals only a missing one. */
static inline bool text_eq(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

/* A missing one is as "". */
static inline bool text_eq_or_empty(const char *a, const char *b)
{
	return !strcmp(a ? a : "", b ? b : "");
}

static inline const char *text_or_dash(const char *s)
{
	return s ? s : "-";
}
