// SPDX-License-Identifier: Apache-2.0
/* fairlead-cni, and by the name fairlead-ipam an IPAM plugin alone: what a container runtime
 * executes (CNI 1.1.0). It judges what the runtime says, asks the agent once, and prints
 * exactly one JSON document where the command has an answer or failed. All that needs the
 * kernel or the store is the agent's work; nothing is kept here. */
#include "cmd/cni_io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int versions(void)
{
	enum cni_code code;
	struct err e;
	json_t *j = cni_read_stdin(&code, &e);
	int rc = cni_print_versions(json_string_value(json_object_get(j, "cniVersion")));

	json_decref(j);
	return rc;
}

/* The version in which an error is worded. */
static unsigned error_version(const struct cni_conf *conf)
{
	int v = conf->cniVersion ? cni_version_find(conf->cniVersion) : -1;

	return v < 0 ? CNI_VERSIONS - 1 : (unsigned)v;
}

static enum cni_code prepare(const struct cni_env *env, const json_t *j, bool ipam_only,
			     struct cni_conf *conf, struct arena *a, struct cni_call *call,
			     struct err *e)
{
	enum cni_code code = cni_read_conf(j, a, conf, e);
	struct cni_request *q = &call->request;

	if (!code)
		code = cni_judge(env, conf, ipam_only, a, call, e);
	if (code || (q->verb != CNI_CHECK && q->verb != CNI_DEL))
		return code;
	code = cni_read_prev(j, call->version, a, &q->prev, e);
	if (q->verb == CNI_DEL)
		return CNI_OK; /* it only helps; what cannot be read must not stop it */
	if (!code && !q->prev && !ipam_only) {
		err_set(e, -1, "prevResult: is missing, CHECK compares with it");
		code = CNI_ERR_CONFIG;
	}
	return code;
}

static int run(const struct cni_env *env, const json_t *j, bool ipam_only)
{
	struct cni_conf conf = { .cniVersion = NULL };
	struct cni_reply reply = { .code = 0 };
	struct cni_call call = { .socket = NULL };
	struct err e = { .code = 0 };
	enum cni_code code;
	struct arena a;
	int netns = -1, rc = 0;

	arena_init(&a, 0);
	code = prepare(env, j, ipam_only, &conf, &a, &call, &e);
	if (!code)
		code = cni_open_netns(&call.request, &netns, &e);
	if (!code)
		code = cni_ask_agent(&call, netns, &a, &reply, &e);
	if (code)
		rc = cni_print_error(error_version(&conf), code, e.text, NULL);
	else if (reply.code)
		rc = cni_print_error(call.version, (enum cni_code)reply.code, reply.msg,
				     reply.details);
	else if (call.request.verb == CNI_ADD)
		rc = cni_print_result(call.version, ipam_only, &reply.result, &a);
	if (netns >= 0)
		close(netns);
	arena_fini(&a);
	return rc;
}

int main(int argc, char **argv)
{
	const char *name = argc > 0 && strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1
			   : argc > 0                        ? argv[0]
							     : "";
	const struct cni_env env = {
		.command = getenv("CNI_COMMAND"),
		.containerID = getenv("CNI_CONTAINERID"),
		.netns = getenv("CNI_NETNS"),
		.ifname = getenv("CNI_IFNAME"),
		.args = getenv("CNI_ARGS"),
	};
	enum cni_code code;
	struct err e = { .code = 0 };
	uint8_t verb;
	json_t *j;
	int rc;

	code = cni_check_env(&env, &verb, &e);
	if (code)
		return cni_print_error(CNI_VERSIONS - 1, code, e.text, NULL);
	if (verb == CNI_VERSION)
		return versions();
	j = cni_read_stdin(&code, &e);
	if (!j)
		return cni_print_error(CNI_VERSIONS - 1, code, e.text, NULL);
	rc = run(&env, j, !strcmp(name, "fairlead-ipam"));
	json_decref(j);
	return rc;
}
