// SPDX-License-Identifier: Apache-2.0
/* agent_saved: see agent_saved.h. */
#include "daemon/agent_saved.h"
#include "daemon/agent_link.h"
#include "daemon/agent_plan.h"
#include "sys/file.h"
#include "sys/rtnl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool is_nodes(struct agent *a, const struct ksysctl *s)
{
	const struct route_self *self = agent_plan_self(a);
	char path[SYSCTL_PATH];

	for (size_t i = 0; i < self->n_ra; i++) {
		snprintf(path, sizeof(path), "net/ipv6/conf/%s/accept_ra", self->ra[i]);
		if (!strcmp(s->path, path))
			return true;
	}
	return !strcmp(s->path, "net/ipv4/ip_forward") || !strcmp(s->path, ROUTE_TCP_BE_LIBERAL) ||
	       !strcmp(s->path, ROUTE_LOCALNET) || !strcmp(s->path, ROUTE_BRIDGE_CALL4) ||
	       !strcmp(s->path, ROUTE_BRIDGE_CALL6) || !strcmp(s->path, ROUTE_SEND_REDIRECTS) ||
	       !strcmp(s->path, "net/ipv6/conf/all/forwarding");
}

static bool noted(const struct buf *b, const char *path)
{
	char line[SYSCTL_PATH + 2];
	const char *at;

	if (!b->n)
		return false;
	snprintf(line, sizeof(line), "%s ", path);
	at = strstr(b->v, line);
	return at && (at == b->v || at[-1] == '\n');
}

/* Adds to `b` what is not noted yet; how many. */
static size_t add_lines(struct agent *a, const struct kop *ops, size_t n, struct buf *b)
{
	size_t added = 0;

	for (size_t i = 0; i < n; i++) {
		const struct ksysctl *s = &ops[i].obj->sysctl;
		char was[sizeof(s->value)];

		if (ops[i].obj->type != KOBJ_SYSCTL || !is_nodes(a, s) || noted(b, s->path) ||
		    sysctl_read(s->path, was, sizeof(was), NULL))
			continue;
		buf_printf(b, "%s %s\n", s->path, was);
		added++;
	}
	return added;
}

static bool has_nodes(struct agent *a, const struct kop *ops, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ops[i].obj->type == KOBJ_SYSCTL && is_nodes(a, &ops[i].obj->sysctl))
			return true;
	return false;
}

void agent_saved_note(struct agent *a, const struct kop *ops, size_t n)
{
	struct buf b = { 0 };
	struct err e = { 0 };
	char path[4096];
	int rc;

	if (!has_nodes(a, ops, n))
		return;
	snprintf(path, sizeof(path), "%s/%s", a->role->cfg.state_dir, AGENT_SAVED);
	rc = file_read(path, 1 << 20, &b, &e);
	if (rc && rc != -ENOENT)
		log_warn("%s", e.text);
	if (add_lines(a, ops, n, &b) && (b.failed || file_write(path, b.v, b.n, 0600, &e)))
		log_warn("the sysctls from before are not saved: %s", e.text);
	buf_fini(&b);
}
