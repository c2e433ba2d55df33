/* SPDX-License-Identifier: Apache-2.0 */
/* Our classifier on one hook of a device: looking, putting, taking off. For sys/ipip.c. */
#pragma once
#include "base/err.h"
#include "sys/ipip.h"

/* *id becomes the program's, 0 where there is none of ours; *others: how many that are not. */
int ipip_tc_look(struct nl *nl, enum ipip_hook hook, int ifindex, uint32_t *id, unsigned *others,
		 struct err *e);
int ipip_tc_put(struct nl *nl, enum ipip_hook hook, int ifindex, int program, struct err *e);
