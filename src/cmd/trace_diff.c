// SPDX-License-Identifier: Apache-2.0
/* fairlead trace --diff on paper. */
#include "cmd/story_out.h"
#include "cmd/trace.h"

json_t *trace_diff_json(const struct story_comparison *c)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < c->differences.list.n; i++)
		json_array_append_new(list,
				      json_pack("{s:s, s:s}", "predicted",
						c->differences.list.v[i].predicted_text, "observed",
						c->differences.list.v[i].observed_text));
	return json_pack("{s:o, s:o}", "predicted", story_json(c->predicted), "differences", list);
}

void trace_diff_print(const struct story_comparison *c)
{
	uint32_t n = c->differences.list.n;

	if (!n) {
		puts("\nas predicted");
		return;
	}
	printf("\nnot as predicted, in %u place%s:\n", n, n > 1 ? "s" : "");
	for (uint32_t i = 0; i < n; i++)
		printf("%s  predicted  %s\n  observed   %s\n", i ? "\n" : "",
		       c->differences.list.v[i].predicted_text,
		       c->differences.list.v[i].observed_text);
}
