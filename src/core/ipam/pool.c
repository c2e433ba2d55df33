// SPDX-License-Identifier: Apache-2.0
/* pool: see pool.h. What a pool may look like is judged in model/validate.c. */
#include "core/ipam/pool.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define DEFAULT_LEN_V4 26
#define DEFAULT_LEN_V6 122

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
