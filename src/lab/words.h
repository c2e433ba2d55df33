/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of words: what the lab's processes write down and say to each other. */
#pragma once
#include <stdint.h>

/* The next word of a line, "" at its end; words are parted by single spaces. */
char *words_next(char **rest);

/* A decimal number up to `max`: digits only, all of the text. 0 or -EINVAL. */
int words_number(const char *text, uint64_t max, uint64_t *out);
