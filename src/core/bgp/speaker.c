// SPDX-License-Identifier: Apache-2.0
/* speaker: see speaker.h. What peers tell is in speaker_in.c, what they are told in speaker_out.c. */
#include "core/bgp/fault.h"
#include "core/bgp/speaker_state.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOTE 256

/* ---- saying */

void bgp_peer_note(const struct bgp_peer *p, bool bad, const char *fmt, ...)
{
	const struct bgp_io *io = &p->speaker->io;
	char text[NOTE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	io->note(p, bad, text, io->arg);
}

static void note_end(const struct bgp_peer *p, bool keep)
{
	const struct bgp_fault *f = &p->fsm.last;
	const char *sub = f->code ? bgp_sub_name(f->code, f->sub) : "";

	if (!f->code)
		bgp_peer_note(p, true, "down: %s%s", f->text, keep ? "; its routes are kept" : "");
	else
		bgp_peer_note(p, true, "down: %s says %s%s%s%s%s%s",
			      p->fsm.last_theirs ? "it" : "this end", bgp_code_name(f->code),
			      *sub ? ", " : "", sub, *f->text ? ": " : "", f->text,
			      keep ? "; its routes are kept" : "");
}

/* ---- sessions */

static void set_link(struct bgp_peer *p)
{
	const struct bgp_agreed *a = &p->fsm.agreed;
	struct bgp_link l = { .as4 = a->as4,
			      .ebgp = p->source.ebgp,
			      .peer_as = p->source.as,
			      .local = p->conf.next_hop[bgp_family_of_addr(&p->conf.addr)] };

	memcpy(l.family, a->family, sizeof(l.family));
	for (unsigned i = 0; i < BGP_FAMILIES; i++)
		p->channel[i].out.link = l;
}

/* RFC 4724 4.2: what it did not keep, or does not say any more, is not kept here either. */
static void up(struct bgp_peer *p, enum bgp_side side, int64_t now)
{
	const struct bgp_graceful *g = &p->fsm.peer.graceful;
	struct bgp_fault f;
	int rc = 0;

	p->source.id = p->fsm.peer.id;
	set_link(p);
	p->stale_until = 0;
	for (unsigned i = 0; i < BGP_FAMILIES; i++) {
		bool keeps = p->fsm.agreed.graceful && p->fsm.agreed.family[i] && g->kept[i];

		if (!keeps)
			bgp_peer_end_stale(p, i);
		else if (p->channel[i].stale)
			p->stale_until = now + g->restart_time * 1000;
		if (!rc && p->fsm.agreed.family[i])
			rc = bgp_channel_open(p, i);
	}
	bgp_peer_note(p, false, "up");
	bgp_speaker_settle(p->speaker);
	if (!rc)
		return;
	bgp_fault(&f, BGP_E_CEASE, BGP_E_RESOURCES, "no memory for its session");
	bgp_peer_fault(p, side, &f, now);
}

/* A second restart before the first was over: what is stale by then goes (RFC 4724 4.2). */
static void down(struct bgp_peer *p, bool keep, int64_t now)
{
	const struct bgp_graceful *g = &p->fsm.peer.graceful;
	bool any = false;

	for (unsigned i = 0; i < BGP_FAMILIES; i++) {
		struct bgp_channel *c = &p->channel[i];

		bgp_channel_close(p, i);
		bgp_peer_end_stale(p, i);
		if (!keep || !g->family[i]) {
			bgp_rib_forget(p->speaker->rib[i], &p->source);
			continue;
		}
		bgp_rib_mark_stale(p->speaker->rib[i], &p->source);
		c->stale = true;
		any = true;
	}
	p->stale_until = any ? now + g->restart_time * 1000 : 0;
	note_end(p, any);
	bgp_speaker_settle(p->speaker);
}

void bgp_channel_refresh(struct bgp_peer *p, enum bgp_family family)
{
	p->channel[family].end_said = false;
	bgp_channel_rewind(p, family);
}

static void act(struct bgp_peer *p, const struct bgp_action *a, const struct bgp_input *in,
		int64_t now)
{
	const struct bgp_io *io = &p->speaker->io;

	switch ((enum bgp_verb)a->verb) {
	case BGP_DO_CONNECT:
		io->connect(p, io->arg);
		break;
	case BGP_DO_TAKE:
		io->take(p, io->arg);
		break;
	case BGP_DO_SEND:
		io->send(p, a->side, p->speaker->actions.bytes.v + a->from, a->len, io->arg);
		break;
	case BGP_DO_CLOSE:
		io->close(p, a->side, io->arg);
		break;
	case BGP_DO_UP:
		up(p, a->side, now);
		break;
	case BGP_DO_DOWN:
		down(p, a->keep, now);
		break;
	case BGP_DO_UPDATE:
		bgp_peer_update(p, a->side, in->message, in->len, now);
		break;
	case BGP_DO_REFRESH:
		bgp_channel_refresh(p, a->family);
		break;
	}
}

/* Actions that lead to further steps (a faulty UPDATE) are always the last of theirs, as that step uses the same memory. */
void bgp_peer_step(struct bgp_peer *p, const struct bgp_input *in, int64_t now_ms)
{
	struct bgp_actions *out = &p->speaker->actions;
	struct bgp_action v[BGP_ACTIONS];
	uint32_t n;

	bgp_fsm_step(&p->fsm, in, now_ms, out);
	n = out->n;
	memcpy(v, out->v, n * sizeof(*v));
	for (uint32_t i = 0; i < n; i++)
		act(p, &v[i], in, now_ms);
}

void bgp_peer_fault(struct bgp_peer *p, enum bgp_side side, const struct bgp_fault *f,
		    int64_t now_ms)
{
	bgp_peer_step(p, &(struct bgp_input){ .event = BGP_EV_FAULT, .side = side, .fault = f },
		      now_ms);
}

void bgp_peer_connected(struct bgp_peer *p, int64_t now_ms)
{
	bgp_peer_step(p, &(struct bgp_input){ .event = BGP_EV_CONNECTED, .side = BGP_OURS },
		      now_ms);
}

void bgp_peer_accepted(struct bgp_peer *p, int64_t now_ms)
{
	bgp_peer_step(p, &(struct bgp_input){ .event = BGP_EV_ACCEPTED, .side = BGP_THEIRS },
		      now_ms);
}

void bgp_peer_failed(struct bgp_peer *p, enum bgp_side side, int64_t now_ms)
{
	bgp_peer_step(p, &(struct bgp_input){ .event = BGP_EV_FAILED, .side = side }, now_ms);
}

size_t bgp_peer_received(struct bgp_peer *p, enum bgp_side side, const uint8_t *v, size_t n,
			 int64_t now_ms)
{
	size_t done = 0;

	while (p->fsm.side[side].state >= BGP_OPENSENT) {
		struct bgp_fault f = { 0 };
		int len = bgp_message_next(v + done, n - done, &f);

		if (!len)
			break;
		if (len < 0) {
			bgp_peer_fault(p, side, &f, now_ms);
			break;
		}
		bgp_peer_step(p,
			      &(struct bgp_input){ .event = BGP_EV_MESSAGE,
						   .side = side,
						   .message = v + done,
						   .len = (uint16_t)len },
			      now_ms);
		done += (size_t)len;
	}
	return done;
}

/* ---- restart */

static void complete(struct bgp_speaker *s)
{
	s->restart_until = 0;
	for (struct bgp_peer *p = s->peers; p; p = p->hh.next)
		p->fsm.conf.graceful.restarting = false;
}

static bool has_told_all(const struct bgp_peer *p)
{
	for (unsigned i = 0; i < BGP_FAMILIES && p->fsm.agreed.graceful; i++)
		if (p->fsm.agreed.family[i] && !p->channel[i].end_heard)
			return false;
	return true;
}

/* RFC 4724 4.1: of those that help, everybody has told everything. Who is not up yet may still come. Peers that restart
 * as we do wait for us, so we do not for them; but what they will tell is missing until they did. */
void bgp_speaker_settle(struct bgp_speaker *s)
{
	bool whole = true;

	if (!s->whole_until)
		return;
	for (const struct bgp_peer *p = s->peers; p; p = p->hh.next) {
		bool told = bgp_fsm_side(&p->fsm) >= 0 && has_told_all(p);

		if (!told && (bgp_fsm_side(&p->fsm) < 0 || !p->fsm.peer.graceful.restarting))
			return;
		whole &= told;
	}
	if (s->restart_until)
		complete(s);
	if (whole)
		s->whole_until = 0;
}

bool bgp_speaker_is_complete(const struct bgp_speaker *s)
{
	return !s->whole_until;
}

/* ---- time */

int64_t bgp_speaker_at(const struct bgp_speaker *s)
{
	int64_t at = s->whole_until; /* when restart_until is, too */

	for (const struct bgp_peer *p = s->peers; p; p = p->hh.next)
		at = bgp_earlier(at, bgp_earlier(p->stale_until, bgp_fsm_at(&p->fsm)));
	return at;
}

static void time_of(struct bgp_peer *p, int64_t now)
{
	int64_t at = bgp_fsm_at(&p->fsm);

	if (p->stale_until && p->stale_until <= now) {
		p->stale_until = 0;
		for (unsigned i = 0; i < BGP_FAMILIES; i++)
			bgp_peer_end_stale(p, i);
		bgp_peer_note(p, true, "its restart took too long: its routes are gone");
	}
	if (at && at <= now)
		bgp_peer_step(p, &(struct bgp_input){ .event = BGP_EV_TIME }, now);
}

void bgp_speaker_time(struct bgp_speaker *s, int64_t now_ms)
{
	for (struct bgp_peer *p = s->peers; p; p = p->hh.next)
		time_of(p, now_ms);
	if (s->whole_until && s->whole_until <= now_ms) {
		complete(s);
		s->whole_until = 0;
	}
}

/* ---- our own routes */

int bgp_speaker_originate(struct bgp_speaker *s, const struct prefix *p,
			  const struct bgp_draft *attrs, int64_t now_ms)
{
	const struct bgp_draft plain = { .fixed.origin = BGP_ORIGIN_IGP };
	struct bgp_attrs *a = bgp_store_take(s->store, attrs ? attrs : &plain);
	int rc;

	if (!a)
		return -ENOMEM;
	rc = bgp_rib_put(s->rib[bgp_family_of_addr(&p->addr)], p, &s->own, a, false,
			 (uint32_t)(now_ms / 1000));
	bgp_store_drop(s->store, a);
	return rc;
}

void bgp_speaker_withdraw(struct bgp_speaker *s, const struct prefix *p)
{
	bgp_rib_withdraw(s->rib[bgp_family_of_addr(&p->addr)], p, &s->own);
}

/* ---- life */

struct bgp_speaker *bgp_speaker_new(const struct bgp_speaker_conf *c, const struct bgp_io *io,
				    int64_t now_ms)
{
	struct bgp_speaker *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->conf = *c;
	s->io = *io;
	s->own = (struct bgp_source){
		.index = s->next_index++, .as = c->as, .id = c->id, .local = true, .name = ""
	};
	s->restart_until = c->restarting ? now_ms + c->restart_time * 1000 : 0;
	s->whole_until = s->restart_until;
	arena_init(&s->scratch, 0);
	s->store = bgp_store_new();
	for (unsigned i = 0; i < BGP_FAMILIES && s->store; i++)
		s->rib[i] = bgp_rib_new(i, s->store, c->multipath);
	if (s->rib[BGP_IPV4] && s->rib[BGP_IPV6])
		return s;
	bgp_speaker_free(s);
	return NULL;
}

void bgp_speaker_free(struct bgp_speaker *s)
{
	if (!s)
		return;
	while (s->peers)
		bgp_peer_destroy(s->peers);
	for (unsigned i = 0; i < BGP_FAMILIES; i++)
		bgp_rib_free(s->rib[i]);
	bgp_store_free(s->store);
	bgp_actions_fini(&s->actions);
	arena_fini(&s->scratch);
	free(s->free_index);
	free(s);
}
