// SPDX-License-Identifier: Apache-2.0
/* pool: see pool.h. The limits are Calico's: a block is a route, so blocks below /20 and /116
 * would make a node's share too coarse, and enumerating one stays cheap (4096 addresses). */
#include "core/ipam/pool.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define DEFAULT_LEN_V4 26
#define DEFAULT_LEN_V6 122
#define MIN_LEN_V4     20
#define MIN_LEN_V6     116

uint8_t ipam_pool_block_len(const struct ippool *p)
{
	uint8_t len = p->spec.cidr.addr.family == AF_INET ? DEFAULT_LEN_V4 : DEFAULT_LEN_V6;

	if (p->spec.blockSize)
		return (uint8_t)p->spec.blockSize;
	return len < p->spec.cidr.len ? p->spec.cidr.len : len;
}

const char *ipam_block_name(const struct prefix *cidr, char buf[IPAM_BLOCK_NAME])
{
	char text[ADDR_TEXT];

	addr_str(&cidr->addr, text);
	/* A DNS label starts and ends with a letter or digit. */
	snprintf(buf, IPAM_BLOCK_NAME, "%s%s%s-%u", text[0] == ':' ? "0" : "", text,
		 text[strlen(text) - 1] == ':' ? "0" : "", cidr->len);
	for (char *c = buf; *c; c++)
		if (*c == '.' || *c == ':')
			*c = '-';
	return buf;
}

bool ipam_pool_serves(const struct ippool *p, const struct strmap *node_labels)
{
	if (p->spec.disabled)
		return false;
	return !p->spec.nodeSelector || selector_match(p->spec.nodeSelector, node_labels);
}

static int check_block_size(const struct ippool *p, struct err *e)
{
	bool v4 = p->spec.cidr.addr.family == AF_INET;
	int min = v4 ? MIN_LEN_V4 : MIN_LEN_V6, max = v4 ? 32 : 128;

	if (!p->spec.blockSize) {
		if (ipam_pool_block_len(p) < min)
			return err_set(e, -EINVAL, "spec.blockSize: no default fits the pool");
		return 0;
	}
	if (p->spec.blockSize < min || p->spec.blockSize > max)
		return err_set(e, -EINVAL, "spec.blockSize: must be from %d to %d for IPv%d", min,
			       max, v4 ? 4 : 6);
	if (p->spec.blockSize < p->spec.cidr.len)
		return err_set(e, -EINVAL,
			       "spec.blockSize: a block (/%d) must fit in the pool (/%u)",
			       (int)p->spec.blockSize, p->spec.cidr.len);
	return 0;
}

int ipam_pool_valid(const struct ippool *p, const struct ippool *const *others, size_t n,
		    struct err *e)
{
	struct prefix net = prefix_mask(&p->spec.cidr);
	char text[PREFIX_TEXT];
	int r;

	if (!p->spec.cidr.addr.family)
		return err_set(e, -EINVAL, "spec.cidr: is required");
	if (!prefix_eq(&net, &p->spec.cidr))
		return err_set(e, -EINVAL, "spec.cidr: has host bits set, meant is %s",
			       prefix_str(&net, text));
	r = check_block_size(p, e);
	if (r)
		return r;
	if (p->spec.mode == POOL_IPIP && p->spec.cidr.addr.family == AF_INET6)
		return err_set(e, -EINVAL, "spec.mode: IPIP carries IPv4 only; use VXLAN");
	if (p->spec.mode == POOL_DIRECT && p->spec.crossSubnet)
		return err_set(e, -EINVAL,
			       "spec.crossSubnet: needs mode VXLAN or IPIP, not Direct");
	if (p->spec.maxBlocksPerNode < 0)
		return err_set(e, -EINVAL, "spec.maxBlocksPerNode: must not be negative");
	for (size_t i = 0; i < n; i++) {
		const struct ippool *o = others[i];

		if (!strcmp(o->meta.name, p->meta.name) ||
		    !prefix_overlaps(&o->spec.cidr, &p->spec.cidr))
			continue;
		return err_set(e, -EINVAL, "spec.cidr: overlaps with IPPool %s (%s)", o->meta.name,
			       prefix_str(&o->spec.cidr, text));
	}
	return 0;
}
