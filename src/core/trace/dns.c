// SPDX-License-Identifier: Apache-2.0
/* trace of a DNS query: see dns.h. The names are those of core/dns/answer.h, looked up in objects instead of in the table that is made of
 * them: what is sought is not the answer, which is there, but what it hangs on. A label that no object has is named with the first object
 * that is missing. */
#include "core/trace/dns.h"

#include "base/text.h"
#include "core/dns/reverse.h"
#include "core/dns/traced.h"

#include <string.h>

/* A name left of its zone. */
struct parts {
	const char *label[DNS_LABELS_MAX]; /* in lower case; the leftmost first */
	unsigned n;
	struct dns_name name; /* the whole */
};

static bool read_parts(const struct packet_trace *t, const char *zone, struct arena *a,
		       struct parts *p)
{
	const uint8_t *label[DNS_LABELS_MAX];
	struct dns_query q;
	struct dns_name z;
	struct err e;
	unsigned n;

	if (!zone || dns_traced_question(t, &q, &e) || dns_name_parse(zone, &z, &e) ||
	    !dns_name_under(&q.lower, &z))
		return false;
	dns_name_copy(&p->name, &q.lower);
	n = dns_name_labels(&p->name, label);
	p->n = n - dns_name_labels(&z, (const uint8_t *[DNS_LABELS_MAX]){ 0 });
	for (unsigned i = 0; i < p->n; i++)
		p->label[i] =
			text_or_dash(arena_strndup(a, (const char *)label[i] + 1, label[i][0]));
	return true;
}

/* ---- whose it is */

static void by_namespace(const struct story_view *view, const char *ns, struct story_hop *h)
{
	h->by = (struct story_by){ STORY_BY_NAMESPACE, NULL, ns, NULL };
	if (!cluster_get(view->cluster, KIND_NAMESPACE, NULL, ns))
		h->why = "there is no such Namespace";
}

static bool is_headless(const struct service *s)
{
	return s->spec.clusterIP && !strcmp(s->spec.clusterIP, "None");
}

/* `below`: labels left of the Service's. */
static const char *why_not(const struct service *s, unsigned below)
{
	if (s->spec.type == SERVICE_EXTERNAL_NAME)
		return "it is an alias, and nothing is below it";
	if (!below)
		return is_headless(s) ? "it is headless, and no endpoint of it is ready" : NULL;
	return below == 1 ? "no ready endpoint of it has that name"
			  : "it has no port of that name and protocol";
}

/* "_http" of "_http._tcp". */
static const char *port_of(const struct parts *p, unsigned below)
{
	return below == 2 && p->label[0][0] == '_' ? p->label[0] + 1 : NULL;
}

static void by_service(const struct story_view *view, const struct parts *p, struct story_hop *h)
{
	const char *ns = p->label[p->n - 2], *name = p->label[p->n - 3];
	const struct object *o = cluster_get(view->cluster, KIND_SERVICE, ns, name);
	unsigned below = p->n - 3;

	if (!o && !cluster_get(view->cluster, KIND_NAMESPACE, NULL, ns)) {
		by_namespace(view, ns, h);
		return;
	}
	h->by = (struct story_by){ STORY_BY_SERVICE, ns, name, o ? port_of(p, below) : NULL };
	if (!o)
		h->why = "there is no such Service";
	else if (text_eq(h->dns->rcode, "NXDOMAIN"))
		h->why = why_not(o->body, below);
}

/* "NAME TTL TYPE DATA" of an address. */
static bool address_in(const char *record, struct ipaddr *ip)
{
	const char *type = record;

	for (int i = 0; type && i < 2; i++) {
		type = strchr(type, ' ');
		type += type != NULL;
	}
	if (!type || (strncmp(type, "A ", 2) != 0 && strncmp(type, "AAAA ", 5) != 0))
		return false;
	return !addr_parse(strchr(type, ' ') + 1, ip);
}

static void by_service_with(const struct story_view *view, const struct ipaddr *ip,
			    struct story_hop *h)
{
	size_t n;
	const struct object *const *all = cluster_all(view->cluster, KIND_SERVICE, &n);

	for (size_t i = 0; i < n; i++) {
		const struct service *s = all[i]->body;
		bool has = false;
		struct ipaddr its;

		for (uint32_t k = 0; k < s->spec.clusterIPs.n; k++)
			has |= !addr_parse_lax(s->spec.clusterIPs.v[k], &its) && addr_eq(&its, ip);
		if (has || (s->spec.clusterIP && !addr_parse_lax(s->spec.clusterIP, &its) &&
			    addr_eq(&its, ip))) {
			h->by = (struct story_by){ STORY_BY_SERVICE, s->meta.namespace,
						   s->meta.name, NULL };
			return;
		}
	}
}

static void by_address(const struct story_view *view, const struct parts *p, struct story_hop *h)
{
	struct ipaddr ip;

	if (dns_reverse_read(&p->name, &ip) != DNS_REVERSE_ADDR)
		return;
	by_service_with(view, &ip, h);
	if (h->by.kind != STORY_BY_SERVICE && h->dns->records.n)
		h->by = story_owner(view, &ip);
	if (!h->dns->records.n && h->by.kind != STORY_BY_SERVICE)
		h->why = "no Service, and no endpoint of one, has that address";
}

static void by_pod(const struct story_view *view, const struct parts *p, struct story_hop *h)
{
	struct ipaddr ip;

	by_namespace(view, p->label[p->n - 2], h);
	if (h->dns->records.n && address_in(h->dns->records.v[0], &ip))
		h->by = story_owner(view, &ip);
	else if (!h->why && p->n == 3 && text_eq(h->dns->rcode, "NXDOMAIN"))
		h->why = "no pod of it has that address";
}

static void by_objects(const struct story_view *view, const struct packet_trace *t,
		       struct story_hop *h, struct arena *a)
{
	struct parts *p = arena_alloc(a, sizeof(*p));
	const struct ipaddr none = { .family = 0 };
	struct ipaddr ip = none;
	const char *top;

	if (!p || !read_parts(t, h->dns->zone, a, p))
		return;
	if (dns_reverse_is(&p->name)) {
		by_address(view, p, h);
		return;
	}
	top = p->n ? p->label[p->n - 1] : "";
	if (text_eq(top, "pod") && p->n > 1)
		by_pod(view, p, h);
	else if (text_eq(top, "svc") && p->n == 2)
		by_namespace(view, p->label[0], h);
	else if (text_eq(top, "svc") && p->n > 2)
		by_service(view, p, h);
	/* Of an endpoint by its name, or of the only one: whose it is. */
	if (h->by.kind == STORY_BY_SERVICE && h->dns->records.n == 1 &&
	    address_in(h->dns->records.v[0], &ip) && story_pod(view, &ip))
		h->behind = story_owner(view, &ip);
}

/* ---- the hop */

static void decided(const struct story_view *view, const struct packet_trace *t,
		    struct story_hop *h, struct arena *a)
{
	const struct story_dns *d = h->dns;

	if (text_eq(d->from, "upstream") && d->upstream)
		h->by = (struct story_by){ STORY_BY_ADDRESS, NULL, d->upstream, NULL };
	if (!text_eq(d->from, "cluster"))
		return;
	if (text_eq(d->rcode, "SERVFAIL"))
		h->why = "the names of the cluster are not known yet";
	else
		by_objects(view, t, h, a);
}

void story_dns_tell(const struct story_view *view, const struct packet_trace *t,
		    struct story_hop *h, struct arena *a)
{
	/* A query comes to one server, which asks others in its own name. */
	const struct trace_dns *said = t->status.dns.n ? &t->status.dns.v[0] : NULL;
	const struct trace_response *got = t->status.probe.answer;
	struct story_dns *d = arena_alloc(a, sizeof(*d));

	if (!d)
		return;
	*d = (struct story_dns){ .name = t->spec.query.name, .type = t->spec.query.type };
	if (said) {
		d->from = said->from;
		d->upstream = said->upstream;
		d->zone = said->zone;
	}
	if (got) {
		d->rcode = got->rcode;
		d->truncated = got->truncated;
		d->records.v = got->records.v;
		d->records.n = got->records.n;
	}
	h->dns = d;
	decided(view, t, h, a);
}

/* ---- words */

const char *story_dns_answer_text(const struct story_dns *d, struct arena *a)
{
	const char *more = "";

	if (!d->records.n)
		return arena_printf(a,
				    text_eq(d->rcode, "NOERROR") ? "%s, without a record for %s %s"
								 : "%s for %s %s",
				    d->rcode, d->name, d->type);
	if (d->records.n > 1)
		more = text_or_dash(arena_printf(a, " and %u more", d->records.n - 1));
	return arena_printf(a, "%s, %s%s%s", d->rcode, d->records.v[0], more,
			    d->truncated ? ", cut short" : "");
}

const char *story_dns_from_text(const struct story_dns *d, struct arena *a)
{
	if (text_eq(d->from, "cluster"))
		return "from the cluster's names";
	if (text_eq(d->from, "hosts"))
		return "from the node's hosts file";
	if (text_eq(d->from, "cache"))
		return "from the cache of others' answers";
	if (text_eq(d->from, "upstream"))
		return d->upstream ? arena_printf(a, "asked of upstream %s", d->upstream)
				   : "upstreams were asked, and none answered";
	if (!d->from)
		return NULL;
	return text_eq(d->rcode, "REFUSED") ? "there is no upstream to ask" : "no upstream answers";
}

const char *story_dns_object_text(const struct story_hop *h, struct arena *a)
{
	bool is = h->by.kind == STORY_BY_SERVICE || h->by.kind == STORY_BY_NAMESPACE ||
		  h->by.kind == STORY_BY_POD;

	return is && text_eq(h->dns->from, "cluster") ? story_by_text(&h->by, a) : NULL;
}

const char *story_dns_server_text(const struct story_hop *h, struct arena *a)
{
	if (!h->node)
		return story_by_text(&h->by, a);
	return arena_printf(a, "%s %s", h->netns ? "Pod" : "the DNS of Node",
			    h->netns ? h->netns : h->node);
}

/* ---- what to do */

/* Of a name that was not meant in full what the resolver makes of it. */
static const char *by_search(const struct story_view *view, const struct story_hop *h,
			     struct arena *a)
{
	const struct story_dns *d = h->dns;
	size_t dots = 0, n = strlen(d->name);
	const char *ns = NULL, *name = d->name;
	const struct pod *pod = story_pod(view, &h->after.dst);

	for (size_t i = 0; i < n; i++)
		dots += d->name[i] == '.';
	if (!d->zone || dots >= 2 || !n || d->name[n - 1] == '.')
		return NULL;
	if (dots)
		ns = strchr(name, '.') + 1;
	else if (pod)
		ns = pod->meta.namespace;
	name = arena_strndup(a, name, strcspn(name, "."));
	if (!ns || !name || !cluster_get(view->cluster, KIND_SERVICE, ns, name))
		return NULL;
	return arena_printf(a,
			    "a trace asks for the name as it stands; a pod's resolver tries its "
			    "search list first, where it finds Service %s/%s: ask for "
			    "%s.%s.svc.%s",
			    ns, name, name, ns, d->zone);
}

const char *story_dns_advice(const struct story_view *view, const struct story_hop *h,
			     struct arena *a)
{
	const struct story_dns *d = h->dns;
	const char *search;

	if (!d || d->records.n)
		return NULL;
	search = by_search(view, h, a);
	if (search)
		return search;
	if (text_eq(d->from, "upstream") && !d->upstream)
		return "none of the node's upstreams answers (fairlead dns status names them): are "
		       "they up, and is there a way to them from the node?";
	if (text_eq(d->from, "nobody"))
		return "role dns has nobody to ask for this, or those did not answer lately: the "
		       "key dns-upstream says whom it asks (fairlead dns status)";
	return NULL;
}
