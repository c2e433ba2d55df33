/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that decide a request share: take.c, borrow.c. */
#pragma once
#include "core/ipam/state.h"

enum pick { PICK_NONE, PICK_GOT, PICK_ACTION, PICK_WAIT };

/* One wanted address: what was decided for it. */
struct choice {
	struct ipam_grant grant;
	struct ipam_action action;
};

/* What the decisions of one request share. */
struct asking {
	struct ipam *s;
	const struct ipam_request *q;
	const struct ipam_turn *t;
	struct pending *mine;
	const char *handle;
	struct err *e;
};

struct pending *pending_find(const struct ipam *s, const char *handle);
struct pending *pending_add(struct ipam *s, const char *handle);
void pending_end(struct ipam *s, const char *handle);
int pending_asked(struct pending *p, const struct prefix *cidr);

bool pool_asked_for(const struct ipam_request *q, const struct view_pool *p);
void choose(const struct asking *k, const struct ipaddr *a, const struct view_block *b,
	    struct choice *c);
/* Both return an enum pick or a negative errno. */
int borrow_any(const struct asking *k, uint8_t family, struct choice *c);
int borrow_fixed(const struct asking *k, const struct view_block *b, const struct ipaddr *a,
		 struct choice *c);
