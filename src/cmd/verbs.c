// SPDX-License-Identifier: Apache-2.0
/* The verbs of `fairlead`, in the order in which --help lists them. A new verb is a line here
 * and a file beside it. */
#include "cmd/verbs.h"

const struct cmd *const cmd_verbs[] = {
	&cmd_apply,  &cmd_delete,  &cmd_get,        &cmd_node,   &cmd_bgp,    &cmd_dns,
	&cmd_ipam,   &cmd_why,     &cmd_trace,      &cmd_policy, &cmd_doctor, &cmd_lab,
	&cmd_schema, &cmd_version, &cmd_completion, NULL,
};
