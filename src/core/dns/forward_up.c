// SPDX-License-Identifier: Apache-2.0
/* forward_up: which upstreams live, and which lead back to us.
 *
 * Health, as CoreDNS does it: the first failure begins to probe, `max_fails` on end are down, any answer at all is up again: a server that
 * says SERVFAIL or REFUSED lives. Loops, as CoreDNS' plugin of that name finds them: each upstream is asked once for a name that nobody
 * else can know, with its number in it; if we are asked for that name, then that upstream leads here. It may do so through servers that
 * drop what they do not know, so that an EDNS option would not come back, and a name does. Looked for at the start, whenever an upstream
 * comes back, and as long as it loops, from time to time. Meanwhile a loop ends by itself, as a question that comes back joins itself. */
#include "core/dns/forward_state.h"

#include <stdio.h>
#include <string.h>

#define KEY_DIGITS   16
#define NONCE_DIGITS 8
#define PREFIX       "loop-"

/* loop-N.KEY-AND-NONCE: never the same twice, as somebody on the way may remember that there was no such name, or no such top level
 * (RFC 8020, 8198); of two labels, as some do not pass on one. */
static void loop_name(const struct dns_forward *f, unsigned upstream, struct dns_name *out)
{
	char label[KEY_DIGITS + NONCE_DIGITS + 1];
	int n;

	dns_name_copy(out, &dns_root);
	n = snprintf(label, sizeof(label), PREFIX "%u", upstream);
	dns_name_put(out, label, (size_t)n);
	n = snprintf(label, sizeof(label), "%016llx%08x", (unsigned long long)f->conf.loop_key,
		     f->io.random(f->io.arg));
	dns_name_put(out, label, (size_t)n);
}

bool forward_is_loop(const struct dns_forward *f, const struct dns_question *q, unsigned *upstream)
{
	static const size_t prefix = sizeof(PREFIX) - 1;
	const uint8_t *label[DNS_LABELS_MAX];
	char key[KEY_DIGITS + 1];
	unsigned v = 0;

	if (q->type != DNS_HINFO || dns_name_labels(&q->name, label) != 2 ||
	    label[0][0] <= prefix || label[0][0] > prefix + 2 ||
	    label[1][0] != KEY_DIGITS + NONCE_DIGITS)
		return false;
	snprintf(key, sizeof(key), "%016llx", (unsigned long long)f->conf.loop_key);
	if (memcmp(label[0] + 1, PREFIX, prefix) != 0 || memcmp(label[1] + 1, key, KEY_DIGITS) != 0)
		return false;
	for (size_t i = 1 + prefix; i <= label[0][0]; i++) {
		if (label[0][i] < '0' || label[0][i] > '9')
			return false;
		v = v * 10 + label[0][i] - '0';
	}
	*upstream = v;
	return v < f->conf.upstreams;
}

void dns_forward_looped(struct dns_forward *f, int64_t now, unsigned upstream)
{
	struct upstream *u = &f->up[upstream];

	u->seen = u->s.looped = true;
	u->loop_at = now + f->conf.loop_ms;
}

static void ask(struct dns_forward *f, int64_t now, unsigned upstream, enum question_kind kind)
{
	struct dns_question q = { .class = DNS_IN, .type = DNS_HINFO };
	struct question *out;

	if (kind == PROBE) {
		dns_name_copy(&q.name, &f->conf.probe_name);
		q.type = f->conf.probe_type;
	} else {
		loop_name(f, upstream, &q.name);
		f->up[upstream].seen = false;
	}
	out = forward_begin(f, now, &q, kind, upstream);
	if (out && !forward_try_next(f, now, out))
		forward_fail(f, now, out);
}

void forward_up_answered(struct dns_forward *f, int64_t now, unsigned upstream)
{
	struct upstream *u = &f->up[upstream];

	u->s.answered++;
	u->s.fails = 0;
	u->probe_at = INT64_MAX;
	if (u->s.down)
		u->loop_at = now;
	u->s.down = false;
}

void forward_up_failed(struct dns_forward *f, int64_t now, unsigned upstream)
{
	struct upstream *u = &f->up[upstream];

	if (!f->conf.max_fails)
		return;
	u->s.fails++;
	u->s.down |= u->s.fails >= f->conf.max_fails;
	if (!u->probing && u->probe_at == INT64_MAX)
		u->probe_at = now;
}

/* A probe that was answered has made fails 0. */
void forward_probe_ended(struct dns_forward *f, int64_t now, unsigned upstream,
			 enum question_kind kind)
{
	struct upstream *u = &f->up[upstream];

	if (kind == PROBE) {
		u->probing = false;
		if (u->s.fails) {
			u->s.probes_failed++;
			u->probe_at = now + f->conf.probe_ms;
		}
		return;
	}
	u->looking = false;
	u->s.looped = u->seen;
	u->loop_at = u->seen ? now + f->conf.loop_ms : INT64_MAX;
}

void forward_up_time(struct dns_forward *f, int64_t now)
{
	for (unsigned i = 0; i < f->conf.upstreams; i++) {
		struct upstream *u = &f->up[i];

		if (!u->probing && now >= u->probe_at) {
			u->probe_at = INT64_MAX;
			u->probing = true;
			ask(f, now, i, PROBE);
		}
		if (!u->looking && now >= u->loop_at) {
			u->loop_at = INT64_MAX;
			u->looking = true;
			ask(f, now, i, LOOP_PROBE);
		}
	}
}

int64_t forward_up_at(const struct dns_forward *f)
{
	int64_t at = INT64_MAX;

	for (unsigned i = 0; i < f->conf.upstreams; i++) {
		if (!f->up[i].probing && f->up[i].probe_at < at)
			at = f->up[i].probe_at;
		if (!f->up[i].looking && f->up[i].loop_at < at)
			at = f->up[i].loop_at;
	}
	return at;
}
