// SPDX-License-Identifier: Apache-2.0
/* outside: see outside.h. */
#include "cmd/outside.h"

#include "cmd/lab.h"

#include <string.h>
#include <sys/socket.h>

static bool is_it(struct cmd_ctx *ctx, const char *text, uint16_t *port)
{
	const char *host;

	return !world_split(text, &host, port, ctx->arena, NULL) && !strcmp(host, "outside");
}

static bool is_v6(struct cmd_ctx *ctx, const char *text)
{
	struct ipaddr ip;
	const char *host;
	uint16_t port;

	return !world_split(text, &host, &port, ctx->arena, NULL) && !addr_parse(host, &ip) &&
	       ip.family == AF_INET6;
}

static int name_end(struct cmd_ctx *ctx, struct outside *o, const char **text, bool v6)
{
	const struct lab_opts none = { .name = NULL };
	const struct ipaddr *ip;
	char addr[ADDR_TEXT];
	uint16_t port;

	if (!is_it(ctx, *text, &port))
		return CMD_OK;
	if (!o->world.name && lab_load(ctx, &none, &o->world))
		return CMD_USAGE;
	ip = world_addr(&o->world.outside, v6 ? AF_INET6 : AF_INET);
	ip = ip ? ip : world_addr(&o->world.outside, 0);
	if (!ip)
		return cmd_error(CMD_NO, "outside has no address");
	addr_str(ip, addr);
	*text = port ? arena_printf(ctx->arena, ip->family == AF_INET6 ? "[%s]:%u" : "%s:%u", addr,
				    port)
		     : arena_strdup(ctx->arena, addr);
	return *text ? CMD_OK : cmd_error(CMD_NO, "no memory");
}

int outside_name(struct cmd_ctx *ctx, const char **from, const char **to, struct outside *out)
{
	uint16_t port;
	bool sends = is_it(ctx, *from, &port);
	int rc;

	*out = (struct outside){ .sender = NULL };
	if (sends && is_it(ctx, *to, &port))
		return cmd_error(CMD_USAGE, "%s: no node is on the way from outside to there", *to);
	rc = name_end(ctx, out, from, is_v6(ctx, *to));
	if (!rc)
		rc = name_end(ctx, out, to, is_v6(ctx, *from));
	if (!rc && sends)
		out->sender = &out->world.outside;
	return rc;
}
