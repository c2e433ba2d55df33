// SPDX-License-Identifier: Apache-2.0
/* dns.sock: dns-query (tables query, record) asks a worker as a client would, through the same table, cache and upstreams; dns-status
 * (tables dns, listen, upstream) says what the role is.
 *
 * A query is a job: made here, answered by a worker, which may take as long as an upstream does, and brought back by waking this loop. A
 * client that leaves leaves its job behind, which is thrown away when it comes. */
#include "daemon/dns_worker.h"

#include "base/buf.h"
#include "core/dns/words.h"
#include "sys/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- jobs */

void dns_job_done(struct dns_worker *w, struct dns_job *j, const uint8_t *answer, size_t n)
{
	struct dns *d = w->dns;

	j->answer = malloc(n ? n : 1);
	j->n_answer = j->answer ? n : 0;
	if (j->answer)
		memcpy(j->answer, answer, n);
	pthread_mutex_lock(&d->lock);
	j->next = d->done;
	d->done = j;
	pthread_mutex_unlock(&d->lock);
	ev_async_send(d->role->loop, &d->wake);
}

static void job_free(struct dns_job *j)
{
	free(j->answer);
	free(j);
}

/* ---- an answer as rows */

static void show_record(struct ctl_call *c, const struct dns_walk *w, const struct dns_record *r)
{
	static const char *const sections[] = { "answer", "authority", "additional" };
	char name[DNS_NAME_TEXT], type[16];
	struct buf data = { 0 };

	dns_data_text(&data, w, r);
	ctl_row(c, "record");
	ctl_col(c, "section", sections[r->section]);
	ctl_col(c, "name", dns_name_text(&r->owner, name));
	ctl_num(c, "ttl", r->ttl);
	ctl_col(c, "type", dns_type_text(r->type, type));
	ctl_col(c, "data", data.v);
	ctl_send(c);
	buf_fini(&data);
}

static int show(struct ctl_call *c, const struct dns_job *j, struct err *e)
{
	struct dns_response r;
	struct dns_record record;
	struct dns_walk w;
	char text[DNS_NAME_TEXT];

	if (!j->n_answer || dns_response_read(j->answer, j->n_answer, &r))
		return err_set(e, -EBADMSG, "there is no answer");
	ctl_row(c, "query");
	ctl_col(c, "node", ((struct dns *)c->owner)->role->cfg.node);
	ctl_col(c, "name", dns_name_text(&r.name, text));
	ctl_col(c, "type", dns_type_text(r.type, text));
	ctl_col(c, "rcode", dns_rcode_text(r.rcode, text));
	ctl_col(c, "from", dns_source_text(j->source));
	ctl_num(c, "us", j->us);
	ctl_send(c);
	w = dns_walk_begin(&r);
	while (dns_walk_next(&w, &record))
		if (record.type != DNS_OPT)
			show_record(c, &w, &record);
	return 0;
}

void dns_jobs_wake(struct ev_loop *loop, ev_async *a, int events)
{
	struct dns *d = a->data;
	struct dns_job *j;

	(void)loop;
	(void)events;
	pthread_mutex_lock(&d->lock);
	j = d->done;
	d->done = NULL;
	pthread_mutex_unlock(&d->lock);
	while (j) {
		struct dns_job *next = j->next;
		struct ctl_call *c = j->call;
		struct err e = { 0 };

		if (c) {
			c->state = NULL;
			ctl_end(c, show(c, j, &e), &e);
		}
		job_free(j);
		j = next;
	}
}

void dns_jobs_drop(struct dns *d)
{
	while (d->done) {
		struct dns_job *j = d->done;

		d->done = j->next;
		job_free(j);
	}
}

/* ---- dns-query */

static void on_closed(struct ctl_call *c)
{
	struct dns_job *j = c->state;

	if (j)
		j->call = NULL;
}

static int query(struct ctl_call *c, struct err *e)
{
	const char *name = strmap_get(&c->req.args, "name"),
		   *type = strmap_get(&c->req.args, "type");
	struct dns *d = c->owner;
	struct dns_query q = {
		.flags = DNS_RD, .class = DNS_IN, .udp_size = DNS_UDP_MAX, .edns = true
	};
	struct dns_job *j;

	if (!name)
		return err_set(e, -EINVAL, "no name");
	if (dns_name_parse(name, &q.name, e))
		return e->code;
	q.type = type ? dns_type_parse(type) : DNS_A;
	if (!q.type)
		return err_set(e, -EINVAL, "\"%s\" is no type of records", type);
	if (!d->known)
		return err_set(e, -EAGAIN, "the names of the cluster are not known yet");
	j = calloc(1, sizeof(*j));
	if (!j)
		return err_set(e, -ENOMEM, "no memory");
	j->call = c;
	j->n_query = dns_query_write(j->query, &q);
	c->state = j;
	c->closed = on_closed;
	dns_worker_ask(d, j);
	return CTL_LATER;
}

/* ---- dns-status */

static int status(struct ctl_call *c, struct err *e)
{
	const struct dns *d = c->owner;
	const struct config_servers *l = &d->role->cfg.dns.listen;

	(void)e;
	ctl_row(c, "dns");
	ctl_col(c, "node", d->role->cfg.node);
	ctl_col(c, "domain", d->role->cfg.cluster_domain);
	ctl_num(c, "workers", d->n_workers);
	ctl_flag(c, "known", d->feed && d->feed->known);
	if (d->feed) {
		ctl_col(c, "from", d->feed->name);
		ctl_num(c, "seconds", (clock_mono_ns() - d->feed->since_ns) / 1000000000);
	}
	ctl_send(c);
	for (uint32_t i = 0; i < l->n; i++) {
		ctl_row(c, "listen");
		ctl_col(c, "node", d->role->cfg.node);
		ctl_addr(c, "ip", &l->v[i].addr);
		ctl_num(c, "port", l->v[i].port);
		ctl_send(c);
	}
	dns_files_show(d, c);
	return 0;
}

const struct ctl_verb dns_verbs[] = { { "dns-query", query }, { "dns-status", status }, { 0 } };
