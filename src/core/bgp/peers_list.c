// SPDX-License-Identifier: Apache-2.0
/* Which peers this node has, and what their sessions are to be: BGPPeers by name, then the mesh; the first of an address counts. */
#include "core/bgp/peers_state.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A peer before it is one. */
struct candidate {
	const char *name, *label; /* of status; of the object, for problems */
	struct ipaddr addr;
	uint16_t port;
	uint32_t as, cluster_id; /* of the peer */
	const struct object *object;
	const struct bgppeer *how; /* NULL: the mesh */
};

/* ---- one session per address */

/* Where the address is in the hash, or is to be. */
static uint32_t *slot_of(struct want *w, const struct ipaddr *a)
{
	size_t at = fnv64(FNV64_START, a->b, addr_len(a)) & (w->slots - 1);

	while (w->by_addr[at] && !addr_eq(&w->out->peers[w->by_addr[at] - 1].addr, a))
		at = (at + 1) & (w->slots - 1);
	return &w->by_addr[at];
}

static bool make_room(struct want *w)
{
	size_t n = w->v->peers.n + w->v->nodes.n;

	for (w->slots = 16; w->slots < 2 * n; w->slots *= 2)
		;
	w->by_addr = arena_array(w->a, w->slots, sizeof(*w->by_addr));
	w->out->peers = arena_array(w->a, n, sizeof(*w->out->peers));
	w->out->transports = arena_array(w->a, n, sizeof(*w->out->transports));
	return w->by_addr && w->out->peers && w->out->transports;
}

/* ---- the connection */

/* False: it should have one, and there is none. */
static bool set_password(struct want *w, const char *object, const char *at,
			 const struct bgp_password *p, struct bgp_transport *t)
{
	const struct bgp_secret_key *ref = p->secretKeyRef;
	const struct secret *secret = NULL;
	uint8_t v[PASSWORD_MAX];
	size_t n = 0;

	for (size_t i = 0; ref && i < w->v->secrets.n && !secret; i++) {
		const struct meta *m = w->v->secrets.v[i]->meta;

		if (m->namespace && !strcmp(m->namespace, SECRET_NAMESPACE) &&
		    !strcmp(m->name, ref->name))
			secret = w->v->secrets.v[i]->body;
	}
	if (secret)
		n = secret_password(secret, ref->key, v);
	else if (p->file && w->v->password_file)
		n = w->v->password_file(p->file, v, w->v->arg);
	if (!n) {
		if (p->file)
			want_problem(w, object, "%s.file: %s has no password", at, p->file);
		else if (!secret)
			want_problem(w, object,
				     "%s.secretKeyRef: there is no Secret " SECRET_NAMESPACE
				     "/%s of type " SECRET_BGP_PASSWORD,
				     at, ref->name);
		else
			want_problem(w, object, "%s.secretKeyRef.key: Secret %s has no \"%s\"", at,
				     ref->name, ref->key);
		return false;
	}
	t->password = arena_memdup(w->a, v, n);
	t->password_len = n;
	return t->password;
}

static uint64_t digest(const struct bgp_transport *t)
{
	uint64_t h = fnv64(FNV64_START, &t->source.family, 1);

	h = fnv64(h, t->source.b, sizeof(t->source.b));
	h = fnv64(h, &t->ttl_hops, 1);
	return t->password_len ? fnv64(h, t->password, t->password_len) : h;
}

/* False: it cannot be made as it should be. */
static bool set_transport(struct want *w, const struct candidate *c, struct bgp_transport *t)
{
	const struct bgp_password *p =
		c->how ? c->how->spec.password : w->conf.spec.nodeMeshPassword;
	const struct ipaddr *ours = &w->ip[bgp_family_of_addr(&c->addr)];

	*t = (struct bgp_transport){ .ttl_hops = c->how ? (uint8_t)c->how->spec.ttlSecurity : 0 };
	if (!c->how || c->how->spec.sourceAddress != SOURCE_ANY) {
		if (!ours->family) {
			want_problem(w, c->label,
				     "spec.peerIP: this node has no InternalIP of its family");
			return false;
		}
		t->source = *ours;
	}
	return !p ||
	       set_password(w, c->label, c->how ? "spec.password" : "spec.nodeMeshPassword", p, t);
}

/* ---- the session */

static uint16_t first_set(const struct opt_i64 *a, const struct opt_i64 *b, uint16_t otherwise)
{
	return (uint16_t)(a && a->set ? a->v : b->set ? b->v : otherwise);
}

static void set_timers(const struct want *w, const struct bgppeer *how, struct bgp_session_conf *s)
{
	const struct bgp_timers *all = &w->conf.spec.timers;
	const struct bgp_timers *own = how ? &how->spec.timers : NULL;

	s->hold_time =
		first_set(own ? &own->holdTimeSeconds : NULL, &all->holdTimeSeconds, BGP_HOLD_TIME);
	s->keepalive =
		first_set(own ? &own->keepAliveTimeSeconds : NULL, &all->keepAliveTimeSeconds, 0);
	s->connect_retry = first_set(own ? &own->connectRetryTimeSeconds : NULL,
				     &all->connectRetryTimeSeconds, BGP_CONNECT_RETRY);
	/* One object says the hold time, another how often: RFC 4271 4.4. */
	if (s->keepalive > s->hold_time / 3)
		s->keepalive = 0;
}

static bool is_family(const struct bgppeer *how, enum bgp_family f)
{
	for (uint32_t i = 0; how && i < how->spec.families.n; i++)
		if (how->spec.families.v[i] == (f == BGP_IPV6 ? IP_FAMILY_6 : IP_FAMILY_4))
			return true;
	return !how || !how->spec.families.n;
}

static void set_families(struct want *w, const struct candidate *c, struct bgp_peer_conf *p)
{
	for (unsigned f = 0; f < BGP_FAMILIES; f++) {
		p->next_hop[f] = w->ip[f];
		p->session.family[f] = is_family(c->how, f) && w->ip[f].family;
		if (c->how && c->how->spec.families.n && is_family(c->how, f) && !w->ip[f].family)
			want_problem(w, c->label,
				     "spec.families: this node has no InternalIP of IPv%d",
				     f == BGP_IPV6 ? 6 : 4);
	}
}

static void set_graceful(const struct want *w, const struct bgppeer *how,
			 struct bgp_session_conf *s)
{
	const struct bgp_restart *r = how ? how->spec.gracefulRestart : NULL;
	struct bgp_graceful *g = &s->graceful;
	uint16_t restart_time = w->out->speaker.restart_time;

	if (r && r->enabled == TRI_FALSE)
		restart_time = 0;
	else if (r && r->restartTimeSeconds.set)
		restart_time = (uint16_t)r->restartTimeSeconds.v;
	else if (r && !restart_time)
		restart_time = BGP_RESTART_TIME;
	if (!restart_time)
		return;
	*g = (struct bgp_graceful){ .offered = true,
				    .notification = true,
				    .restart_time = restart_time };
	for (unsigned f = 0; f < BGP_FAMILIES; f++) {
		g->family[f] = s->family[f];
		g->kept[f] = s->family[f] && w->v->kept;
	}
}

/* The discriminator (RFC 5880 6.3) follows from the address, so that it is the same after each change. */
static void set_bfd(const struct want *w, const struct bgppeer *how, struct bgp_peer_conf *p)
{
	const struct bgp_bfd *b = how && how->spec.bfd ? how->spec.bfd : w->conf.spec.bfd;
	uint64_t h = fnv64(FNV64_START, p->addr.b, addr_len(&p->addr));
	bool again = true;

	if (!b || b->enabled == TRI_FALSE)
		return;
	p->bfd.interval_us = 1000 * (uint32_t)(b->interval ? b->interval : BGP_BFD_INTERVAL);
	p->bfd.multiplier =
		(uint8_t)(b->detectMultiplier ? b->detectMultiplier : BGP_BFD_MULTIPLIER);
	p->bfd.discriminator = (uint32_t)(h ^ h >> 32);
	while (again || !p->bfd.discriminator) {
		p->bfd.discriminator += !p->bfd.discriminator;
		again = false;
		for (size_t i = 0; i < w->out->n && !again; i++)
			again = w->out->peers[i].bfd.discriminator == p->bfd.discriminator;
		p->bfd.discriminator += again;
	}
}

static struct prefix link_with(const struct want *w, const struct ipaddr *peer)
{
	struct prefix best = { 0 };

	for (size_t i = 0; i < w->v->n_subnets; i++)
		if (prefix_has(&w->v->subnets[i], peer) && w->v->subnets[i].len >= best.len)
			best = prefix_mask(&w->v->subnets[i]);
	return best;
}

/* All Nodes that a BGPPeer selects come one after the other, and share its rules. */
static void find_filters(struct want *w, const struct candidate *c)
{
	if (!c->how || w->filtered == c->object)
		return;
	w->filtered = c->object;
	want_missing_filters(w, c->object, c->label);
	for (unsigned f = 0; f < BGP_FAMILIES; f++) {
		w->import[f] = want_filter(w, c->object, true, f);
		w->export[f] = want_filter(w, c->object, false, f);
	}
}

/* RFC 8212 asks for a rule between two AS. */
static struct bgp_filter filter_of(const struct candidate *c, const struct bgp_filter *of,
				   bool needs)
{
	struct bgp_filter f = { .digest = FNV64_START };

	if (c->how)
		f = *of;
	f.deny = needs && !f.n;
	f.digest = fnv64(f.digest, &f.deny, sizeof(f.deny));
	return f;
}

static void set_filters(struct want *w, const struct candidate *c, struct bgp_peer_conf *p)
{
	bool needs = w->conf.spec.ebgpRequiresPolicy == TRI_TRUE && c->as != w->as;

	find_filters(w, c);
	for (unsigned f = 0; f < BGP_FAMILIES; f++) {
		p->import[f] = filter_of(c, &w->import[f], needs);
		p->export[f] = filter_of(c, &w->export[f], needs);
	}
}

static void add(struct want *w, const struct candidate *c)
{
	uint32_t *slot = slot_of(w, &c->addr);
	struct bgp_peer_conf *p = &w->out->peers[w->out->n];
	struct bgp_transport *t = &w->out->transports[w->out->n];

	if (*slot || !set_transport(w, c, t))
		return;
	*p = (struct bgp_peer_conf){
		.name = c->name,
		.addr = c->addr,
		.port = c->port,
		.session = { .local_as = w->as,
			     .local_id = w->id,
			     .peer_as = c->as,
			     .passive = c->how && c->how->spec.passive,
			     .as4 = true,
			     .refresh = true },
		.cluster_id = w->out->cluster_id,
		.client =
			w->out->cluster_id && c->as == w->as && c->cluster_id != w->out->cluster_id,
		.next_hop_self = c->how && c->how->spec.nextHopMode == NEXT_HOP_SELF,
		.on_link = link_with(w, &c->addr),
		.max_prefixes = c->how ? (uint32_t)c->how->spec.maxPrefixes : 0,
		.transport = digest(t),
	};
	set_families(w, c, p);
	set_timers(w, c->how, &p->session);
	set_graceful(w, c->how, &p->session);
	set_bfd(w, c->how, p);
	set_filters(w, c, p);
	*slot = (uint32_t)++w->out->n;
}

/* ---- Nodes as peers */

/* Does a router have this name? BGPPeers go first. */
static const char *name_of_node(const struct want *w, const char *name)
{
	for (size_t i = 0; i < w->v->peers.n; i++) {
		const struct bgppeer *p = w->v->peers.v[i]->body;

		if (p->spec.peerIP && !strcmp(p->meta.name, name))
			return arena_printf(w->a, "node/%s", name);
	}
	return name;
}

static uint32_t as_of_node(const struct want *w, const struct node *n)
{
	const struct bgpconfiguration *all = want_config(w, BGP_CONFIG_DEFAULT);
	const struct bgpconfiguration *own = want_config_of(w, n->meta.name);
	uint32_t as = annotation_as_number(&n->meta);

	if (as)
		return as;
	if (own && own->spec.asNumber)
		return (uint32_t)own->spec.asNumber;
	return all && all->spec.asNumber ? (uint32_t)all->spec.asNumber : BGP_DEFAULT_AS;
}

static uint16_t port_of_node(const struct want *w, const struct node *n)
{
	const struct bgpconfiguration *all = want_config(w, BGP_CONFIG_DEFAULT);
	const struct bgpconfiguration *own = want_config_of(w, n->meta.name);

	if (own && own->spec.listenPort)
		return (uint16_t)own->spec.listenPort;
	return all && all->spec.listenPort ? (uint16_t)all->spec.listenPort : BGP_PORT;
}

static void add_node(struct want *w, const struct node *n, const struct object *object,
		     const char *label)
{
	struct ipaddr ip[BGP_FAMILIES];
	struct candidate c = { .label = label, .object = object };

	if (n == w->self)
		return;
	want_node_ips(n, ip);
	for (unsigned f = 0; f < BGP_FAMILIES && !c.addr.family; f++)
		if (ip[f].family && w->ip[f].family)
			c.addr = ip[f];
	if (!c.addr.family) {
		want_problem(w, label, "Node %s has no InternalIP of a family that %s has",
			     n->meta.name, w->v->node);
		return;
	}
	c.name = name_of_node(w, n->meta.name);
	if (!c.name)
		return;
	c.how = object ? object->body : NULL;
	c.port = port_of_node(w, n);
	c.as = as_of_node(w, n);
	c.cluster_id = annotation_cluster_id(&n->meta);
	add(w, &c);
}

static bool has_peer(const struct bgppeer *p, const struct node *n)
{
	if (p->spec.node)
		return !strcmp(p->spec.node, n->meta.name);
	return !p->spec.nodeSelector || selector_match(p->spec.nodeSelector, &n->meta.labels);
}

static void add_selected(struct want *w, const struct object *o, const char *label)
{
	const struct bgppeer *p = o->body;
	bool has = has_peer(p, w->self);
	bool is = selector_match(p->spec.peerSelector, &w->self->meta.labels);

	for (size_t i = 0; i < w->v->nodes.n; i++) {
		const struct node *n = w->v->nodes.v[i]->body;

		if ((has && selector_match(p->spec.peerSelector, &n->meta.labels)) ||
		    (is && has_peer(p, n)))
			add_node(w, n, o, label);
	}
}

/* The cluster of the Node that has this address. */
static uint32_t cluster_at(const struct want *w, const struct ipaddr *a)
{
	struct ipaddr ip[BGP_FAMILIES];

	for (size_t i = 0; i < w->v->nodes.n; i++) {
		want_node_ips(w->v->nodes.v[i]->body, ip);
		if (addr_eq(&ip[bgp_family_of_addr(a)], a))
			return annotation_cluster_id(w->v->nodes.v[i]->meta);
	}
	return 0;
}

static void add_router(struct want *w, const struct object *o, const char *label)
{
	const struct bgppeer *p = o->body;
	struct candidate c = { .name = p->meta.name,
			       .label = label,
			       .object = o,
			       .how = p,
			       .as = (uint32_t)p->spec.asNumber };

	if (peer_ip_parse(p->spec.peerIP, &c.addr, &c.port))
		return; /* no such object is in the store */
	if (!has_peer(p, w->self) || addr_eq(&c.addr, &w->ip[bgp_family_of_addr(&c.addr)]))
		return;
	if (!c.port)
		c.port = BGP_PORT;
	if (w->out->cluster_id)
		c.cluster_id = cluster_at(w, &c.addr);
	if (*slot_of(w, &c.addr))
		want_problem(w, label, "spec.peerIP: BGPPeer %s has it already",
			     w->out->peers[*slot_of(w, &c.addr) - 1].name);
	else
		add(w, &c);
}

static void add_mesh(struct want *w)
{
	if (w->conf.spec.nodeToNodeMeshEnabled == TRI_FALSE || w->out->cluster_id)
		return;
	for (size_t i = 0; i < w->v->nodes.n; i++)
		if (!annotation_cluster_id(w->v->nodes.v[i]->meta))
			add_node(w, w->v->nodes.v[i]->body, NULL,
				 "BGPConfiguration " BGP_CONFIG_DEFAULT);
}

void want_peers(struct want *w)
{
	char label[NAME_MAX_LEN + 16];

	if (!make_room(w))
		return;
	for (size_t i = 0; i < w->v->peers.n; i++) {
		const struct bgppeer *p = w->v->peers.v[i]->body;

		snprintf(label, sizeof(label), "BGPPeer %s", p->meta.name);
		if (p->spec.peerIP)
			add_router(w, w->v->peers.v[i], label);
		else
			add_selected(w, w->v->peers.v[i], label);
	}
	add_mesh(w);
}
