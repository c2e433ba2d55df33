/* SPDX-License-Identifier: Apache-2.0 */
/* What the keeper gives up. Roles confine themselves (role.h, sys/priv.h) with a list of what
 * they may call; the keeper cannot, because roles inherit its filter through exec, agent among
 * them. So its filter kills on what no program of fairlead may ever call, and it keeps just the
 * capabilities that it needs to bind, to start roles and to end them. A role that it starts as
 * root has all of them again by execve(2), as there is no no_new_privs here. Libc only. */
#pragma once
#include "base/err.h"

int confine_keeper(struct err *e);
/* The filter alone, for tests. */
int confine_keeper_filter(struct err *e);
