// SPDX-License-Identifier: Apache-2.0
/* What a peer is told: a reader of each table, drained as far as its connection has room. */
#include "core/bgp/fault.h"
#include "core/bgp/speaker_state.h"

#include <errno.h>

int bgp_channel_open(struct bgp_peer *p, enum bgp_family family)
{
	struct bgp_channel *c = &p->channel[family];
	struct bgp_speaker *s = p->speaker;

	c->out.family = family;
	c->out.rib = s->rib[family];
	c->out.store = s->store;
	c->out.to = &p->source;
	c->out.local_as = s->conf.as;
	c->out.cluster_id = p->conf.cluster_id ? p->conf.cluster_id : s->conf.id;
	c->out.next_hop_self = p->conf.next_hop_self;
	c->out.next_hop = p->conf.next_hop[family];
	c->out.link_local = family == BGP_IPV6 ? p->conf.link_local : (struct ipaddr){ 0 };
	c->out.on_link = p->conf.on_link;
	c->out.filter = &p->conf.export[family];
	c->end_said = c->end_heard = false;
	c->reader = bgp_reader_new(s->rib[family]);
	return c->reader ? 0 : -ENOMEM;
}

void bgp_channel_close(struct bgp_peer *p, enum bgp_family family)
{
	bgp_reader_free(p->channel[family].reader);
	p->channel[family].reader = NULL;
}

void bgp_channel_rewind(struct bgp_peer *p, enum bgp_family family)
{
	if (p->channel[family].reader)
		bgp_reader_rewind(p->channel[family].reader);
}

/* True: there may be more. */
static int fill(struct bgp_peer *p, enum bgp_family family, struct buf *b, size_t enough,
		bool *more)
{
	struct bgp_channel *c = &p->channel[family];
	bool all;
	int rc = bgp_out_walk(&c->out, c->reader, b, enough, &all);

	if (rc)
		return rc;
	*more |= !all;
	if (!c->end_said && bgp_reader_is_through(c->reader)) {
		bgp_end_of_rib_put(b, family);
		c->end_said = true;
	}
	return 0;
}

static void count_messages(struct bgp_fsm *f, const uint8_t *v, size_t n)
{
	size_t at, len;

	for (at = 0; at + BGP_HEADER <= n; at += len) {
		len = (size_t)v[at + BGP_HEADER - 3] << 8 | v[at + BGP_HEADER - 2];
		f->out[v[at + BGP_HEADER - 1]]++;
	}
}

bool bgp_peer_fill(struct bgp_peer *p, struct buf *b, size_t enough, int64_t now_ms)
{
	int side = bgp_fsm_side(&p->fsm), rc = 0;
	size_t begun = b->n;
	struct bgp_fault f;
	bool more = false;

	if (side < 0 || p->speaker->restart_until)
		return false;
	for (unsigned i = 0; i < BGP_FAMILIES && !rc && b->n - begun < enough; i++)
		if (p->channel[i].reader)
			rc = fill(p, i, b, enough, &more);
	if (!rc) {
		if (b->n > begun)
			count_messages(&p->fsm, (const uint8_t *)b->v + begun, b->n - begun);
		return more;
	}
	bgp_fault(&f, BGP_E_CEASE, BGP_E_RESOURCES, "no memory for its UPDATEs");
	bgp_peer_fault(p, (enum bgp_side)side, &f, now_ms);
	return false;
}
