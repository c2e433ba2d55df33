// SPDX-License-Identifier: Apache-2.0
/* nodeconf: see nodeconf.h. The cluster's DNS address is number 10 of each service range, as
 * kubeadm chooses it. */
#include "lab/nodeconf.h"

#include "base/names.h"
#include "lab/bgp.h"

#define DNS_HOST 10

void nodeconf_fairleadd(const struct lab_spec *s, const struct lab_node *node, const char *store,
			struct buf *out)
{
	char text[PREFIX_TEXT];

	buf_printf(out, "# written by fairlead lab up\nnode %s\nstore %s\n", node->name, store);
	buf_printf(out,
		   "roles agent watch health controller dns%s\ndns-upstream off\nuplink eth0\n",
		   lab_has_bgp(s) ? " bgp" : "");
	for (uint32_t i = 0; i < node->addrs.n; i++)
		buf_printf(out, "node-ip %s\n", addr_str(&node->addrs.v[i].addr, text));
	for (uint32_t i = 0; i < s->service_cidrs.n; i++)
		buf_printf(out, "service-cidr %s\n", prefix_str(&s->service_cidrs.v[i], text));
	buf_printf(out, "cluster-domain %s\n", s->cluster_domain);
}

void nodeconf_conflist(const struct lab_spec *s, struct buf *out)
{
	buf_puts(out,
		 "{\n"
		 "  \"cniVersion\": \"1.0.0\",\n"
		 "  \"cniVersions\": [\"0.3.0\", \"0.3.1\", \"0.4.0\", \"1.0.0\", \"1.1.0\"],\n"
		 "  \"name\": \"fairlead\",\n"
		 "  \"plugins\": [\n"
		 "    { \"type\": \"fairlead-cni\", \"attachment\": ");
	buf_json_str(out, name_of(&lab_attachment_names, s->attachment));
	buf_puts(out, ",\n      \"capabilities\": { \"portMappings\": true } }\n  ]\n}\n");
}

static void put_local(struct buf *out)
{
	buf_puts(out, "127.0.0.1\tlocalhost\n"
		      "::1\tlocalhost ip6-localhost ip6-loopback\n"
		      "ff02::1\tip6-allnodes\n"
		      "ff02::2\tip6-allrouters\n");
}

void nodeconf_hosts(const struct lab_spec *s, struct buf *out)
{
	char text[ADDR_TEXT];

	put_local(out);
	for (uint32_t i = 0; i < s->nodes.n; i++)
		for (uint32_t k = 0; k < s->nodes.v[i].addrs.n; k++)
			buf_printf(out, "%s\t%s\n", addr_str(&s->nodes.v[i].addrs.v[k].addr, text),
				   s->nodes.v[i].name);
}

void nodeconf_pod_hosts(const struct lab_spec *s, const struct pod_files *p, struct buf *out)
{
	char text[ADDR_TEXT];

	buf_puts(out, "# written by lab-node\n");
	put_local(out);
	for (size_t i = 0; i < p->n_ips; i++) {
		buf_printf(out, "%s\t", addr_str(&p->ips[i].addr, text));
		if (p->subdomain)
			buf_printf(out, "%s.%s.%s.svc.%s ", p->hostname, p->subdomain, p->ns,
				   s->cluster_domain);
		buf_printf(out, "%s\n", p->hostname);
	}
}

void nodeconf_resolv(const struct lab_spec *s, const struct pod_files *p, struct buf *out)
{
	char text[ADDR_TEXT];

	if (!p->cluster_dns) {
		buf_puts(out, "# dnsPolicy Default: the node asks nobody.\n");
		return;
	}
	buf_printf(out, "search %s.svc.%s svc.%s %s\n", p->ns, s->cluster_domain, s->cluster_domain,
		   s->cluster_domain);
	for (uint32_t i = 0; i < s->service_cidrs.n; i++) {
		struct ipaddr dns = addr_add(&s->service_cidrs.v[i].addr, DNS_HOST);

		buf_printf(out, "nameserver %s\n", addr_str(&dns, text));
	}
	buf_puts(out, "options ndots:5\n");
}
