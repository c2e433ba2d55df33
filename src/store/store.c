// SPDX-License-Identifier: Apache-2.0
/* The store's face: finds the backend by the URL's scheme and turns every sort of write into
 * a struct change. */
#include "store/backend.h"
#include "store/json.h"

#include <errno.h>
#include <string.h>

static const struct store_ops *const backends[] = { &dir_store_ops };

int store_open(const char *url, unsigned flags, struct store **out, struct err *e)
{
	static const char *const later[] = { "etcd:", "kube:" };

	for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
		size_t n = strlen(backends[i]->scheme);

		if (!strncmp(url, backends[i]->scheme, n))
			return backends[i]->open(url + n, flags, out, e);
	}
	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++)
		if (!strncmp(url, later[i], strlen(later[i])))
			return err_set(e, -ENOTSUP,
				       "store %s: %s stores are not built yet; use dir:/path", url,
				       later[i]);
	return err_set(e, -ENOTSUP, "store %s: unknown scheme; use dir:/path", url);
}

void store_close(struct store *s)
{
	if (s)
		s->ops->close(s);
}

int store_list(struct store *s, unsigned kind, const char *ns, const struct store_events *ev,
	       void *arg, struct err *e)
{
	return s->ops->list(s, kind, ns, ev, arg, e);
}

int store_get(struct store *s, const struct store_key *key, struct object **o, json_t **json,
	      struct err *e)
{
	return s->ops->get(s, key, o, json, e);
}

int store_put_json(struct store *s, enum store_op op, const json_t *j, uint64_t *rev, struct err *e)
{
	struct object *o = object_from_json(j, e);
	struct change c = { .op = op, .json = j, .expect = rev ? *rev : 0 };
	int rc;

	if (!o)
		return -EINVAL;
	c.key = (struct store_key){ o->kind, o->meta->namespace, o->meta->name };
	rc = s->ops->change(s, &c, rev, e);
	object_free(o);
	return rc;
}

int store_put(struct store *s, enum store_op op, const struct kind *k, const void *body,
	      uint64_t *rev, struct err *e)
{
	const struct meta *m = body;
	struct change c = { .op = op,
			    .key = { k, m->namespace, m->name },
			    .body = body,
			    .expect = rev ? *rev : 0 };

	if (!m->name || !m->namespace != !k->namespaced)
		return err_set(e, -EINVAL, "%s: without name, or wrong namespace", k->name);
	return s->ops->change(s, &c, rev, e);
}

int store_delete(struct store *s, const struct store_key *key, uint64_t *rev, struct err *e)
{
	return s->ops->remove(s, key, rev, e);
}

int store_begin(struct store *s, unsigned writes, struct err *e)
{
	return s->ops->begin(s, writes, e);
}

int store_end(struct store *s, struct err *e)
{
	return s->ops->end(s, e);
}

static int write_body(struct store *s, const struct rec_write *w, const struct kind *k,
		      struct arena *a, uint64_t *rev, struct err *e)
{
	static const enum store_op ops[] = { [WRITE_CREATE] = STORE_OP_CREATE,
					     [WRITE_UPDATE] = STORE_OP_UPDATE,
					     [WRITE_STATUS] = STORE_OP_STATUS };
	struct wire body = wire_from(w->body.v, w->body.n);
	void *out = arena_alloc(a, k->schema->size);
	int rc;

	if (!out)
		return err_set(e, -ENOMEM, "no memory");
	rc = record_decode(&body, k->schema, out, a, e);
	return rc ? rc : store_put(s, ops[w->op], k, out, rev, e);
}

void store_write(struct store *s, const struct rec_write *w, struct rec_written *answer,
		 struct arena *a)
{
	const struct kind *k =
		w->kind > 0 && w->kind < KIND_COUNT ? kind_by_id((unsigned)w->kind) : NULL;
	bool expects = w->op == WRITE_UPDATE || w->op == WRITE_DELETE;
	uint64_t rev = expects ? (uint64_t)w->expect : 0;
	struct err e = { .code = 0 };
	int rc;

	if (!k)
		rc = err_set(&e, -EINVAL, "a write to the unknown kind %lld", (long long)w->kind);
	else if (w->op == WRITE_DELETE && w->name)
		rc = store_delete(s, &(struct store_key){ k, w->ns, w->name }, &rev, &e);
	else if (w->op == WRITE_CREATE || w->op == WRITE_UPDATE || w->op == WRITE_STATUS)
		rc = write_body(s, w, k, a, &rev, &e);
	else
		rc = err_set(&e, -EINVAL, "a write that says not what to do");
	*answer = (struct rec_written){ .id = w->id,
					.code = rc,
					.rev = rc ? 0 : (int64_t)rev,
					.text = rc ? arena_strdup(a, e.text) : NULL };
}

int store_watch(struct store *s, const struct store_events *ev, void *arg, struct err *e)
{
	return s->ops->watch(s, ev, arg, e);
}

int store_fd(const struct store *s)
{
	return s->ops->fd(s);
}

int store_process(struct store *s, struct err *e)
{
	return s->ops->process(s, e);
}
