// SPDX-License-Identifier: Apache-2.0
/* Columns are as wide as their widest cell. A place is written where it changes, so that the eye finds
 * the way through nodes and pods; colours mark directions and ends, and say nothing that words do not. */
#include "core/trace/print.h"

#include "core/trace/words.h"

#include <string.h>

#define RED    "\033[31m"
#define GREEN  "\033[32m"
#define YELLOW "\033[33m"
#define DIM    "\033[2m"
#define BOLD   "\033[1m"
#define PLAIN  "\033[0m"

struct page {
	const struct story_paint *paint;
	struct arena *a;
	struct buf *out;
	size_t place, step; /* widths of columns */
};

static void coloured(const struct page *p, const char *colour, const char *text)
{
	if (p->paint->colour && colour)
		buf_printf(p->out, "%s%s%s", colour, text, PLAIN);
	else
		buf_puts(p->out, text);
}

static void spaces(struct buf *b, size_t n)
{
	buf_printf(b, "%*s", (int)n, "");
}

/* How much of the text fits into so many columns, up to the end of a word where one ends there. */
static size_t fitting(const char *text, size_t room)
{
	size_t n = strlen(text);

	if (n <= room)
		return n;
	for (size_t i = room; i > room / 2; i--)
		if (text[i] == ' ')
			return i;
	return room;
}

/* From column `at` on, where the cursor is; what does not fit begins there again. */
static void wrapped(const struct page *p, const char *text, size_t at, const char *colour)
{
	size_t room = p->paint->width > at + 20 ? p->paint->width - at : 20, n;

	if (!p->paint->width)
		room = strlen(text) + 1;
	for (;;) {
		n = fitting(text, room);
		coloured(p, colour, arena_strndup(p->a, text, n) ?: "");
		buf_puts(p->out, "\n");
		text += n + strspn(text + n, " ");
		if (!*text)
			return;
		spaces(p->out, at);
	}
}

/* "+12.3 us" in eight columns; blank where clocks do not say. */
#define SINCE_COLUMNS 9

static const char *since_text(int64_t ns, struct arena *a)
{
	if (ns < 0)
		return "";
	if (ns < 1000000)
		return arena_printf(a, "+%.1f us", (double)ns / 1e3);
	if (ns < 1000000000)
		return arena_printf(a, "+%.1f ms", (double)ns / 1e6);
	return arena_printf(a, "+%.1f s", (double)ns / 1e9);
}

static const char *colour_of(const struct story_hop *h)
{
	switch (h->step) {
	case STORY_DROP:
	case STORY_REFUSE:
		return RED;
	case STORY_DELIVER:
	case STORY_ANSWER:
		return GREEN;
	case STORY_SERVICE:
	case STORY_SNAT:
	case STORY_UNTRANSLATE:
		return YELLOW;
	default:
		return NULL;
	}
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : !a && !b;
}

static bool same_place(const struct story_hop *a, const struct story_hop *b)
{
	return a->direction == b->direction && same_text(a->node, b->node) &&
	       same_text(a->netns, b->netns);
}

static void explain(const struct page *p, const struct story_hop *h, size_t at)
{
	if (!p->paint->explain)
		return;
	if (h->explain) {
		spaces(p->out, at);
		wrapped(p, h->explain, at, DIM);
	}
	if (h->show) {
		spaces(p->out, at);
		wrapped(p, arena_printf(p->a, "$ %s", h->show) ?: "", at, DIM);
	}
}

static void wide_hop(const struct page *p, const struct story_hop *h, const char *place)
{
	size_t at = SINCE_COLUMNS + 2 + p->place + 2 + p->step + 2;

	buf_printf(p->out, "%*s  %-*s  ", SINCE_COLUMNS, since_text(h->since, p->a), (int)p->place,
		   place);
	buf_printf(p->out, "%-*s  ", (int)p->step, name_of(&story_step_names, h->step));
	wrapped(p, h->text, at, colour_of(h));
	explain(p, h, at);
}

static void narrow_hop(const struct page *p, const struct story_hop *h, const char *place)
{
	const char *since = since_text(h->since, p->a);

	if (*place) {
		coloured(p, BOLD, place);
		buf_puts(p->out, "\n");
	}
	buf_printf(p->out, "  %s%s%s\n    ", name_of(&story_step_names, h->step), *since ? " " : "",
		   since);
	wrapped(p, h->text, 4, colour_of(h));
	explain(p, h, 4);
}

static void measure(struct page *p, const struct story *s)
{
	for (uint32_t i = 0; i < s->hops.n; i++) {
		const struct story_hop *h = &s->hops.v[i];
		size_t place = strlen(story_place_text(h, p->a) ?: "");
		size_t step = strlen(name_of(&story_step_names, h->step));

		p->place = place > p->place ? place : p->place;
		p->step = step > p->step ? step : p->step;
	}
}

static void print_hops(const struct page *p, const struct story *s)
{
	bool narrow = p->paint->width && p->paint->width < STORY_NARROW;

	for (uint32_t i = 0; i < s->hops.n; i++) {
		const struct story_hop *h = &s->hops.v[i], *before = i ? h - 1 : NULL;
		const char *place = before && same_place(before, h)
					    ? ""
					    : story_place_text(h, p->a) ?: "";

		if (!before || before->direction != h->direction) {
			buf_puts(p->out, "\n");
			coloured(p, BOLD, h->direction == STORY_REQUEST ? "request" : "reply");
			buf_puts(p->out, "\n");
		}
		if (narrow)
			narrow_hop(p, h, place);
		else
			wide_hop(p, h, place);
	}
}

static const char *colour_of_verdict(const struct story *s)
{
	switch (s->verdict) {
	case STORY_ANSWERED:
	case STORY_DELIVERED:
		return GREEN;
	case STORY_UNKNOWN:
		return YELLOW;
	default:
		return RED;
	}
}

/* Of what was sent as short as can be it does not matter. */
static void print_mtu(const struct page *p, const struct story *s)
{
	const struct story_hop *h = s->narrowest;

	if (!h || (s->observed && !s->hops.v[0].after.length))
		return;
	buf_printf(p->out, "at most: %u bytes, at %s%s%s\n", h->mtu,
		   story_place_text(h, p->a) ?: "-", h->device ? " by " : "",
		   h->device ? h->device : "");
}

void story_print(const struct story *s, const struct story_paint *paint, struct arena *a,
		 struct buf *out)
{
	struct page p = { .paint = paint, .a = a, .out = out };

	measure(&p, s);
	wrapped(&p, s->sentence, 0, colour_of_verdict(s));
	if (s->advice) {
		buf_puts(out, "advice: ");
		wrapped(&p, s->advice, 8, NULL);
	}
	print_mtu(&p, s);
	for (uint32_t i = 0; i < s->unseen.n; i++) {
		buf_puts(out, "not seen: ");
		wrapped(&p, s->unseen.v[i], 10, NULL);
	}
	print_hops(&p, s);
}
