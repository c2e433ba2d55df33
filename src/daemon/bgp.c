// SPDX-License-Identifier: Apache-2.0
/* Role bgp: see bgp.h. */
#include "daemon/bgp.h"
#include "sys/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOTES    20    /* lines of a peer… */
#define NOTES_MS 10000 /* …in so much time */

/* Beyond every role's base: connections to peers and BFD's sockets; the node's own addresses (by netlink); files that hold
 * passwords. */
static const char *const calls[] = { "socket:inet", "socket:inet6", "socket:netlink", "bind",
				     "connect",     "openat",       "open",           NULL };

int64_t bgp_now_ms(void)
{
	return (int64_t)(clock_mono_ns() / 1000000);
}

/* ---- turns and times */

void bgp_wake(struct bgp *b)
{
	if (!ev_is_active(&b->turn))
		ev_timer_start(b->role->loop, &b->turn);
}

static void arm(struct bgp *b)
{
	int64_t at = b->speaker ? bgp_speaker_at(b->speaker) : 0, left = at - bgp_now_ms();

	ev_timer_stop(b->role->loop, &b->time);
	if (!at)
		return;
	ev_timer_set(&b->time, left > 0 ? (double)left / 1e3 : 0., 0.);
	ev_timer_start(b->role->loop, &b->time);
}

static void on_turn(struct ev_loop *loop, ev_timer *w, int events)
{
	struct bgp *b = w->data;
	bool more = bgp_conns_turn(b);

	(void)events;
	more |= bgp_agent_turn(b);
	if (!more)
		buf_fini(&b->fill);
	else
		ev_timer_start(loop, w);
	ev_now_update(loop);
	arm(b);
}

static void on_time(struct ev_loop *loop, ev_timer *w, int events)
{
	struct bgp *b = w->data;

	(void)loop;
	(void)events;
	if (b->speaker)
		bgp_speaker_time(b->speaker, bgp_now_ms());
	bgp_wake(b);
}

/* ---- the speaker's peers */

struct bgp_end *bgp_end_of(struct bgp *b, struct bgp_peer *p)
{
	struct bgp_end *end = bgp_peer_data(p);

	if (end)
		return end;
	end = calloc(1, sizeof(*end));
	if (!end)
		return NULL;
	end->bgp = b;
	end->peer = p;
	end->bfd_fd = -1;
	bgp_peer_set_data(p, end);
	return end;
}

/* Its connections were closed with its session. */
static void on_gone(struct bgp_peer *p, void *arg)
{
	struct bgp_end *end = bgp_peer_data(p);

	bgp_report_gone(arg, p);
	if (!end)
		return;
	bgp_bfd_gone(end);
	free(end);
	bgp_peer_set_data(p, NULL);
}

/* A peer that does wrong all the time fills no disk. */
static bool may_note(struct bgp_end *end, int64_t now)
{
	if (!end)
		return true;
	if (now - end->noted_ms >= NOTES_MS) {
		if (end->unsaid)
			log_warn("peer %s: %u lines more", bgp_peer_name(end->peer), end->unsaid);
		end->noted_ms = now;
		end->noted = end->unsaid = 0;
	}
	if (end->noted < NOTES) {
		end->noted++;
		return true;
	}
	end->unsaid++;
	return false;
}

static void on_note(const struct bgp_peer *p, bool bad, const char *text, void *arg)
{
	char addr[ADDR_TEXT];

	(void)arg;
	if (may_note(bgp_peer_data(p), bgp_now_ms()))
		log_at(bad ? LOG_WARN : LOG_INFO, "peer %s (%s): %s", bgp_peer_name(p),
		       addr_str(&bgp_peer_conf(p)->addr, addr), text);
}

/* ---- which speaker */

static bool same_speaker(const struct bgp_speaker_conf *a, const struct bgp_speaker_conf *b)
{
	return a->as == b->as && a->id == b->id && a->multipath == b->multipath &&
	       a->restart_time == b->restart_time;
}

static int begin(struct bgp *b, const struct bgp_want *want)
{
	const struct bgp_speaker_conf *conf = &want->speaker;
	struct bgp_io io = { .gone = on_gone, .note = on_note };
	char id[ADDR_TEXT];
	struct ipaddr a = addr_v4(conf->id);

	bgp_conn_io(b, &io);
	b->speaker = bgp_speaker_new(conf, &io, bgp_now_ms());
	if (!b->speaker)
		return -ENOMEM;
	b->conf = *conf;
	log_info("speaks BGP as %s of AS %u%s", addr_str(&a, id), conf->as,
		 conf->restarting ? ", after a restart through which packets flowed" : "");
	return 0;
}

void bgp_silence(struct bgp *b, bool graceful, const char *why)
{
	if (!b->speaker)
		return;
	bgp_bfd_leave(b);
	bgp_speaker_stop(b->speaker, graceful, why, bgp_now_ms());
	bgp_conns_close(b);
	bgp_agent_forget(b);
	bgp_ctl_forget(b);
	bgp_origins_forget(b);
	bgp_speaker_free(b->speaker);
	b->speaker = NULL;
}

int bgp_speak(struct bgp *b, const struct bgp_want *want)
{
	if (!want->on || (b->speaker && !same_speaker(&b->conf, &want->speaker)))
		bgp_silence(b, false, "");
	return want->on && !b->speaker ? begin(b, want) : 0;
}

/* ---- role */

static void on_join(struct role *r, const char *peer, int fd)
{
	struct bgp *b = r->state;

	if (strcmp(peer, "watch") == 0)
		bgp_store_join(b, fd);
	else if (strcmp(peer, "agent") == 0)
		bgp_agent_join(b, fd);
	else if (strcmp(peer, "health") == 0)
		report_join(&b->report, fd);
	else
		close(fd);
}

static int start(struct role *r, struct err *e)
{
	struct bgp *b = r->state;
	int rc;

	b->role = r;
	ev_timer_init(&b->turn, on_turn, 0., 0.);
	ev_timer_init(&b->time, on_time, 0., 0.);
	b->turn.data = b->time.data = b;
	b->room = malloc(BGP_ROOM);
	if (!b->room)
		return err_set(e, -ENOMEM, "no memory");
	rc = bgp_listen_open(b, e);
	if (!rc)
		rc = bgp_agent_open(b, e);
	if (!rc)
		rc = bgp_store_open(b, e);
	if (!rc)
		rc = ctl_server_open(&b->ctl, r, "bgp.sock", bgp_verbs, b, e);
	if (!rc)
		report_init(&b->report, r, bgp_report, b);
	return rc;
}

/* Peers keep our routes where they agreed to, as the kernel goes on forwarding. */
static void stop(struct role *r)
{
	struct bgp *b = r->state;

	ctl_server_close(&b->ctl);
	report_fini(&b->report);
	bgp_agent_close(b);
	bgp_silence(b, true, "role bgp ends");
	bgp_origins_free(b);
	bgp_store_close(b);
	bgp_listen_close(b);
	ev_timer_stop(r->loop, &b->turn);
	ev_timer_stop(r->loop, &b->time);
	buf_fini(&b->fill);
	free(b->room);
}

int main(int argc, char **argv)
{
	static const struct role_ops ops = {
		.name = "bgp", .calls = calls, .start = start, .join = on_join, .stop = stop
	};
	struct bgp b = { 0 };

	return role_main(&ops, &b, argc, argv);
}
