/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin's two sides: JSON with the runtime, one record each way with the agent. */
#pragma once
#include "core/cni/conf.h"
#include "core/cni/result.h"

#include <jansson.h>

/* Reads standard input to its end and parses it. NULL, *code and e where that is no object. */
json_t *cni_read_stdin(enum cni_code *code, struct err *e);
enum cni_code cni_read_conf(const json_t *j, struct arena *a, struct cni_conf *out, struct err *e);
/* NULL in *out when there is no prevResult. */
enum cni_code cni_read_prev(const json_t *j, unsigned version, struct arena *a,
			    struct cni_result **out, struct err *e);

/* Each prints one document; 0, or 1 when that failed. */
int cni_print_result(unsigned version, bool ipam_only, const struct cni_result *r, struct arena *a);
int cni_print_error(unsigned version, enum cni_code code, const char *msg, const char *details);
int cni_print_versions(const char *asked);

/* The namespace of CNI_NETNS, -1 in *fd where there is none and the command does without. */
enum cni_code cni_open_netns(const struct cni_request *q, int *fd, struct err *e);
/* One request, one reply, within call->timeout_ms. */
enum cni_code cni_ask_agent(const struct cni_call *call, int netns, struct arena *a,
			    struct cni_reply *out, struct err *e);
