// SPDX-License-Identifier: Apache-2.0
/* progress: see progress.h. */
#include "daemon/progress.h"

#include <string.h>
#include <time.h>

void progress_init(struct progress *p, const struct moment *now)
{
	*p = (struct progress){ .born_us = now->wall_us,
				.rounds.bounds = &histogram_quick,
				.programming.bounds = &histogram_slow };
}

/* `n` digits at *s, and past them. */
static bool take_digits(const char **s, int n, int *out)
{
	*out = 0;
	for (; n; n--, (*s)++) {
		if (**s < '0' || **s > '9')
			return false;
		*out = 10 * *out + (**s - '0');
	}
	return true;
}

static bool take(const char **s, char c)
{
	return *(*s)++ == c;
}

bool progress_time(const char *text, int64_t *wall_us)
{
	const char *s = text;
	int64_t us = 0, digit = 100000;
	struct tm tm = { 0 };

	if (strnlen(text, 20) < 20 || !take_digits(&s, 4, &tm.tm_year) || !take(&s, '-') ||
	    !take_digits(&s, 2, &tm.tm_mon) || !take(&s, '-') || !take_digits(&s, 2, &tm.tm_mday) ||
	    !take(&s, 'T') || !take_digits(&s, 2, &tm.tm_hour) || !take(&s, ':') ||
	    !take_digits(&s, 2, &tm.tm_min) || !take(&s, ':') || !take_digits(&s, 2, &tm.tm_sec))
		return false;
	if (tm.tm_year < 1970 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 ||
	    tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return false;
	if (*s == '.') {
		const char *first = ++s;

		for (; *s >= '0' && *s <= '9'; s++, digit /= 10)
			us += digit * (*s - '0');
		if (s == first || s - first > 9)
			return false;
	}
	if (strcmp(s, "Z") != 0)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	*wall_us = (int64_t)timegm(&tm) * 1000000 + us;
	return true;
}

void progress_change(struct progress *p, enum progress_of of, const char *trigger)
{
	int64_t when;

	p->changes[of]++;
	p->pending[of]++;
	if (trigger && p->n_triggers < PROGRESS_TRIGGERS && progress_time(trigger, &when) &&
	    when >= p->born_us)
		p->triggers[p->n_triggers++] = when;
}

void progress_behind(struct progress *p, const struct moment *now)
{
	if (!p->queued)
		p->queued = now->mono_ms;
}

void progress_queued(struct progress *p, const struct moment *now)
{
	p->planned = false;
	p->queued_wall_us = now->wall_us;
	progress_behind(p, now);
}

void progress_slice(struct progress *p, uint64_t us, bool all)
{
	if (p->planned)
		return; /* there was nothing to plan */
	p->round_us += us;
	if (!all)
		return;
	histogram_observe(&p->rounds, p->round_us);
	p->round_us = 0;
	p->planned = true;
}

void progress_done(struct progress *p, const struct moment *now)
{
	if (p->updated && !p->queued && !p->pending[PROGRESS_SERVICES] &&
	    !p->pending[PROGRESS_SLICES])
		return;
	p->queued = 0;
	p->updated = now->mono_ms;
	p->done_wall_us = now->wall_us;
	for (int i = 0; i < PROGRESS_OF; i++)
		p->pending[i] = 0;
	for (size_t i = 0; i < p->n_triggers; i++)
		histogram_observe(&p->programming,
				  now->wall_us > p->triggers[i]
					  ? (uint64_t)(now->wall_us - p->triggers[i])
					  : 0);
	p->n_triggers = 0;
}
