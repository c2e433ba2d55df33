// SPDX-License-Identifier: Apache-2.0
/* Stories against golden files. NAME.trace.yaml is a PacketTrace with what nodes saw, NAME.txt the story:
 * in tests/golden/trace by hand, in the cluster of cluster.yaml; in trace-recorded as labs' nodes wrote it
 * (`fairlead trace --keep`), beside the objects of those labs, and in what it is not as these predict.
 * And what must not matter to it: clocks of nodes and their order in the object; and that whatever is
 * missing, there is a story. */
#include "core/trace/compare.h"
#include "core/trace/join.h"
#include "core/trace/print.h"
#include "store/manifest.h"
#include "tests/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct scene {
	struct cluster *cluster;
	struct story_view view;
	struct packet_trace *trace;
};

static void parse(struct manifest *m, const char *path)
{
	size_t n;
	char *text = golden_read(path, &n);

	manifest_parse(m, path, text, n);
	for (size_t i = 0; i < m->n_errors; i++)
		fail_msg("%s", m->errors[i]);
	free(text);
}

static void scene_load(struct scene *s, const char *stem)
{
	struct manifest m = { .n_items = 0 };
	const struct object *const *all;
	char path[256];
	size_t n;

	snprintf(path, sizeof(path), "%s.trace.yaml", stem);
	if (!strncmp(stem, "trace/", 6))
		parse(&m, "trace/cluster.yaml");
	parse(&m, path);
	s->cluster = cluster_new();
	manifest_into_cluster(&m, s->cluster);
	manifest_fini(&m);
	all = cluster_all(s->cluster, KIND_PACKETTRACE, &n);
	assert_int_equal(n, 1);
	s->trace = all[0]->body;
	s->view = (struct story_view){ .cluster = s->cluster };
}

/* The caller frees. */
static char *told(const struct scene *s, const struct story_paint *paint)
{
	struct story story;
	struct buf b = { .v = NULL };
	struct arena a;
	struct err e = { .code = 0 };

	arena_init(&a, 0);
	if (story_join(&s->view, s->trace, &a, &story, &e))
		fail_msg("%s", e.text);
	assert_true(story.hops.n > 0);
	for (uint32_t i = 0; i < story.hops.n; i++) {
		assert_non_null(story.hops.v[i].text);
		assert_non_null(story.hops.v[i].explain);
	}
	buf_printf(&b, "%s\n", name_of(&story_verdict_names, story.verdict));
	story_print(&story, paint, &a, &b);
	assert_false(b.failed);
	arena_fini(&a);
	return b.v;
}

static const struct story_paint wide = { .width = 0 };

/* The caller frees. */
static char *compared(const struct scene *s, const char *head)
{
	struct story_comparison c;
	struct story story;
	struct buf b = { .v = NULL };
	struct arena a;
	struct err e = { .code = 0 };

	arena_init(&a, 0);
	if (story_join(&s->view, s->trace, &a, &story, &e) ||
	    story_compare(&s->view, s->trace, &story, &a, &c, &e))
		fail_msg("%s", e.text);
	buf_printf(&b, "%s\n%s\n", head,
		   c.differences.list.n ? "not as predicted" : "as predicted");
	for (uint32_t i = 0; i < c.differences.list.n; i++)
		buf_printf(&b, "predicted  %s\nobserved   %s\n",
			   c.differences.list.v[i].predicted_text,
			   c.differences.list.v[i].observed_text);
	assert_false(b.failed);
	arena_fini(&a);
	return b.v;
}

static void check_case(const char *stem, void *arg)
{
	struct scene s;
	char path[256], *story, *text;

	(void)arg;
	scene_load(&s, stem);
	text = told(&s, &wide);
	if (strncmp(stem, "trace/", 6) != 0) {
		story = text;
		text = compared(&s, story);
		free(story);
	}
	snprintf(path, sizeof(path), "%s.txt", stem);
	golden_check(path, text);
	free(text);
	cluster_free(s.cluster);
}

static void each_case(void (*fn)(const char *stem, void *arg))
{
	golden_each("trace", ".trace.yaml", fn, NULL);
	golden_each("trace-recorded", ".trace.yaml", fn, NULL);
}

static void test_stories(void **state)
{
	(void)state;
	each_case(check_case);
}

/* ---- what does not matter */

static void shift_clock(struct trace_node *n, int64_t by)
{
	for (uint32_t i = 0; i < n->observations.n; i++)
		n->observations.v[i].at += by;
}

/* A node's clock may be wrong by what it likes, but for the one that sent the probe. */
static void check_clocks(const char *stem, void *arg)
{
	static const int64_t shifts[] = { -1000000000000, -1, 77, 3600000000000 };
	struct scene s;
	char *before, *after;

	(void)arg;
	scene_load(&s, stem);
	before = told(&s, &wide);
	for (uint32_t i = 0; i < s.trace->status.nodes.n; i++) {
		struct trace_node *n = &s.trace->status.nodes.v[i];

		if (s.trace->spec.source.node && !strcmp(n->name, s.trace->spec.source.node))
			continue;
		for (size_t k = 0; k < sizeof(shifts) / sizeof(*shifts); k++) {
			shift_clock(n, shifts[k]);
			after = told(&s, &wide);
			assert_string_equal(after, before);
			free(after);
			shift_clock(n, -shifts[k]);
		}
	}
	free(before);
	cluster_free(s.cluster);
}

static void test_clocks_do_not_matter(void **state)
{
	(void)state;
	each_case(check_clocks);
}

static void check_order(const char *stem, void *arg)
{
	struct scene s;
	char *before, *after;

	(void)arg;
	scene_load(&s, stem);
	before = told(&s, &wide);
	for (uint32_t i = 0, n = s.trace->status.nodes.n; i < n / 2; i++) {
		struct trace_node t = s.trace->status.nodes.v[i];

		s.trace->status.nodes.v[i] = s.trace->status.nodes.v[n - 1 - i];
		s.trace->status.nodes.v[n - 1 - i] = t;
	}
	after = told(&s, &wide);
	assert_string_equal(after, before);
	free(after);
	free(before);
	cluster_free(s.cluster);
}

static void test_order_of_nodes_does_not_matter(void **state)
{
	(void)state;
	each_case(check_order);
}

/* Each observation may be missing: events get lost. */
static void check_gaps(const char *stem, void *arg)
{
	struct scene s;

	(void)arg;
	scene_load(&s, stem);
	for (uint32_t i = 0; i < s.trace->status.nodes.n; i++) {
		struct trace_node *n = &s.trace->status.nodes.v[i];

		for (uint32_t k = 0; k < n->observations.n; k++) {
			struct trace_observation o = n->observations.v[k];

			n->observations.v[k] = (struct trace_observation){ .at = o.at };
			free(told(&s, &wide));
			n->observations.v[k] = o;
		}
	}
	cluster_free(s.cluster);
}

static void test_gaps_are_survived(void **state)
{
	(void)state;
	each_case(check_gaps);
}

/* ---- on paper */

static void test_narrow_and_explained(void **state)
{
	const struct story_paint narrow = { .width = 72, .explain = true };
	struct scene s;
	char *text;

	(void)state;
	scene_load(&s, "trace/service-vxlan");
	text = told(&s, &narrow);
	for (const char *line = text, *end; *line; line = end + 1) {
		end = strchr(line, '\n');
		if (!end)
			break;
		assert_in_range((uintmax_t)(end - line), 0, 72);
	}
	golden_check("trace/narrow-explained.story", text);
	free(text);
	cluster_free(s.cluster);
}

/* Colours are laid around words, and change none. */
static void test_colours(void **state)
{
	const struct story_paint coloured = { .colour = true };
	struct scene s;
	char *text, *plain, *to;

	(void)state;
	scene_load(&s, "trace/service-vxlan");
	plain = told(&s, &wide);
	text = told(&s, &coloured);
	assert_non_null(strchr(text, '\033'));
	assert_null(strchr(plain, '\033'));
	to = text;
	for (const char *from = text; *from;) {
		if (*from == '\033')
			from = strchr(from, 'm') + 1;
		else
			*to++ = *from++;
	}
	*to = '\0';
	assert_string_equal(text, plain);
	free(text);
	free(plain);
	cluster_free(s.cluster);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stories),
		cmocka_unit_test(test_clocks_do_not_matter),
		cmocka_unit_test(test_order_of_nodes_does_not_matter),
		cmocka_unit_test(test_gaps_are_survived),
		cmocka_unit_test(test_narrow_and_explained),
		cmocka_unit_test(test_colours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
