/* SPDX-License-Identifier: Apache-2.0 */
/* Every verb, one line each; verbs.c puts them into the order of --help. */
#pragma once
#include "cmd/cmd.h"

extern const struct cmd cmd_apply, cmd_delete;
extern const struct cmd cmd_bgp;
extern const struct cmd cmd_dns;
extern const struct cmd cmd_doctor;
extern const struct cmd cmd_get;
extern const struct cmd cmd_ipam;
extern const struct cmd cmd_lab;
extern const struct cmd cmd_node;
extern const struct cmd cmd_policy;
extern const struct cmd cmd_schema;
extern const struct cmd cmd_trace;
extern const struct cmd cmd_version, cmd_completion;
extern const struct cmd cmd_why;
