/* SPDX-License-Identifier: Apache-2.0 */
/* Pools and blocks as arithmetic: sizes, names, which pools a node may use. */
#pragma once
#include "model/cluster.h"

#define IPAM_BLOCK_NAME 64

/* The prefix length of the pool's blocks, the default (26, 122) filled in; a pool smaller than
 * the default is one block. */
uint8_t ipam_pool_block_len(const struct ippool *p);
/* The IPBlock's object name: "10-244-1-0-26", "fd00-10--40-122". Writes into `buf`, returns it. */
const char *ipam_block_name(const struct prefix *cidr, char buf[IPAM_BLOCK_NAME]);
/* Enabled, and its nodeSelector (absent: every node) matches the labels. */
bool ipam_pool_serves(const struct ippool *p, const struct strmap *node_labels);
