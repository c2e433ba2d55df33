// SPDX-License-Identifier: Apache-2.0
/* proxy_health: see proxy_health.h. */
#include "daemon/proxy_health.h"

#include <string.h>
#include <time.h>

void proxy_hear(struct proxy_health *p, const struct rec_proxy *r, int64_t now)
{
	p->heard = now;
	if (!r->updated && !r->queued)
		return; /* it starts, and knows nothing yet */
	if (r->updated)
		p->updated = r->updated;
	p->queued = r->queued;
	p->leaving = r->leaving;
}

bool proxy_is_healthy(const struct proxy_health *p, int64_t now)
{
	return p->updated && now - p->heard < PROXY_SILENT_MS &&
	       (!p->queued || now - p->queued < PROXY_LATE_MS);
}

/* As Go prints a time in UTC. */
static void put_time(struct buf *b, const char *key, int64_t wall)
{
	time_t s = wall / 1000;
	char text[32];
	struct tm tm;

	gmtime_r(&s, &tm);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	buf_printf(b, "\"%s\": \"%s.%03d +0000 UTC\"", key, text, (int)(wall % 1000));
}

void proxy_page(const struct proxy_health *p, int64_t now, int64_t wall, const char *path,
		struct http_answer *a)
{
	bool live = !strcmp(path, "/livez"), ok = proxy_is_healthy(p, now);
	struct buf *b = &a->body;

	if (!live && strcmp(path, "/healthz") != 0) {
		a->status = 404;
		buf_puts(b, "known are /healthz, /livez\n");
		return;
	}
	ok = ok && (live || !p->leaving);
	a->status = ok ? 200 : 503;
	a->type = "application/json";
	/* Of one that works, kube-proxy says that it did so just now. */
	buf_puts(b, "{");
	if (ok || p->updated)
		put_time(b, "lastUpdated", ok ? wall : wall - (now - p->updated));
	else
		buf_puts(b, "\"lastUpdated\": \"0001-01-01 00:00:00 +0000 UTC\"");
	buf_puts(b, ",");
	put_time(b, "currentTime", wall);
	if (!live)
		buf_printf(b, ", \"nodeEligible\": %s", p->leaving ? "false" : "true");
	buf_puts(b, "}");
}
