/* SPDX-License-Identifier: Apache-2.0 */
/* What is missing, and since when: nothing is believed to be gone before two looks, a grace period
 * apart, did not find it, nor any look between them. One look is
 *
 *     absence_note() for everything that is missing; absence_end();
 *
 * after which absence_lasts() tells. What one look did not note begins anew. Zeroed but for
 * `grace` it is ready. */
#pragma once
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct absence {
	int64_t grace; /* ms */
	struct absent *v;
	size_t n, cap;
};

/* `now` never goes back. */
int absence_note(struct absence *a, const char *what, int64_t now, struct err *e);
void absence_end(struct absence *a);
bool absence_lasts(const struct absence *a, const char *what, int64_t now);
/* When the next of them will have lasted; 0: none. */
int64_t absence_next(const struct absence *a, int64_t now);
/* The looks so far do not count any more; also frees. */
void absence_forget(struct absence *a);
