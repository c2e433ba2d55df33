/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of checks share (judge.c has the table of all). A check says whether what it needs
 * was known, and reports what it finds. */
#pragma once
#include "core/doctor/doctor.h"

/* Texts of `f` that need memory come from TEXT; one that got none makes the whole run fail. */
void judge_report(struct doctor *d, struct finding f);
#define TEXT(...) arena_printf(d->a, __VA_ARGS__)

const struct klink *judge_link(const struct doctor_facts *f, const char *name);
/* fairlead's vxlan0, or NULL. */
const struct klink *judge_tunnel(const struct doctor_facts *f);

bool judge_overlap(struct doctor *d, const struct doctor_facts *f);
bool judge_node_addresses(struct doctor *d, const struct doctor_facts *f);
bool judge_tunnel_name(struct doctor *d, const struct doctor_facts *f);
