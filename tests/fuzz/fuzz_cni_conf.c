/* SPDX-License-Identifier: Apache-2.0 */
/* The environment and the configuration that a runtime hands to the plugin: up to the first newline
 * CNI_ARGS and, each after a tab, CNI_IFNAME, CNI_CONTAINERID, CNI_NETNS and CNI_COMMAND, where they are
 * not the usual ones; then the JSON. Judged for every command, as both plugins; what is refused has a
 * code and a text, what is accepted makes a record.
 * Parser: core/cni/conf.c */
#include "core/cni/conf.h"
#include "model/record.h"
#include "store/json.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void judge(const json_t *j, const struct cni_env *env, bool ipam_only)
{
	struct cni_conf conf = { .cniVersion = NULL };
	struct cni_call call = { .socket = NULL };
	struct err e = { .code = 0 };
	struct buf b = { .v = NULL };
	struct arena a;

	arena_init(&a, 0);
	if (struct_from_json(j, &cni_conf_schema, &conf, &a, &e) ||
	    cni_judge(env, &conf, ipam_only, &a, &call, &e)) {
		assert(e.text[0]);
	} else {
		assert(call.socket && call.timeout_ms > 0 && call.request.network);
		assert(!record_put(&b, REC_CNI_REQUEST, &cni_request_schema, &call.request, NULL));
	}
	buf_fini(&b);
	arena_fini(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const verbs[] = { "ADD", "DEL", "CHECK", "GC", "STATUS" };
	const uint8_t *nl = size ? memchr(data, '\n', size) : NULL;
	size_t n = nl ? (size_t)(nl - data) : 0;
	char *args = strndup((const char *)data, n), *rest = args;
	const char *word[5] = { NULL, "eth0", "c1", "/run/netns/x", NULL };
	json_t *j = nl ? json_loadb((const char *)nl + 1, size - n - 1, 0, NULL) : NULL;

	for (size_t i = 0; rest && i < 5; i++)
		word[i] = strsep(&rest, "\t");
	for (size_t i = 0; json_is_object(j) && i < 5; i++) {
		struct cni_env env = { word[4] ? word[4] : verbs[i], word[2], word[3], word[1],
				       word[0] };

		judge(j, &env, false);
		judge(j, &env, true);
	}
	json_decref(j);
	free(args);
	return 0;
}
