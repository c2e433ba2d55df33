/* SPDX-License-Identifier: Apache-2.0 */
/* `fairlead get routes`: not an object of the store but what agents want in their kernels. */
#pragma once
#include "cmd/cmd.h"

int get_routes(struct cmd_ctx *ctx, unsigned format);
