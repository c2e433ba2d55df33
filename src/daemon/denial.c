// SPDX-License-Identifier: Apache-2.0
/* denial: see denial.h. Why it was denied has the words of `fairlead why` ("default deny by
 * …"), so that a line can be searched for where the other was read. */
#include "daemon/denial.h"
#include "core/policy/match.h"

#include <netinet/in.h>
#include <string.h>

#define POLICIES_MAX 640 /* bytes of their list: a log line has 1 KiB for all */

static void put_proto(const struct nft_logged *p, struct buf *out)
{
	static const struct {
		uint8_t proto;
		const char *name;
	} known[] = { { IPPROTO_TCP, "tcp" },
		      { IPPROTO_UDP, "udp" },
		      { IPPROTO_SCTP, "sctp" },
		      { IPPROTO_ICMP, "icmp" },
		      { IPPROTO_ICMPV6, "icmpv6" } };
	const char *name = NULL;

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (known[i].proto == p->flow.proto)
			name = known[i].name;
	if (name)
		buf_puts(out, name);
	else
		buf_printf(out, "protocol %u", p->flow.proto);
	if (p->has_icmp)
		buf_printf(out, " type %u code %u", p->icmp_type, p->icmp_code);
	if (p->fragment)
		buf_puts(out, " fragment");
}

static void put_end(const struct denial_end *end, const struct ipaddr *a, uint16_t port,
		    struct buf *out)
{
	char text[ADDR_TEXT];

	addr_str(a, text);
	if (end->ns)
		buf_printf(out, "%s/%s ", end->ns, end->name);
	else if (end->name)
		buf_printf(out, "node %s ", end->name);
	if (!port)
		buf_puts(out, text);
	else
		buf_printf(out, a->family == AF_INET6 ? "[%s]:%u" : "%s:%u", text, port);
}

/* Whole names only. */
static void put_policies(const char *list, struct buf *out)
{
	size_t n = strlen(list), more = 0;

	while (n > POLICIES_MAX) {
		while (n && list[--n] != ',')
			;
		more++;
	}
	buf_put(out, list, n);
	if (more)
		buf_printf(out, "%s%zu more", n ? ", and " : "", more);
}

/* Of policies' names, or of why a pod is closed. */
static const char *head_of(const struct denial *d)
{
	bool named = !d->policies || policy_names_some(d->policies);

	if (d->midway)
		return named ? POLICY_MIDWAY ", by " : POLICY_MIDWAY ": ";
	return d->policies ? policy_denial_head(d->policies) : "by ";
}

void denial_line(const struct denial *d, struct buf *out)
{
	const struct nft_trace_flow *f = &d->packet->flow;

	buf_printf(out, "%s denied: ", d->type == POLICY_EGRESS ? "egress" : "ingress");
	if (f->src.family) {
		put_proto(d->packet, out);
		buf_puts(out, " ");
		put_end(&d->from, &f->src, f->sport, out);
		buf_puts(out, " > ");
		put_end(&d->to, &f->dst, f->dport, out);
	} else {
		buf_puts(out, "a packet that cannot be read");
	}
	buf_printf(out, ": %s", head_of(d));
	if (d->policies)
		put_policies(d->policies, out);
	else
		buf_puts(out, "policies that are gone");
}

bool denial_rate_take(struct denial_rate *r, double now)
{
	double gone = r->at ? now - r->at : 1.;

	if (gone > 0.)
		r->left += gone * r->per_second;
	if (r->left > r->per_second)
		r->left = r->per_second;
	r->at = now;
	if (r->left >= 1.) {
		r->left -= 1.;
		return true;
	}
	r->more++;
	return false;
}
