/* SPDX-License-Identifier: Apache-2.0 */
/* dns_world: see dns_world.h. What cannot be in a test ends it. */
#include "dns_world.h"

#include "core/dns/octets.h"
#include "core/dns/response.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "dns_world: %s\n", what);
	abort();
}

void dns_world_open(struct dns_world *w, size_t size)
{
	w->size = size;
	w->region = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	must(w->region != MAP_FAILED, "no memory");
	memset(w->readers, 0, sizeof(w->readers));
	must(!dns_table_init(&w->table, w->region, size, w->readers, NULL, NULL, NULL), "no table");
	w->zone = dns_zone_new(&w->table, &w->settings);
	must(w->zone, "no zone");
	must(!dns_view_attach(&w->view, w->region, size, w->readers, NULL), "no view");
	must(!dns_view_claim(&w->view, 1, NULL), "no reader");
}

void dns_world_close(struct dns_world *w)
{
	dns_view_release(&w->view);
	dns_zone_free(w->zone);
	dns_table_fini(&w->table);
	munmap(w->region, w->size);
}

int dns_world_put(struct dns_world *w, const struct object *o, bool there, struct err *e)
{
	const char *ns = o->meta->namespace, *name = o->meta->name;
	const void *body = there ? o->body : NULL;

	switch (o->kind->id) {
	case KIND_SERVICE:
		return dns_zone_service(w->zone, ns, name, body, e);
	case KIND_ENDPOINTSLICE:
		return dns_zone_slice(w->zone, ns, name, body, e);
	case KIND_POD:
		return dns_zone_pod(w->zone, ns, name, body, e);
	case KIND_NAMESPACE:
		return dns_zone_namespace(w->zone, name, there, e);
	default:
		return 0;
	}
}

static size_t question(uint8_t *p, const char *name, uint16_t type)
{
	struct dns_name n;

	must(!dns_name_parse(name, &n, NULL), name);
	memset(p, 0, DNS_HEADER);
	p[0] = 0x12;
	p[2] = 1; /* RD */
	p[5] = 1;
	memcpy(p + DNS_HEADER, n.v, n.n);
	dns_set16(p + DNS_HEADER + n.n, type);
	dns_set16(p + DNS_HEADER + n.n + 2, DNS_IN);
	return DNS_HEADER + n.n + 4u;
}

static void name_text(const struct dns_response *r, size_t *at, char *out, size_t n)
{
	char text[DNS_NAME_TEXT];
	struct dns_name name;

	must(!dns_name_read(r->p, r->n, at, &name), "a name that cannot be read");
	snprintf(out, n, "%s", dns_name_text(&name, text));
}

static void data_text(const struct dns_response *r, const struct dns_record *x, char *out, size_t n)
{
	char a[256], b[256];
	const uint8_t *p = r->p + x->data;
	struct ipaddr ip = { .family = x->type == DNS_A ? 2 : 10 };
	size_t at = x->data;

	switch (x->type) {
	case DNS_A:
	case DNS_AAAA:
		memcpy(ip.b, p, x->len);
		snprintf(out, n, "%s", addr_str(&ip, a));
		break;
	case DNS_NS:
	case DNS_CNAME:
	case DNS_PTR:
		name_text(r, &at, out, n);
		break;
	case DNS_SRV:
		at += 6;
		name_text(r, &at, a, sizeof(a));
		snprintf(out, n, "%u %u %u %s", dns_get16(p), dns_get16(p + 2), dns_get16(p + 4),
			 a);
		break;
	case DNS_SOA:
		name_text(r, &at, a, sizeof(a));
		name_text(r, &at, b, sizeof(b));
		p = r->p + at;
		snprintf(out, n, "%s %s %u %u %u %u %u", a, b, dns_get32(p), dns_get32(p + 4),
			 dns_get32(p + 8), dns_get32(p + 12), dns_get32(p + 16));
		break;
	case DNS_TXT:
		snprintf(out, n, "\"%.*s\"", p[0], (const char *)p + 1);
		break;
	default:
		snprintf(out, n, "%u octets", x->len);
	}
}

size_t dns_world_ask(struct dns_world *w, const char *name, uint16_t type, int *rcode,
		     struct dns_world_record *out, size_t n)
{
	static struct dns_query q;
	struct dns_response r;
	struct dns_record x;
	struct dns_walk walk;
	struct dns_out o;
	uint8_t asked[512];
	size_t k = 0;

	must(!dns_query_read(asked, question(asked, name, type), &q), "a query that is refused");
	dns_out_begin(&o, w->wire, w->room ? w->room : DNS_MESSAGE_MAX, &q, DNS_RA);
	dns_view_enter(&w->view);
	*rcode = dns_answer(&w->view, &w->settings, &q, w->turn, &o, &w->target);
	must(dns_view_leave(&w->view), "a reader that is too slow");
	if (*rcode < 0)
		return 0;
	w->n = dns_out_end(&o, *rcode);
	must(!dns_response_read(w->wire, w->n, &r), "a response that cannot be read");
	must(r.flags & DNS_AA && r.rcode == *rcode, "a response that says another thing");
	for (walk = dns_walk_begin(&r); k < n && dns_walk_next(&walk, &x); k++) {
		char text[DNS_NAME_TEXT];

		out[k].section = x.section;
		out[k].type = x.type;
		out[k].ttl = x.ttl;
		snprintf(out[k].owner, sizeof(out[k].owner), "%s", dns_name_text(&x.owner, text));
		data_text(&r, &x, out[k].data, sizeof(out[k].data));
	}
	return k;
}
