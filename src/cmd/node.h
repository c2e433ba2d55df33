/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands of `fairlead node`. */
#pragma once
#include "cmd/cmd.h"

extern const struct cmd cmd_node_status, cmd_node_cleanup;
