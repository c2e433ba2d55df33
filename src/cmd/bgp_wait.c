// SPDX-License-Identifier: Apache-2.0
/* bgp_wait: see bgp.h. */
#include "cmd/bgp.h"
#include "sys/clock.h"

#include <poll.h>
#include <string.h>

#define PAUSE_MS 50

/* What is missing, in ctx->arena; NULL: nothing. */
static const char *missing(struct cmd_ctx *ctx, const struct ctl_agent *v, size_t n)
{
	const char *what = NULL;
	char name[32], state[32];
	struct err e;
	json_t *row;
	size_t k;

	for (size_t i = 0; i < n && !what; i++) {
		json_t *t = json_object();

		if (ctl_ask(&v[i], t, &e, "bgp-status", NULL))
			what = arena_strdup(ctx->arena, e.text);
		json_array_foreach(ctl_table(t, "peer"), k, row)
		{
			if (what || !strcmp(ctl_text(row, "state", state), "Established"))
				continue;
			what = arena_printf(ctx->arena, "node %s: BGP's session with %s is %s",
					    v[i].node ? v[i].node : "", ctl_text(row, "name", name),
					    state);
		}
		json_array_foreach(ctl_table(t, "speaker"), k, row)
		{
			if (!what && !json_is_true(json_object_get(row, "complete")))
				what = arena_printf(ctx->arena,
						    "node %s: BGP has not heard all peers",
						    v[i].node ? v[i].node : "");
		}
		json_decref(t);
	}
	return what;
}

int bgp_wait(struct cmd_ctx *ctx, double seconds)
{
	const uint64_t end = clock_mono_ns() + (seconds > 0 ? (uint64_t)(seconds * 1e9) : 0);
	const struct ctl_opts all = { 0 };
	struct ctl_agent *v;
	const char *what;
	size_t n;
	int rc = ctl_speakers(ctx, &all, &v, &n);

	if (rc)
		return rc;
	while ((what = missing(ctx, v, n)) && clock_mono_ns() < end)
		poll(NULL, 0, PAUSE_MS);
	return what ? cmd_error(CMD_PARTLY, "%s", what) : 0;
}
