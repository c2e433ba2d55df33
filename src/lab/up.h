/* SPDX-License-Identifier: Apache-2.0 */
/* Making and ending a lab. */
#pragma once
#include "lab/spec.h"
#include "store/manifest.h"
#include "store/store.h"

/* Makes the lab: ROOT, a store with Nodes, Namespaces, IPPools and the manifest's objects, and
 * the supervisor. When it returns, the namespaces and wires stand and the programs are starting.
 * On failure nothing is left. -EEXIST: a lab of this name is up. `spec` is finished. */
int lab_up(const struct lab_spec *spec, const struct manifest *m, struct err *e);

/* Ends the lab whatever state it is in; -ENOENT when there is none. */
int lab_down(const char *name, struct err *e);
