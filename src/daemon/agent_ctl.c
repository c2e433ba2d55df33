// SPDX-License-Identifier: Apache-2.0
/* agent_ctl: see agent_ctl.h. */
#include "daemon/agent_ctl.h"

#include <errno.h>
#include <stdlib.h>

struct agent_ctl {
	struct ctl_server server;
};

int agent_ctl_open(struct agent *a, struct err *e)
{
	static const struct ctl_verb verbs[] = {
		{ "node-status", ctl_node_status },
		{ "routes", ctl_routes },
		{ "ipam-show", ctl_ipam_show },
		{ "ipam-check", ctl_ipam_check },
		{ "ipam-release", ctl_ipam_release },
		{ "policy-show", ctl_policy_show },
		{ NULL, NULL },
	};

	a->ctl = calloc(1, sizeof(*a->ctl));
	if (!a->ctl)
		return err_set(e, -ENOMEM, "no memory");
	return ctl_server_open(&a->ctl->server, a->role, "ctl.sock", verbs, a, e);
}

void agent_ctl_close(struct agent *a)
{
	if (!a->ctl)
		return;
	ctl_server_close(&a->ctl->server);
	free(a->ctl);
	a->ctl = NULL;
}
