// SPDX-License-Identifier: Apache-2.0
/* Which peers there are: a configuration is compared with what is there, so that a session ends only for what it cannot live with. And
 * what people ask and see of peers. */
#include "core/bgp/fault.h"
#include "core/bgp/speaker_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- being told apart */

static uint32_t take_index(struct bgp_speaker *s)
{
	return s->n_free ? s->free_index[--s->n_free] : s->next_index++;
}

/* One that comes back without room to keep it is lost, and does no harm. */
static void give_index(struct bgp_speaker *s, uint32_t index)
{
	uint32_t *v = realloc(s->free_index, (s->n_free + 1) * sizeof(*v));

	if (!v)
		return;
	s->free_index = v;
	v[s->n_free++] = index;
}

/* ---- configuration */

static void set_conf(struct bgp_peer *p, const struct bgp_peer_conf *c)
{
	const struct bgp_speaker *s = p->speaker;

	p->conf = *c;
	p->conf.name = p->name;
	p->source.addr = c->addr;
	p->source.as = c->session.peer_as;
	p->source.ebgp = c->session.peer_as != s->conf.as;
	p->source.client = c->client;
	p->source.name = p->name;
}

/* False: no memory. */
static bool note(struct bgp_speaker *s, struct bgp_peer *p)
{
	HASH_ADD_KEYPTR(hh, s->peers, p->name, strlen(p->name), p);
	if (!p->hh.tbl)
		return false;
	HASH_ADD(hh_addr, s->by_addr, conf.addr, sizeof(p->conf.addr), p);
	if (p->hh_addr.tbl)
		return true;
	HASH_DEL(s->peers, p);
	return false;
}

static struct bgp_peer *make(struct bgp_speaker *s, const struct bgp_peer_conf *c)
{
	struct bgp_peer *p = calloc(1, sizeof(*p));

	if (p)
		p->name = strdup(c->name);
	if (!p || !p->name) {
		free(p);
		return NULL;
	}
	p->speaker = s;
	set_conf(p, c);
	if (!note(s, p)) {
		free(p->name);
		free(p);
		return NULL;
	}
	p->source.index = take_index(s);
	bgp_fsm_init(&p->fsm, &c->session);
	p->fsm.conf.graceful.restarting = s->restart_until != 0;
	return p;
}

static void stop(struct bgp_peer *p, enum bgp_cease_sub sub, const char *why, int64_t now)
{
	struct bgp_fault f = { 0 };

	bgp_cease(&f, sub, why);
	bgp_peer_step(p, &(struct bgp_input){ .event = BGP_EV_STOP, .fault = &f }, now);
	p->stale_until = 0;
	for (unsigned i = 0; i < BGP_FAMILIES; i++)
		bgp_peer_end_stale(p, i);
}

static void start(struct bgp_peer *p, int64_t now)
{
	bgp_peer_step(p, &(struct bgp_input){ .event = BGP_EV_START }, now);
}

/* Its session has ended, and nothing of it is known. */
void bgp_peer_destroy(struct bgp_peer *p)
{
	struct bgp_speaker *s = p->speaker;

	s->io.gone(p, s->io.arg);
	for (unsigned i = 0; i < BGP_FAMILIES; i++) {
		bgp_channel_close(p, i);
		bgp_rib_forget(s->rib[i], &p->source);
	}
	HASH_DEL(s->peers, p);
	HASH_DELETE(hh_addr, s->by_addr, p);
	give_index(s, p->source.index);
	free(p->name);
	free(p);
}

static bool same_graceful(const struct bgp_graceful *a, const struct bgp_graceful *b)
{
	for (unsigned i = 0; i < BGP_FAMILIES; i++)
		if (a->family[i] != b->family[i] || a->kept[i] != b->kept[i])
			return false;
	return a->offered == b->offered && a->notification == b->notification &&
	       a->restart_time == b->restart_time;
}

/* What OPEN says, and how it comes to that. */
static bool same_session(const struct bgp_session_conf *a, const struct bgp_session_conf *b)
{
	for (unsigned i = 0; i < BGP_FAMILIES; i++)
		if (a->family[i] != b->family[i])
			return false;
	return a->local_as == b->local_as && a->local_id == b->local_id &&
	       a->peer_as == b->peer_as && a->hold_time == b->hold_time &&
	       a->keepalive == b->keepalive && a->connect_retry == b->connect_retry &&
	       a->passive == b->passive && a->as4 == b->as4 && a->refresh == b->refresh &&
	       same_graceful(&a->graceful, &b->graceful);
}

/* Without the session of before there is no going on. */
static bool same_peer(const struct bgp_peer_conf *a, const struct bgp_peer_conf *b)
{
	return addr_eq(&a->addr, &b->addr) && a->port == b->port && a->transport == b->transport &&
	       a->client == b->client && a->cluster_id == b->cluster_id &&
	       same_session(&a->session, &b->session);
}

/* Of another filter: what is in the tables went through the old one, so that the peer is asked for it again (RFC 2918). */
static void filter_again(struct bgp_peer *p, enum bgp_family family, int64_t now)
{
	int side = bgp_fsm_side(&p->fsm);
	struct buf b = { 0 };

	if (side < 0 || !p->fsm.agreed.family[family])
		return;
	if (!p->fsm.agreed.refresh) {
		bgp_peer_reset(p, "another import filter", now);
		return;
	}
	bgp_refresh_put(&b, family);
	p->fsm.out[BGP_REFRESH]++;
	if (!b.failed)
		p->speaker->io.send(p, (enum bgp_side)side, b.v, b.n, p->speaker->io.arg);
	buf_fini(&b);
}

static bool same_out(const struct bgp_peer_conf *a, const struct bgp_peer_conf *b,
		     enum bgp_family f)
{
	return a->export[f].digest == b->export[f].digest && a->next_hop_self == b->next_hop_self &&
	       addr_eq(&a->next_hop[f], &b->next_hop[f]) &&
	       addr_eq(&a->link_local, &b->link_local) && prefix_eq(&a->on_link, &b->on_link);
}

static bool same_bfd(const struct bfd_conf *a, const struct bfd_conf *b)
{
	return a->interval_us == b->interval_us && a->multiplier == b->multiplier &&
	       a->discriminator == b->discriminator && a->min_ttl == b->min_ttl;
}

static void set_bfd(struct bgp_peer *p, int64_t now)
{
	const struct bfd_conf *c = &p->conf.bfd;

	if (!c->multiplier) {
		p->has_bfd = NULL;
	} else if (!p->has_bfd || p->bfd.conf.multihop != c->multihop) {
		/* Another port is another session, which says nothing of the way yet. */
		bfd_init(&p->bfd, c, now * 1000);
		p->has_bfd = &p->bfd;
	} else if (!same_bfd(&p->bfd.conf, c)) {
		bfd_configure(&p->bfd, c, now * 1000);
	}
}

/* What its session need not end for. */
static void adjust(struct bgp_peer *p, const struct bgp_peer_conf *c, int64_t now)
{
	struct bgp_peer_conf old = p->conf;

	set_conf(p, c);
	for (unsigned i = 0; i < BGP_FAMILIES; i++) {
		struct bgp_out *o = &p->channel[i].out;

		o->filter = &p->conf.export[i];
		o->next_hop_self = c->next_hop_self;
		o->next_hop = c->next_hop[i];
		o->link_local = i == BGP_IPV6 ? c->link_local : (struct ipaddr){ 0 };
		o->on_link = c->on_link;
		if (old.import[i].digest != c->import[i].digest)
			filter_again(p, i, now);
		if (!same_out(&old, c, i))
			bgp_channel_rewind(p, i);
	}
	set_bfd(p, now);
}

int bgp_speaker_put(struct bgp_speaker *s, const struct bgp_peer_conf *c, int64_t now_ms)
{
	struct bgp_peer *p = bgp_speaker_named(s, c->name);

	if (p && !same_peer(&p->conf, c)) {
		stop(p, BGP_E_CHANGED, "", now_ms);
		bgp_peer_destroy(p);
		p = NULL;
	}
	if (p) {
		adjust(p, c, now_ms);
		return 0;
	}
	p = make(s, c);
	if (!p)
		return -ENOMEM;
	set_bfd(p, now_ms);
	start(p, now_ms);
	return 0;
}

void bgp_speaker_drop(struct bgp_speaker *s, const char *name, int64_t now_ms)
{
	struct bgp_peer *p = bgp_speaker_named(s, name);

	if (!p)
		return;
	stop(p, BGP_E_DECONFIGURED, "", now_ms);
	bgp_peer_destroy(p);
}

void bgp_speaker_stop(struct bgp_speaker *s, bool graceful, const char *why, int64_t now_ms)
{
	/* A peer that helps takes a connection that just ends for a restart (RFC 4724 4.2). */
	for (struct bgp_peer *p = s->peers; p; p = p->hh.next)
		if (!graceful || !p->fsm.agreed.graceful)
			stop(p, BGP_E_SHUTDOWN, why, now_ms);
}

/* ---- what people ask for */

void bgp_peer_reset(struct bgp_peer *p, const char *why, int64_t now_ms)
{
	int side = bgp_fsm_side(&p->fsm);
	struct bgp_fault f = { 0 };

	bgp_cease(&f, BGP_E_RESET, why);
	if (side >= 0)
		bgp_peer_fault(p, (enum bgp_side)side, &f, now_ms);
}

void bgp_peer_refresh(struct bgp_peer *p, int64_t now_ms)
{
	for (unsigned i = 0; i < BGP_FAMILIES; i++) {
		filter_again(p, i, now_ms);
		bgp_channel_refresh(p, i);
	}
}

/* One of both hears nothing of the other any more. A peer that says Down otherwise has begun anew, and forwards still. */
static bool is_way_lost(const struct bfd *b)
{
	return b->diag == BFD_EXPIRED || b->peer_diag == BFD_EXPIRED;
}

/* Routes over a lost way are not kept, whatever restarts: a hard reset says so (RFC 8538 3, RFC 9384 3). */
void bgp_peer_bfd_changed(struct bgp_peer *p, int64_t now_ms)
{
	static const uint8_t what[] = { BGP_E_CEASE, BGP_E_BFD_DOWN };
	int side = bgp_fsm_side(&p->fsm);
	struct bgp_fault f = { 0 };

	/* Neither a peer that takes BFD down says anything of the way to it (RFC 5882 3.2), nor BFD that is not let through. */
	if (!p->has_bfd || p->bfd.before != BFD_UP || p->bfd.state != BFD_DOWN ||
	    p->bfd.peer_state == BFD_ADMIN_DOWN || side < 0)
		return;
	bgp_fault(&f, BGP_E_CEASE, is_way_lost(&p->bfd) ? BGP_E_HARD_RESET : BGP_E_BFD_DOWN,
		  "BFD: %s", bfd_diag_name(p->bfd.diag));
	if (f.sub == BGP_E_HARD_RESET)
		bgp_fault_show(&f, what, sizeof(what));
	bgp_peer_fault(p, (enum bgp_side)side, &f, now_ms);
}

/* ---- looking */

struct bgp_peer *bgp_speaker_find(const struct bgp_speaker *s, const struct ipaddr *addr)
{
	struct bgp_peer *p;

	HASH_FIND(hh_addr, s->by_addr, addr, sizeof(*addr), p);
	return p;
}

struct bgp_peer *bgp_speaker_named(const struct bgp_speaker *s, const char *name)
{
	struct bgp_peer *p;

	HASH_FIND(hh, s->peers, name, strlen(name), p);
	return p;
}

struct bgp_peer *bgp_peer_first(const struct bgp_speaker *s)
{
	return s->peers;
}

struct bgp_peer *bgp_peer_after(const struct bgp_peer *p)
{
	return p->hh.next;
}

const char *bgp_peer_name(const struct bgp_peer *p)
{
	return p->name;
}

const struct bgp_peer_conf *bgp_peer_conf(const struct bgp_peer *p)
{
	return &p->conf;
}

const struct bgp_fsm *bgp_peer_fsm(const struct bgp_peer *p)
{
	return &p->fsm;
}

const struct bgp_source *bgp_peer_source(const struct bgp_peer *p)
{
	return &p->source;
}

struct bfd *bgp_peer_bfd(struct bgp_peer *p)
{
	return p->has_bfd;
}

void *bgp_peer_data(const struct bgp_peer *p)
{
	return p->data;
}

void bgp_peer_set_data(struct bgp_peer *p, void *data)
{
	p->data = data;
}

void bgp_peer_count(const struct bgp_peer *p, struct bgp_peer_counts *out)
{
	*out = (struct bgp_peer_counts){ .withdrawn_as_faulty = p->withdrawn_as_faulty,
					 .discarded = p->discarded };
	for (unsigned i = 0; i < BGP_FAMILIES; i++) {
		out->received += bgp_rib_count_of(p->speaker->rib[i], &p->source);
		if (p->channel[i].reader)
			out->told += bgp_reader_count(p->channel[i].reader);
	}
}

struct bgp_rib *bgp_speaker_rib(const struct bgp_speaker *s, enum bgp_family family)
{
	return s->rib[family];
}
