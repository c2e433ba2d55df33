/* SPDX-License-Identifier: Apache-2.0 */
/* Collecting what `fairlead doctor` judges: of this network namespace and this machine's files. What
 * cannot be had is left out, never guessed. Nothing is changed. */
#pragma once
#include "cmd/cmd.h"
#include "core/doctor/doctor.h"
#include "daemon/config.h"

/* Texts and lists live in `a`; doctor_forget() gives back the rest. */
void doctor_look(struct doctor_facts *f, const struct config *cfg, struct arena *a);
void doctor_forget(struct doctor_facts *f);
/* Base chains of others, in forward and input; needs the pools. In doctor_nft.c. */
void doctor_look_nft(struct doctor_facts *f, struct arena *a);
/* Devices and our ruleset, in a namespace of their own. In doctor_try.c. */
void doctor_try(struct doctor_facts *f);
