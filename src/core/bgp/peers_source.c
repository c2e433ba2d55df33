// SPDX-License-Identifier: Apache-2.0
/* What each BGPPeer that concerns this node, and the mesh, bring to a session: in the order of names, the mesh last. The first that has an
 * address counts, also where it cannot be done as it says: no other makes a session past the password that is missing. */
#include "core/bgp/peers_state.h"

#include "base/hash.h"

#include <string.h>

/* ---- the connection */

static const struct secret *find_secret(const struct want *w, const struct bgp_secret_key *ref)
{
	const struct object *o =
		ref ? cluster_get(w->v->cluster, KIND_SECRET, SECRET_NAMESPACE, ref->name) : NULL;

	return o ? o->body : NULL;
}

static void note_file(struct want *w, const char *path)
{
	struct bgp_want *out = &w->out;
	const char **v = arena_array(w->a, out->n_files + 1, sizeof(*v));

	if (!v)
		return;
	if (out->n_files)
		memcpy(v, out->files, out->n_files * sizeof(*v));
	v[out->n_files++] = arena_strdup(w->a, path);
	out->files = v;
}

/* False: it should have one, and there is none. */
static bool set_password(struct want *w, struct source *s, const char *at,
			 const struct bgp_password *p)
{
	const struct bgp_secret_key *ref = p->secretKeyRef;
	const struct secret *secret = find_secret(w, ref);
	uint8_t v[PASSWORD_MAX];
	size_t n = 0;

	if (secret) {
		n = secret_password(secret, ref->key, v);
	} else if (p->file && w->v->password_file) {
		n = w->v->password_file(p->file, v, w->v->arg);
		note_file(w, p->file);
	}
	if (n) {
		s->transport.password = arena_memdup(w->a, v, n);
		s->transport.password_len = n;
		return s->transport.password;
	}
	if (p->file)
		want_problem(w, s->label, "%s.file: %s has no password", at, p->file);
	else if (!secret)
		want_problem(w, s->label,
			     "%s.secretKeyRef: there is no Secret " SECRET_NAMESPACE
			     "/%s of type " SECRET_BGP_PASSWORD,
			     at, ref->name);
	else
		want_problem(w, s->label, "%s.secretKeyRef.key: Secret %s has no \"%s\"", at,
			     ref->name, ref->key);
	return false;
}

static uint64_t digest(const struct bgp_transport *t)
{
	uint64_t h = fnv64(FNV64_START, &t->source.family, 1);

	h = fnv64(h, t->source.b, sizeof(t->source.b));
	h = fnv64(h, &t->ttl_hops, 1);
	return t->password_len ? fnv64(h, t->password, t->password_len) : h;
}

static bool has_source(const struct source *s)
{
	return !s->how || s->how->spec.sourceAddress != SOURCE_ANY;
}

/* False: it cannot be made as it should be. */
static bool set_transport(struct want *w, struct source *s)
{
	const struct bgp_password *p =
		s->how ? s->how->spec.password : w->conf.spec.nodeMeshPassword;

	s->transport.ttl_hops = s->how ? (uint8_t)s->how->spec.ttlSecurity : 0;
	if (s->addr.family && has_source(s) && !w->ip[bgp_family_of_addr(&s->addr)].family) {
		want_problem(w, s->label, "spec.peerIP: this node has no InternalIP of its family");
		return false;
	}
	return !p || set_password(w, s, s->how ? "spec.password" : "spec.nodeMeshPassword", p);
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

static void set_families(const struct want *w, const struct source *s, struct bgp_peer_conf *p)
{
	for (unsigned f = 0; f < BGP_FAMILIES; f++) {
		p->next_hop[f] = w->ip[f];
		p->session.family[f] = is_family(s->how, f) && w->ip[f].family;
	}
}

static void miss_families(struct want *w, const struct source *s)
{
	for (unsigned f = 0; f < BGP_FAMILIES; f++)
		if (s->how && s->how->spec.families.n && is_family(s->how, f) && !w->ip[f].family)
			want_problem(w, s->label,
				     "spec.families: this node has no InternalIP of IPv%d",
				     f == BGP_IPV6 ? 6 : 4);
}

static void set_graceful(const struct want *w, const struct bgppeer *how,
			 struct bgp_session_conf *s)
{
	const struct bgp_restart *r = how ? how->spec.gracefulRestart : NULL;
	struct bgp_graceful *g = &s->graceful;
	uint16_t restart_time = w->out.speaker.restart_time;

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
		g->kept[f] = s->family[f] && w->kept;
	}
}

/* Whom no link is shared with is behind a router. From how far is not guessed, as BIRD sends with the system's TTL, not with 255. */
static void set_bfd(const struct want *w, const struct bgppeer *how, struct bgp_peer_conf *p)
{
	const struct bgp_bfd *b = how && how->spec.bfd ? how->spec.bfd : w->conf.spec.bfd;

	if (!b || b->enabled == TRI_FALSE)
		return;
	p->bfd.interval_us = 1000 * (uint32_t)(b->interval ? b->interval : BGP_BFD_INTERVAL);
	p->bfd.multiplier =
		(uint8_t)(b->detectMultiplier ? b->detectMultiplier : BGP_BFD_MULTIPLIER);
	p->bfd.multihop =
		b->multihop == TRI_ABSENT ? !p->on_link.addr.family : b->multihop == TRI_TRUE;
	p->bfd.min_ttl = (uint8_t)(b->minimumTTL ? b->minimumTTL : BGP_BFD_MINIMUM_TTL);
}

static struct prefix link_with(const struct want *w, const struct ipaddr *peer)
{
	struct prefix best = { 0 };

	for (size_t i = 0; i < w->n_subnets; i++)
		if (prefix_has(&w->subnets[i], peer) && w->subnets[i].len >= best.len)
			best = prefix_mask(&w->subnets[i]);
	return best;
}

/* RFC 8212 asks for a rule between two AS. */
static struct bgp_filter filter_of(const struct source *s, const struct bgp_filter *of, bool needs)
{
	struct bgp_filter f = { .digest = FNV64_START };

	if (s->how)
		f = *of;
	f.deny = needs && !f.n;
	f.digest = fnv64(f.digest, &f.deny, sizeof(f.deny));
	return f;
}

static void set_filters(const struct want *w, const struct source *s, struct bgp_peer_conf *p)
{
	bool needs = w->conf.spec.ebgpRequiresPolicy == TRI_TRUE && p->session.peer_as != w->as;

	for (unsigned f = 0; f < BGP_FAMILIES; f++) {
		p->import[f] = filter_of(s, &s->import[f], needs);
		p->export[f] = filter_of(s, &s->export[f], needs);
	}
}

void want_session(const struct want *w, const struct source *s, const struct peer_facts *f,
		  struct bgp_peer_conf *p, struct bgp_transport *t)
{
	*t = s->transport;
	if (has_source(s))
		t->source = w->ip[bgp_family_of_addr(&f->addr)];
	*p = (struct bgp_peer_conf){
		.name = f->name,
		.addr = f->addr,
		.port = f->port,
		.session = { .local_as = w->as,
			     .local_id = w->id,
			     .peer_as = f->as,
			     .passive = s->how && s->how->spec.passive,
			     .as4 = true,
			     .refresh = true },
		.cluster_id = w->out.cluster_id,
		.client = w->out.cluster_id && f->as == w->as && f->cluster_id != w->out.cluster_id,
		.next_hop_self = s->how && s->how->spec.nextHopMode == NEXT_HOP_SELF,
		.on_link = link_with(w, &f->addr),
		.max_prefixes = s->how ? (uint32_t)s->how->spec.maxPrefixes : 0,
		.transport = digest(t),
	};
	set_families(w, s, p);
	set_timers(w, s->how, &p->session);
	set_graceful(w, s->how, &p->session);
	set_bfd(w, s->how, p);
	set_filters(w, s, p);
}

/* ---- which there are */

bool want_has_peer(const struct bgppeer *p, const struct meta *node)
{
	if (p->spec.node)
		return !strcmp(p->spec.node, node->name);
	return !p->spec.nodeSelector || selector_match(p->spec.nodeSelector, &node->labels);
}

static bool selects(const struct source *s, const struct node *n)
{
	if (s->addr.family)
		return false;
	if (!s->how)
		return !annotation_cluster_id(&n->meta);
	return (s->has && selector_match(s->how->spec.peerSelector, &n->meta.labels)) ||
	       (s->is && want_has_peer(s->how, &n->meta));
}

const struct source *want_source_of(const struct want *w, const struct node *n)
{
	for (size_t i = 0; i < w->n_sources; i++)
		if (selects(&w->sources[i], n))
			return &w->sources[i];
	return NULL;
}

static bool find_addr(const struct want *w, const struct bgppeer *p, struct source *s)
{
	/* No object with another text is in the store; and nobody is a peer of itself. */
	if (peer_ip_parse(p->spec.peerIP, &s->addr, &s->port) ||
	    addr_eq(&s->addr, &w->ip[bgp_family_of_addr(&s->addr)]))
		return false;
	if (!s->port)
		s->port = BGP_PORT;
	return true;
}

static bool concerns(const struct want *w, const struct bgppeer *p, struct source *s)
{
	s->has = want_has_peer(p, &w->self->meta);
	if (p->spec.peerIP)
		return s->has && find_addr(w, p, s);
	s->is = selector_match(p->spec.peerSelector, &w->self->meta.labels);
	return s->has || s->is;
}

static void complete(struct want *w, struct source *s)
{
	s->off = !set_transport(w, s);
	if (!s->how)
		return;
	if (!s->off)
		miss_families(w, s);
	want_missing_filters(w, s->how, s->label);
	for (unsigned f = 0; f < BGP_FAMILIES; f++) {
		s->import[f] = want_filter(w, s->how, true, f);
		s->export[f] = want_filter(w, s->how, false, f);
	}
}

static bool has_mesh(const struct want *w)
{
	return w->conf.spec.nodeToNodeMeshEnabled != TRI_FALSE && !w->out.cluster_id;
}

void want_sources(struct want *w)
{
	size_t n;
	const struct object *const *v = cluster_all(w->v->cluster, KIND_BGPPEER, &n);

	w->sources = arena_array(w->a, n + 1, sizeof(*w->sources));
	for (size_t i = 0; w->sources && i < n; i++) {
		const struct bgppeer *p = v[i]->body;
		struct source s = { .how = p };

		if (!concerns(w, p, &s))
			continue;
		s.name = arena_strdup(w->a, p->meta.name);
		s.label = arena_printf(w->a, "BGPPeer %s", p->meta.name);
		w->sources[w->n_sources++] = s;
	}
	if (w->sources && has_mesh(w))
		w->sources[w->n_sources++] =
			(struct source){ .label = "BGPConfiguration " BGP_CONFIG_DEFAULT };
	for (size_t i = 0; i < w->n_sources && !w->a->failed; i++)
		complete(w, &w->sources[i]);
}
