/* SPDX-License-Identifier: Apache-2.0 */
/* A story on a terminal: the verdict, then a line per hop in columns; where there is little room, two
 * lines per hop. Words that do not fit go on below where they began. Needs story_words(). */
#pragma once
#include "base/buf.h"
#include "core/trace/story.h"

#define STORY_NARROW 100 /* columns, from which on there is room for columns */

struct story_paint {
	unsigned width; /* columns; 0: lines are not broken */
	bool colour;
	bool explain; /* below each hop, what it is and how to see it */
};

void story_print(const struct story *s, const struct story_paint *p, struct arena *a,
		 struct buf *out);
