/* SPDX-License-Identifier: Apache-2.0 */
/* A story on paper, for `fairlead why` and `fairlead trace` alike. Needs story_words(). */
#pragma once
#include "core/trace/story.h"

#include <jansson.h>

/* docs/abi.md */
json_t *story_json(const struct story *s);
/* Just the array `hops`. */
json_t *story_hops_json(const struct story *s);
/* To standard output, as wide as the terminal; `explain`: below each hop what it is. 0, or the exit
 * code, having said why. */
int story_text(const struct story *s, bool explain, struct arena *a);
