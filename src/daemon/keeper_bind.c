// SPDX-License-Identifier: Apache-2.0
/* The keeper's sockets: which role may ask for which, and keeping them open.
 *
 * Binding happens here and not in the roles because ports below 1024 and files in the run
 * directory need root, and because a socket that the keeper holds outlives the role: whoever
 * connects while it restarts waits in the queue instead of being refused. A role gives up
 * what it needs no longer, and after a start what an earlier process of it had (role_unbind()).
 *
 * A role may have memory kept in the same way, in which its next process finds what the one before had
 * not done. */
#include "core/dns/settings.h"
#include "daemon/keeper.h"
#include "sys/shm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Role dns has a socket for each address, worker and protocol, and while all its addresses change twice as many. */
_Static_assert(2 * DNS_LOCAL * CONFIG_DNS_WORKERS * 2 <= KEEPER_SOCKS, "sockets of role dns");

/* What a role may ask for at all; the configuration's list narrows `inet` further. A role that
 * was taken over by somebody gets no more than it had. */
static const struct {
	const char *role;
	bool inet, memory;
	const char *files[2];
} allowed[] = {
	{ "agent", false, false, { "cni.sock", "ctl.sock" } },
	{ "health", true, false, { NULL, NULL } },
	{ "bgp", true, false, { "bgp.sock", NULL } },
	{ "dns", true, true, { "dns.sock", NULL } },
};

static bool known_file(const char *path)
{
	const char *name = strrchr(path, '/') + 1;

	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		for (size_t f = 0; f < 2; f++)
			if (allowed[i].files[f] && strcmp(allowed[i].files[f], name) == 0)
				return true;
	return strcmp(name, TAKEOVER_SOCK) == 0;
}

static bool is_memory(const char *proto)
{
	return strcmp(proto, KEEPER_MEMORY) == 0;
}

static bool role_may(const char *role, const struct rec_bind *want)
{
	bool is_unix = strcmp(want->proto, "unix") == 0;

	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
		if (strcmp(allowed[i].role, role) != 0)
			continue;
		if (is_memory(want->proto))
			return allowed[i].memory;
		if (!is_unix)
			return allowed[i].inet;
		for (size_t f = 0; f < 2; f++)
			if (allowed[i].files[f] && want->path &&
			    strcmp(allowed[i].files[f], want->path) == 0)
				return true;
	}
	return false;
}

int keeper_bind_named(const struct keeper *k, const char *role, const struct rec_bind *want,
		      struct keeper_sock *s, struct err *e)
{
	*s = (struct keeper_sock){ .fd = -1, .addr = want->addr, .port = (uint16_t)want->port };
	snprintf(s->role, sizeof(s->role), "%s", role);
	if (!want->proto || strlen(want->proto) >= sizeof(s->proto))
		return err_set(e, -EINVAL, "bind: no protocol");
	memcpy(s->proto, want->proto, strlen(want->proto) + 1);
	if (strcmp(want->proto, "unix") == 0) {
		if (!want->path || strchr(want->path, '/') ||
		    (size_t)snprintf(s->path, sizeof(s->path), "%s/%s", k->cfg.run_dir,
				     want->path) >= sizeof(s->path))
			return err_set(e, -EINVAL, "bind: no name of a socket");
	} else if (want->port < 1 || want->port > 65535 ||
		   (!want->addr.family && !is_memory(want->proto))) {
		return err_set(e, -EINVAL, "bind: no address or port");
	} else if (want->share < 0 || want->share > KEEPER_SOCKS) {
		return err_set(e, -EINVAL, "bind: no number of a shared socket");
	} else {
		s->share = (uint16_t)want->share;
	}
	return 0;
}

/* -EACCES or -EINVAL where it is none of ours. */
static int judge(const struct keeper *k, const char *role, const struct rec_bind *want,
		 struct keeper_sock *s, struct err *e)
{
	char text[ADDR_TEXT];
	int rc;

	if (want->proto && !role_may(role, want))
		return err_set(e, -EACCES, "bind: role %s may not have %s sockets %s", role,
			       want->proto, want->path ? want->path : "");
	rc = keeper_bind_named(k, role, want, s, e);
	if (rc || s->path[0] || is_memory(s->proto))
		return rc;
	if (!config_allows_bind(&k->cfg, s->proto, &s->addr, s->port))
		return err_set(e, -EACCES, "bind: %s %s port %u is not listed in the configuration",
			       s->proto, addr_str(&s->addr, text), s->port);
	return 0;
}

static bool same(const struct keeper_sock *a, const struct keeper_sock *b)
{
	return strcmp(a->proto, b->proto) == 0 && addr_eq(&a->addr, &b->addr) &&
	       a->port == b->port && a->share == b->share && strcmp(a->path, b->path) == 0;
}

int keeper_bind(struct keeper *k, const char *role, const struct rec_bind *want, struct err *e)
{
	struct keeper_sock s = { .fd = -1 };
	int rc;

	rc = judge(k, role, want, &s, e);
	if (rc)
		return rc;
	s.asked = true;
	for (size_t i = 0; i < k->n_socks; i++)
		if (same(&k->socks[i], &s)) {
			if (!s.path[0] && strcmp(k->socks[i].role, role) != 0)
				return err_set(e, -EADDRINUSE, "bind: role %s has it",
					       k->socks[i].role);
			k->socks[i].asked = true;
			return k->socks[i].fd;
		}
	/* The next keeper would find it taken, or take its file from us. */
	if (keeper_giving(k))
		return err_set(e, -EBUSY, "bind: another fairleadd takes over");
	if (k->n_socks == KEEPER_SOCKS)
		return err_set(e, -ENOSPC, "bind: %d sockets are open already", KEEPER_SOCKS);
	if (s.path[0])
		s.fd = sock_unix_listen(s.path, SOCK_STREAM, 0600, e);
	else if (is_memory(s.proto))
		s.fd = shm_for_others(role, (size_t)s.port << 10, e);
	else
		s.fd = sock_bind(s.proto, &s.addr, s.port, s.share > 0, e);
	if (s.fd >= 0)
		k->socks[k->n_socks++] = s;
	return s.fd;
}

void keeper_bind_take(struct keeper *k, const struct rec_bind *want, int fd)
{
	struct keeper_sock s = { .fd = -1 };
	struct err e = { 0 };

	/* Before other roles had sockets all were of health, and nobody said so. */
	if (!keeper_bind_named(k, want->role ? want->role : "health", want, &s, &e) &&
	    k->n_socks < KEEPER_SOCKS) {
		s.fd = fd;
		k->socks[k->n_socks++] = s;
		return;
	}
	log_warn("a socket of the fairleadd before is not kept: %s", e.code ? e.text : "too many");
	close(fd);
}

static void drop(struct keeper_sock *s)
{
	close(s->fd);
	if (s->path[0])
		unlink(s->path);
}

void keeper_bind_started(struct keeper *k, const char *role)
{
	for (size_t i = 0; i < k->n_socks; i++)
		if (strcmp(k->socks[i].role, role) == 0)
			k->socks[i].asked = false;
}

/* While another keeper has them already, its own roles give them up. */
void keeper_unbind(struct keeper *k, const char *role, const struct rec_bind *want)
{
	struct keeper_sock which;
	size_t kept = 0;
	struct err e;

	if (keeper_giving(k))
		return;
	if (want->proto && keeper_bind_named(k, role, want, &which, &e))
		return;
	for (size_t i = 0; i < k->n_socks; i++) {
		struct keeper_sock *s = &k->socks[i];

		if (!s->path[0] && strcmp(s->role, role) == 0 &&
		    (want->proto ? same(s, &which) : !s->asked))
			drop(s);
		else
			k->socks[kept++] = *s;
	}
	k->n_socks = kept;
}

void keeper_bind_recheck(struct keeper *k)
{
	size_t kept = 0;

	for (size_t i = 0; i < k->n_socks; i++) {
		struct keeper_sock *s = &k->socks[i];

		if (s->path[0] ? known_file(s->path)
			       : config_has_role(&k->cfg, s->role) &&
					 (is_memory(s->proto) ||
					  config_allows_bind(&k->cfg, s->proto, &s->addr, s->port)))
			k->socks[kept++] = *s;
		else
			drop(s);
	}
	k->n_socks = kept;
}

void keeper_bind_close(struct keeper *k, bool remove)
{
	for (size_t i = 0; i < k->n_socks; i++)
		if (remove)
			drop(&k->socks[i]);
		else
			close(k->socks[i].fd);
	k->n_socks = 0;
}
