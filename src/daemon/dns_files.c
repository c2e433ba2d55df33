// SPDX-License-Identifier: Apache-2.0
/* The files that role dns is told by: resolv.conf, where upstreams are not named in the configuration, and hosts. Both are read again
 * when they change. One that cannot be read, or says nothing of use, leaves things as they were; what is passed over in it is logged.
 *
 * They are looked at every CHECK_S rather than watched by inotify: what changes is as often as not behind a symbolic link, in another
 * directory (systemd-resolved, a ConfigMap), and a second change within a second must not be missed. */
#include "daemon/dns.h"
#include "sys/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CHECK_S     1.
#define FILE_MAX    (16u << 20)
#define RESOLV_CONF "/etc/resolv.conf"
#define IGNORED     10 /* lines that are told of at once */

/* A file as it was when it was read; st_ino 0: it was not there. */
struct seen {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec written, changed;
};

struct dns_files {
	struct dns *dns;
	const char *resolv; /* NULL: the configuration names servers, or none are wanted */
	struct seen resolv_seen, hosts_seen;
	ev_timer check;
	struct dns_servers servers; /* as the workers have them */
};

struct ignored {
	const char *path;
	unsigned n;
};

static void on_ignored(unsigned line, const char *why, void *arg)
{
	struct ignored *i = arg;

	if (i->n++ < IGNORED)
		log_warn("%s:%u: %s", i->path, line, why);
	else if (i->n == IGNORED + 1)
		log_warn("%s: more lines are not used", i->path);
}

/* Where we answer ourselves nobody is to be asked. */
static bool is_ours(const struct dns *d, const struct dns_server *s)
{
	const struct config_servers *l = &d->role->cfg.dns.listen;

	for (uint32_t i = 0; i < l->n; i++)
		if (addr_eq(&l->v[i].addr, &s->addr) && l->v[i].port == s->port)
			return true;
	return false;
}

static void add(struct dns_files *f, struct dns_servers *to, const struct dns_server *s)
{
	char text[ADDR_TEXT];

	if (is_ours(f->dns, s))
		log_warn("upstream %s port %u is this server itself, and not asked",
			 addr_str(&s->addr, text), s->port);
	else if (to->n < DNS_SERVERS_MAX)
		to->v[to->n++] = *s;
}

static bool is_same(const struct dns_servers *a, const struct dns_servers *b)
{
	if (a->n != b->n || a->rotate != b->rotate)
		return false;
	for (unsigned i = 0; i < a->n; i++)
		if (!addr_eq(&a->v[i].addr, &b->v[i].addr) || a->v[i].port != b->v[i].port ||
		    strcmp(a->v[i].scope, b->v[i].scope) != 0)
			return false;
	return true;
}

static void tell(struct dns_files *f, const struct dns_servers *s, const char *from)
{
	struct buf text = { 0 };
	char addr[ADDR_TEXT];

	if (is_same(&f->servers, s))
		return;
	f->servers = *s;
	for (unsigned i = 0; i < s->n; i++)
		buf_printf(&text, " %s port %u", addr_str(&s->v[i].addr, addr), s->v[i].port);
	log_info("upstreams from %s:%s", from, s->n ? text.v : " none, other names are refused");
	buf_fini(&text);
	dns_workers_servers(f->dns, s);
}

static int read_resolv(struct dns_files *f, struct err *e)
{
	struct ignored ignored = { .path = f->resolv };
	struct dns_resolv *r = calloc(1, sizeof(*r));
	struct dns_servers s = { 0 };
	struct buf text = { 0 };
	int rc = r ? file_read(f->resolv, FILE_MAX, &text, e) : err_set(e, -ENOMEM, "no memory");

	if (!rc)
		rc = dns_resolv_parse(text.v ? text.v : "", text.n, r, on_ignored, &ignored, e);
	for (unsigned i = 0; !rc && i < r->n; i++)
		add(f, &s, &r->v[i]);
	/* Written in place it is empty for a moment. */
	if (!rc && !r->n && f->servers.n <= DNS_SERVERS_MAX)
		rc = err_set(e, -ENODATA, "%s: names no server", f->resolv);
	if (!rc) {
		s.rotate = r->rotate;
		tell(f, &s, f->resolv);
	}
	buf_fini(&text);
	free(r);
	return rc;
}

static void read_hosts(struct dns_files *f)
{
	const char *path = f->dns->role->cfg.dns.hosts;
	struct ignored ignored = { .path = path };
	struct buf text = { 0 };
	struct err e;
	int rc = file_read(path, FILE_MAX, &text, &e);

	if (rc == -ENOENT)
		dns_workers_hosts(f->dns, NULL, 0, NULL, NULL);
	else if (!rc)
		dns_workers_hosts(f->dns, text.v ? text.v : "", text.n, on_ignored, &ignored);
	if (rc)
		log_warn("%s", e.text);
	buf_fini(&text);
}

static bool is_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* Looked at before it is read, so that a change while it is read is one more. */
static bool has_changed(const char *path, struct seen *seen)
{
	struct seen before = *seen;
	struct stat st;

	*seen = (struct seen){ 0 };
	if (!stat(path, &st))
		*seen = (struct seen){ st.st_dev, st.st_ino, st.st_size, st.st_mtim, st.st_ctim };
	return before.dev != seen->dev || before.ino != seen->ino || before.size != seen->size ||
	       !is_time(&before.written, &seen->written) ||
	       !is_time(&before.changed, &seen->changed);
}

static void on_check(struct ev_loop *loop, ev_timer *t, int events)
{
	struct dns_files *f = t->data;
	const char *hosts = f->dns->role->cfg.dns.hosts;
	struct err e;

	(void)loop;
	(void)events;
	if (f->resolv && has_changed(f->resolv, &f->resolv_seen) && read_resolv(f, &e))
		log_warn("%s; the upstreams stay as they are", e.text);
	if (hosts && has_changed(hosts, &f->hosts_seen))
		read_hosts(f);
}

static void from_config(struct dns_files *f)
{
	const struct config_servers *u = &f->dns->role->cfg.dns.upstreams;
	struct dns_servers s = { 0 };

	for (uint32_t i = 0; i < u->n; i++) {
		struct dns_server one = { .addr = u->v[i].addr, .port = u->v[i].port };

		add(f, &s, &one);
	}
	tell(f, &s, "the configuration");
}

int dns_files_open(struct dns *d, struct err *e)
{
	const struct config_dns *c = &d->role->cfg.dns;
	struct dns_files *f = calloc(1, sizeof(*f));
	struct err why;

	if (!f)
		return err_set(e, -ENOMEM, "no memory");
	f->dns = d;
	d->files = f;
	f->servers.n = DNS_SERVERS_MAX + 1; /* as nobody can be */
	if (c->resolv_conf)
		f->resolv = c->resolv_conf;
	else if (!c->no_upstreams && !c->upstreams.n)
		f->resolv = RESOLV_CONF;
	if (!f->resolv) {
		from_config(f);
	} else {
		has_changed(f->resolv, &f->resolv_seen);
		if (read_resolv(f, &why))
			log_warn("%s", why.text);
	}
	if (c->hosts) {
		has_changed(c->hosts, &f->hosts_seen);
		read_hosts(f);
	}
	ev_timer_init(&f->check, on_check, CHECK_S, CHECK_S);
	f->check.data = f;
	if (f->resolv || c->hosts)
		ev_timer_start(d->role->loop, &f->check);
	return 0;
}

void dns_files_show(const struct dns *d, struct ctl_call *c)
{
	const struct dns_servers *s = &d->files->servers;

	for (unsigned i = 0; i < s->n && i < DNS_SERVERS_MAX; i++) {
		ctl_row(c, "upstream");
		ctl_col(c, "node", d->role->cfg.node);
		ctl_addr(c, "ip", &s->v[i].addr);
		ctl_num(c, "port", s->v[i].port);
		ctl_send(c);
	}
}

void dns_files_close(struct dns *d)
{
	struct dns_files *f = d->files;

	if (!f)
		return;
	ev_timer_stop(d->role->loop, &f->check);
	free(f);
	d->files = NULL;
}
