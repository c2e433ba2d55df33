/* SPDX-License-Identifier: Apache-2.0 */
/* kube-proxy's names for what our rules of Services do, in the words of its iptables mode, which is
 * what people know: where it has a chain per Service and endpoint (KUBE-SVC-…, KUBE-SEP-…), we have
 * elements of a map, so that a rule of ours stands for the one of those chains that a packet takes. */
#pragma once
#include "core/nft/ir.h"

/* The chain or chains that rule `r` of chain `c` stands for; NULL: kube-proxy has none for it. *local
 * is false before a packet's first rule, and given back with the next: whether the endpoints of this
 * node only were chosen from (externalTrafficPolicy Local). */
const char *nft_kube_chain(const char *c, const struct nft_rule *r, bool *local);
