/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs share that load rules by the house's own rooms. */
#pragma once
#include "core/nft/build.h"
#include "sys/nfnl.h"

/* Ends the program where `rc` is a failure, and says `e`. */
void check(int rc, const struct err *e);
/* The node's whole ruleset, as an agent loads it at first. */
void load_frame(struct nfnl *nl, const struct nft_input *in);
