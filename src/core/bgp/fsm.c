// SPDX-License-Identifier: Apache-2.0
/* fsm: see fsm.h. What each state does with a message stands in the table of messages at its end; timers and connections have
 * a function for each event. Sections are RFC 4271's. */
#include "core/bgp/fsm.h"

#include "core/bgp/fault.h"

#include <string.h>

#define OPEN_HOLD_MS  240000 /* 8.2.2: large, until OPEN says better */
#define IDLE_FIRST_MS 1000
#define IDLE_MOST_MS  60000
#define STEADY_MS     60000 /* Established for so long: the next wait is the first again */
#define COMES_MS      200   /* after our restart: a peer that came meanwhile is met first */

struct step {
	struct bgp_fsm *f;
	const struct bgp_input *in;
	struct bgp_actions *out;
	int64_t now;
};

static const char *const state_names[] = { "Idle",     "Connect",     "Active",
					   "OpenSent", "OpenConfirm", "Established" };

const char *bgp_state_name(enum bgp_state s)
{
	return state_names[s];
}

/* ---- actions */

static struct bgp_action *act(struct step *s, enum bgp_verb verb, enum bgp_side side)
{
	struct bgp_action *a = &s->out->v[s->out->n];

	if (s->out->n == BGP_ACTIONS)
		return &s->out->v[BGP_ACTIONS - 1];
	s->out->n++;
	*a = (struct bgp_action){ .verb = (uint8_t)verb, .side = (uint8_t)side };
	return a;
}

/* What was appended to the bytes since `from` is one message. */
static void put_sent(struct step *s, enum bgp_side side, enum bgp_message type, size_t from)
{
	struct bgp_action *a = act(s, BGP_DO_SEND, side);

	a->from = (uint32_t)from;
	a->len = (uint32_t)(s->out->bytes.n - from);
	s->f->out[type]++;
}

static void send_notification(struct step *s, enum bgp_side side, const struct bgp_fault *fault)
{
	size_t from = s->out->bytes.n;

	bgp_notification_put(&s->out->bytes, fault);
	put_sent(s, side, BGP_NOTIFICATION, from);
}

static void send_open(struct step *s, enum bgp_side side)
{
	const struct bgp_session_conf *c = &s->f->conf;
	size_t from = s->out->bytes.n;
	struct bgp_open o = { .version = BGP_VERSION,
			      .as = c->local_as,
			      .id = c->local_id,
			      .hold_time = c->hold_time,
			      .as4 = c->as4,
			      .refresh = c->refresh,
			      .multiprotocol = true,
			      .graceful = c->graceful };

	memcpy(o.family, c->family, sizeof(o.family));
	bgp_open_put(&s->out->bytes, &o);
	put_sent(s, side, BGP_OPEN, from);
}

static void send_keepalive(struct step *s, enum bgp_side side)
{
	struct bgp_connection *c = &s->f->side[side];
	size_t from = s->out->bytes.n;

	bgp_keepalive_put(&s->out->bytes);
	put_sent(s, side, BGP_KEEPALIVE, from);
	if (c->keepalive_at)
		c->keepalive_at = s->now + s->f->agreed.keepalive * 1000;
}

/* ---- beginnings */

static void try_connect(struct step *s)
{
	struct bgp_fsm *f = s->f;

	f->side[BGP_OURS] = (struct bgp_connection){ .state = BGP_CONNECT };
	f->waits = false;
	f->retry_at = s->now + f->conf.connect_retry * 1000;
	act(s, BGP_DO_CONNECT, BGP_OURS);
}

static void begin(struct step *s, enum bgp_side side)
{
	s->f->side[side] =
		(struct bgp_connection){ .state = BGP_OPENSENT, .hold_at = s->now + OPEN_HOLD_MS };
	send_open(s, side);
}

/* ---- ends */

static bool is_idle(const struct bgp_fsm *f)
{
	return !f->side[BGP_OURS].state && !f->side[BGP_THEIRS].state;
}

/* RFC 4724 4.2, RFC 8538 3: a connection that breaks is a restart; one that is ended by a NOTIFICATION only where both say so, and not
 * by a hard reset. */
static bool keeps(const struct bgp_fsm *f, const struct bgp_fault *why)
{
	if (!f->agreed.graceful || !f->started)
		return false;
	if (!why || !why->code)
		return true;
	return f->agreed.notification &&
	       !(why->code == BGP_E_CEASE && why->sub == BGP_E_HARD_RESET);
}

static void put_off(struct step *s, bool fault)
{
	struct bgp_fsm *f = s->f;

	if (!f->started || f->conf.passive)
		return;
	f->waits = fault;
	f->retry_at = s->now + (fault ? f->idle_ms : f->conf.connect_retry * 1000);
	if (fault && f->idle_ms < IDLE_MOST_MS)
		f->idle_ms = 2 * f->idle_ms < IDLE_MOST_MS ? 2 * f->idle_ms : IDLE_MOST_MS;
}

/* The connection is no more; `why` (NULL: it broke) as said by the peer or by us. */
static void drop(struct step *s, enum bgp_side side, const struct bgp_fault *why, bool theirs)
{
	struct bgp_fsm *f = s->f;
	uint8_t was = f->side[side].state;

	f->side[side] = (struct bgp_connection){ 0 };
	act(s, BGP_DO_CLOSE, side);
	if (was >= BGP_OPENSENT) {
		f->last = why ? *why : (struct bgp_fault){ .text = "the connection broke" };
		f->last_theirs = theirs;
	}
	if (was == BGP_ESTABLISHED) {
		if (s->now - f->up_at >= STEADY_MS)
			f->idle_ms = IDLE_FIRST_MS;
		f->down_at = s->now;
		f->ends++;
		act(s, BGP_DO_DOWN, side)->keep = keeps(f, why);
	}
	if (is_idle(f))
		put_off(s, was >= BGP_OPENSENT);
}

/* We end it, and say why. */
static void end(struct step *s, enum bgp_side side, const struct bgp_fault *why)
{
	struct bgp_fault copy = *why; /* it may be ours */

	if (s->f->side[side].state >= BGP_OPENSENT)
		send_notification(s, side, &copy);
	drop(s, side, &copy, false);
}

static void end_with(struct step *s, enum bgp_side side, uint8_t code, uint8_t sub,
		     const char *what)
{
	struct bgp_fault f = { 0 };

	bgp_fault(&f, code, sub, "%s", what);
	end(s, side, &f);
}

/* ---- connections */

static void start(struct step *s)
{
	struct bgp_fsm *f = s->f;

	if (f->started)
		return;
	f->started = true;
	f->idle_ms = IDLE_FIRST_MS;
	/* Its connection waits in the listener's queue. A second one would be Established there while it loses the collision here (6.8),
	 * and its end, told by a NOTIFICATION, would cost the routes that the peer kept through the restart. */
	if (f->conf.graceful.restarting && !f->conf.passive)
		f->retry_at = s->now + COMES_MS;
	else if (!f->conf.passive)
		try_connect(s);
}

static void stop(struct step *s)
{
	s->f->started = false;
	for (unsigned i = 0; i < BGP_SIDES; i++)
		if (s->f->side[i].state)
			end(s, i, s->in->fault);
	s->f->retry_at = 0;
	s->f->waits = false;
}

static void connected(struct step *s)
{
	if (s->f->side[BGP_OURS].state == BGP_CONNECT)
		begin(s, BGP_OURS);
}

/* A peer that connects anew does not know the connection that it had. */
static void accepted(struct step *s)
{
	struct bgp_fsm *f = s->f;
	int up = bgp_fsm_side(f);

	if (!f->started || (up >= 0 && !f->agreed.graceful))
		return;
	if (up >= 0)
		drop(s, (enum bgp_side)up, NULL, true);
	if (f->side[BGP_THEIRS].state)
		drop(s, BGP_THEIRS, NULL, true);
	if (f->side[BGP_OURS].state == BGP_CONNECT) {
		f->side[BGP_OURS].state = BGP_IDLE;
		act(s, BGP_DO_CLOSE, BGP_OURS);
	}
	act(s, BGP_DO_TAKE, BGP_THEIRS);
	begin(s, BGP_THEIRS);
}

static void failed(struct step *s)
{
	if (s->f->side[s->in->side].state)
		drop(s, s->in->side, NULL, true);
}

/* ---- time */

static void try_again(struct step *s)
{
	struct bgp_fsm *f = s->f;

	f->retry_at = 0;
	if (!f->started || f->conf.passive || f->side[BGP_THEIRS].state)
		return;
	if (f->side[BGP_OURS].state == BGP_CONNECT) {
		f->side[BGP_OURS].state = BGP_IDLE;
		act(s, BGP_DO_CLOSE, BGP_OURS);
	}
	if (!f->side[BGP_OURS].state)
		try_connect(s);
}

static void time_of(struct step *s, enum bgp_side side)
{
	struct bgp_connection *c = &s->f->side[side];

	if (c->hold_at && c->hold_at <= s->now)
		end_with(s, side, BGP_E_HOLD, 0, "nothing was heard for the hold time");
	else if (c->keepalive_at && c->keepalive_at <= s->now)
		send_keepalive(s, side);
}

static void time_has_come(struct step *s)
{
	time_of(s, BGP_OURS);
	time_of(s, BGP_THEIRS);
	if (s->f->retry_at && s->f->retry_at <= s->now)
		try_again(s);
}

int64_t bgp_fsm_at(const struct bgp_fsm *f)
{
	int64_t at = f->retry_at;

	for (unsigned i = 0; i < BGP_SIDES; i++)
		at = bgp_earlier(bgp_earlier(at, f->side[i].hold_at), f->side[i].keepalive_at);
	return at;
}

/* ---- OPEN */

/* 6.2, and RFC 6286 2.2: of one AS no two have the same identifier. */
static int check_open(const struct bgp_fsm *f, const struct bgp_open *o, struct bgp_fault *why)
{
	bool common = false;

	if (o->as != f->conf.peer_as)
		return bgp_fault(why, BGP_E_OPEN, BGP_E_PEER_AS, "AS %u, but AS %u is expected",
				 o->as, f->conf.peer_as);
	if (o->id == f->conf.local_id && f->conf.peer_as == f->conf.local_as)
		return bgp_fault(why, BGP_E_OPEN, BGP_E_BGP_ID, "our own BGP identifier");
	for (unsigned i = 0; i < BGP_FAMILIES; i++)
		common |= o->family[i] && f->conf.family[i];
	return common ? 0
		      : bgp_fault(why, BGP_E_OPEN, BGP_E_CAPABILITY, "no address family in common");
}

/* 6.8 and RFC 6286 2.3: does ours go, where both are there? */
static bool ours_loses(const struct bgp_fsm *f, const struct bgp_open *o)
{
	return o->id != f->conf.local_id ? f->conf.local_id < o->id : f->conf.local_as < o->as;
}

/* False: the one that OPEN came by is the one that goes. */
static bool wins(struct step *s, const struct bgp_open *o)
{
	enum bgp_side other = s->in->side == BGP_OURS ? BGP_THEIRS : BGP_OURS;
	enum bgp_side loser = ours_loses(s->f, o) ? BGP_OURS : BGP_THEIRS;

	if (s->f->side[other].state == BGP_ESTABLISHED)
		loser = s->in->side;
	else if (s->f->side[other].state != BGP_OPENCONFIRM)
		return true;
	end_with(s, loser, BGP_E_CEASE, BGP_E_COLLISION, "two connections, this one goes");
	return loser == other;
}

static void agree(struct bgp_fsm *f, const struct bgp_open *o)
{
	const struct bgp_session_conf *c = &f->conf;
	struct bgp_agreed a = { .as4 = c->as4 && o->as4,
				.refresh = c->refresh && o->refresh,
				.graceful = c->graceful.offered && o->graceful.offered };

	a.notification = a.graceful && c->graceful.notification && o->graceful.notification;
	a.hold_time = c->hold_time < o->hold_time ? c->hold_time : o->hold_time;
	a.keepalive = a.hold_time / 3;
	if (a.hold_time && c->keepalive && c->keepalive < a.keepalive)
		a.keepalive = c->keepalive;
	for (unsigned i = 0; i < BGP_FAMILIES; i++)
		a.family[i] = c->family[i] && o->family[i];
	f->agreed = a;
}

static void run_timers(struct step *s, struct bgp_connection *c)
{
	const struct bgp_agreed *a = &s->f->agreed;

	c->hold_at = a->hold_time ? s->now + a->hold_time * 1000 : 0;
	c->keepalive_at = a->hold_time ? s->now + a->keepalive * 1000 : 0;
}

static void opened(struct step *s, struct bgp_fault *why)
{
	struct bgp_connection *c = &s->f->side[s->in->side];
	struct bgp_open o;

	if (bgp_open_decode(s->in->message + BGP_HEADER, s->in->len - BGP_HEADER, &o, why) ||
	    check_open(s->f, &o, why)) {
		end(s, s->in->side, why);
		return;
	}
	if (!wins(s, &o))
		return;
	c->peer = o;
	c->state = BGP_OPENCONFIRM;
	agree(s->f, &o);
	send_keepalive(s, s->in->side);
	run_timers(s, c);
}

/* ---- messages */

static void established(struct step *s)
{
	enum bgp_side side = s->in->side, other = side == BGP_OURS ? BGP_THEIRS : BGP_OURS;
	struct bgp_fsm *f = s->f;

	f->side[side].state = BGP_ESTABLISHED;
	if (f->side[other].state)
		end_with(s, other, BGP_E_CEASE, BGP_E_COLLISION, "two connections, this one goes");
	f->peer = f->side[side].peer;
	agree(f, &f->peer);
	run_timers(s, &f->side[side]);
	f->up_at = s->now;
	f->retry_at = 0;
	f->waits = false;
	act(s, BGP_DO_UP, side);
}

static void heard(struct step *s)
{
	if (s->f->agreed.hold_time)
		s->f->side[s->in->side].hold_at = s->now + s->f->agreed.hold_time * 1000;
}

static void refreshed(struct step *s, struct bgp_fault *why)
{
	int family = bgp_refresh_decode(s->in->message + BGP_HEADER, s->in->len - BGP_HEADER, why);

	if (family < -1)
		end(s, s->in->side, why);
	else if (family >= 0 && s->f->agreed.refresh && s->f->agreed.family[family])
		act(s, BGP_DO_REFRESH, s->in->side)->family = (uint8_t)family;
}

/* 6.6, RFC 6608: what this state does not expect. */
static void unexpected(struct step *s, uint8_t state, uint8_t type)
{
	struct bgp_fault why = { 0 };

	bgp_fault(&why, BGP_E_FSM, (uint8_t)(state - BGP_OPENSENT + BGP_E_IN_OPENSENT), "%s in %s",
		  bgp_message_name(type), bgp_state_name(state));
	bgp_fault_show(&why, &type, 1);
	end(s, s->in->side, &why);
}

static void message(struct step *s)
{
	const struct bgp_input *in = s->in;
	uint8_t type = in->message[BGP_HEADER - 1], state = s->f->side[in->side].state;
	struct bgp_fault why = { 0 };

	if (state < BGP_OPENSENT)
		return;
	s->f->in[type]++;
	if (type == BGP_NOTIFICATION) {
		bgp_notification_decode(in->message + BGP_HEADER, in->len - BGP_HEADER, &why);
		drop(s, in->side, &why, true);
	} else if (state == BGP_OPENSENT && type == BGP_OPEN) {
		opened(s, &why);
	} else if (state == BGP_OPENCONFIRM && type == BGP_KEEPALIVE) {
		established(s);
	} else if (state != BGP_ESTABLISHED || type == BGP_OPEN) {
		unexpected(s, state, type);
	} else {
		heard(s);
		if (type == BGP_UPDATE)
			act(s, BGP_DO_UPDATE, in->side);
		else if (type == BGP_REFRESH)
			refreshed(s, &why);
	}
}

/* ---- the machine */

void bgp_fsm_init(struct bgp_fsm *f, const struct bgp_session_conf *c)
{
	*f = (struct bgp_fsm){ .conf = *c, .idle_ms = IDLE_FIRST_MS };
}

int bgp_fsm_side(const struct bgp_fsm *f)
{
	for (int i = 0; i < BGP_SIDES; i++)
		if (f->side[i].state == BGP_ESTABLISHED)
			return i;
	return -1;
}

enum bgp_state bgp_fsm_state(const struct bgp_fsm *f)
{
	uint8_t a = f->side[BGP_OURS].state, b = f->side[BGP_THEIRS].state;

	if (a || b)
		return a > b ? a : b;
	return f->started && !f->waits ? BGP_ACTIVE : BGP_IDLE;
}

void bgp_actions_fini(struct bgp_actions *a)
{
	buf_fini(&a->bytes);
	*a = (struct bgp_actions){ 0 };
}

void bgp_fsm_step(struct bgp_fsm *f, const struct bgp_input *in, int64_t now_ms,
		  struct bgp_actions *out)
{
	struct step s = { f, in, out, now_ms };

	out->n = 0;
	buf_clear(&out->bytes);
	switch (in->event) {
	case BGP_EV_START:
		start(&s);
		break;
	case BGP_EV_STOP:
		stop(&s);
		break;
	case BGP_EV_CONNECTED:
		connected(&s);
		break;
	case BGP_EV_ACCEPTED:
		accepted(&s);
		break;
	case BGP_EV_FAILED:
		failed(&s);
		break;
	case BGP_EV_MESSAGE:
		message(&s);
		break;
	case BGP_EV_FAULT:
		if (f->side[in->side].state)
			end(&s, in->side, in->fault);
		break;
	case BGP_EV_TIME:
		time_has_come(&s);
		break;
	}
}
