// SPDX-License-Identifier: Apache-2.0
/* The folder store: ROOT/KIND/NAMESPACE/NAME.json, "_" for objects without a namespace.
 *
 *   .lock      flock of writers, one at a time
 *   revision   the highest revision that anything may carry; on disk before the object is
 *   committed  "REVISION SPEC": everything up to REVISION is in place; SPEC is the last
 *              revision that was not of a derived kind. Renamed, never synced: it tells watchers
 *              how far they are and is made anew when it is lost or behind.
 *
 * A write is: lock, reserve a revision (synced), write the object (synced, renamed, folder
 * synced), commit, unlock; a group of writes shares all but the object's own sync. A writer that dies between these leaves `revision` ahead of
 * `committed`; whoever takes the lock next knows by that, removes half-written files and
 * commits. The object is the old or the new one, never a part; a revision is used once,
 * though not every one is used.
 * A file without a revision was put there by a person: watchers give it one (dir_watch.c). */
#include "store/dir.h"

#include "model/validate.h"
#include "sys/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_MS 10000 /* for another writer; it holds the lock for milliseconds, if it runs */

struct among {
	struct dir_store *d;
	const struct object *o;
};

static int check_other(void *arg, const struct store_key *key, struct err *e)
{
	struct among *a = arg;
	struct object *other;
	json_t *j;
	int rc;

	/* A broken neighbour is reported elsewhere and cannot be compared with. */
	if (dir_read(a->d, key, &j, &other, NULL))
		return 0;
	rc = validate_among(a->o, other, e);
	object_free(other);
	json_decref(j);
	return rc;
}

static int commit_change(struct dir_store *d, struct dir_tx *tx, const struct change *c, json_t *j,
			 const struct object *o, struct err *e)
{
	struct among among = { d, o };
	int rc = 0;

	if (c->key.k->id == KIND_IPPOOL)
		rc = dir_walk(d, c->key.k, NULL, check_other, &among, e);
	if (!rc)
		rc = dir_reserve(tx, e);
	if (!rc && json_set_revision(j, tx->given))
		rc = err_set(e, -ENOMEM, "no memory");
	if (!rc)
		rc = dir_write(d, tx, &c->key, j, e);
	if (!rc && !c->key.k->derived)
		tx->spec = true;
	return rc;
}

/* The group's transaction, or `own`, begun. */
static int enter(struct dir_store *d, struct dir_tx *own, struct dir_tx **tx, struct err *e)
{
	*tx = d->group ? d->group : own;
	return d->group ? 0 : dir_begin(d, own, 1, d->lock_ms, e);
}

static int leave(struct dir_store *d, struct dir_tx *tx, int rc, struct err *e)
{
	int end = tx == d->group ? 0 : dir_end(tx, rc ? NULL : e);

	return rc ? rc : end;
}

static int dir_change(struct store *s, const struct change *c, uint64_t *rev, struct err *e)
{
	struct dir_store *d = (struct dir_store *)s;
	struct object *old_obj = NULL, *o = NULL;
	json_t *old = NULL, *j = NULL;
	struct err broken = { .code = 0 };
	struct dir_tx own, *tx;
	uint64_t old_rev;
	int rc = enter(d, &own, &tx, e);

	if (rc)
		return rc;
	rc = dir_read(d, &c->key, &old, &old_obj, &broken);
	/* A broken file may be replaced, but there is nothing in it to update. */
	if (rc == -ENOENT || (rc && (c->op == STORE_OP_APPLY || c->op == STORE_OP_CREATE)))
		rc = 0;
	else if (rc)
		rc = err_set(e, rc, "%s", broken.text);
	old_rev = old_obj ? old_obj->rev : 0;
	if (!rc)
		rc = change_compute(c, old, old_rev, &j, &o, e);
	if (!rc && j)
		rc = commit_change(d, tx, c, j, o, e);
	if (!rc && rev)
		*rev = j ? tx->given : old_rev;
	rc = leave(d, tx, rc, e);
	object_free(old_obj);
	object_free(o);
	json_decref(old);
	json_decref(j);
	return rc;
}

static int dir_remove_object(struct store *s, const struct store_key *key, uint64_t *rev,
			     struct err *e)
{
	struct dir_store *d = (struct dir_store *)s;
	struct object *o = NULL;
	json_t *j = NULL;
	uint64_t expect = rev ? *rev : 0;
	struct dir_tx own, *tx;
	int rc = enter(d, &own, &tx, e);

	if (rc)
		return rc;
	rc = dir_read(d, key, &j, &o, e);
	/* A broken object can be deleted, but not if somebody expects a revision. */
	if (rc && rc != -ENOENT && !expect)
		rc = 0;
	if (!rc && o && expect && o->rev != expect)
		rc = change_stale(key, o->rev, expect, e);
	if (!rc)
		rc = dir_reserve(tx, e);
	if (!rc)
		rc = dir_unlink(d, tx, key, e);
	if (!rc && !key->k->derived)
		tx->spec = true;
	if (!rc && rev)
		*rev = tx->given;
	rc = leave(d, tx, rc, e);
	object_free(o);
	json_decref(j);
	return rc;
}

struct listing {
	struct dir_store *d;
	const struct store_events *ev;
	void *arg;
};

static int list_one(void *arg, const struct store_key *key, struct err *e)
{
	struct listing *l = arg;
	struct err local = { .code = 0 };
	struct object *o;
	json_t *j;
	int rc = dir_read(l->d, key, &j, &o, &local);

	if (rc == -ENOENT) /* deleted since the folder was read */
		return 0;
	if (rc && l->ev->bad)
		l->ev->bad(l->arg, &local);
	if (rc)
		return 0;
	if (l->ev->put)
		l->ev->put(l->arg, o, j);
	else
		object_free(o);
	json_decref(j);
	return 0;
}

static int dir_list(struct store *s, unsigned kind, const char *ns, const struct store_events *ev,
		    void *arg, struct err *e)
{
	struct dir_store *d = (struct dir_store *)s;
	struct listing l = { d, ev, arg };
	struct dir_revs revs;
	int rc = 0;

	/* Before the files: what is listed is then at least as new. */
	dir_committed(d, &revs);
	for (unsigned i = 0; !rc && i < KIND_COUNT; i++) {
		const struct kind *k = kind_by_id(i);

		if (k && (!kind || kind == i) && (k->namespaced || !ns))
			rc = dir_walk(d, k, ns, list_one, &l, e);
	}
	if (!rc && ev->sync)
		ev->sync(arg, revs.spec);
	return rc;
}

static int dir_get(struct store *s, const struct store_key *key, struct object **o, json_t **json,
		   struct err *e)
{
	struct object *obj;
	json_t *j;
	int rc = dir_read((struct dir_store *)s, key, &j, &obj, e);

	if (rc)
		return rc;
	if (o)
		*o = obj;
	else
		object_free(obj);
	if (json)
		*json = j;
	else
		json_decref(j);
	return 0;
}

/* ---- groups */

static int dir_group_begin(struct store *s, unsigned writes, struct err *e)
{
	struct dir_store *d = (struct dir_store *)s;
	struct dir_tx *tx = malloc(sizeof(*tx));
	int rc;

	if (!tx)
		return err_set(e, -ENOMEM, "no memory");
	rc = dir_begin(d, tx, writes, d->lock_ms, e);
	if (rc)
		free(tx);
	else
		d->group = tx;
	return rc;
}

static int dir_group_end(struct store *s, struct err *e)
{
	struct dir_store *d = (struct dir_store *)s;
	int rc = dir_end(d->group, e);

	free(d->group);
	d->group = NULL;
	return rc;
}

/* ---- open, close */

static void dir_close(struct store *s)
{
	struct dir_store *d = (struct dir_store *)s;

	dir_watch_stop(d->watch);
	if (d->wants >= 0)
		close(d->wants);
	free(d->root);
	free(d);
}

static int dir_open(const char *where, unsigned flags, struct store **out, struct err *e)
{
	struct dir_store *d;
	struct stat st;
	int rc;

	if (where[0] != '/')
		return err_set(e, -EINVAL, "store dir:%s: the path must begin with /", where);
	if (flags & STORE_CREATE) {
		rc = dir_make(where, 0755, e);
		if (rc)
			return rc;
	}
	if (stat(where, &st))
		return err_sys(e, -errno, "store dir:%s", where);
	if (!S_ISDIR(st.st_mode))
		return err_sys(e, -ENOTDIR, "store dir:%s", where);
	d = calloc(1, sizeof(*d));
	if (d)
		d->root = strdup(where);
	if (!d || !d->root) {
		free(d);
		return err_set(e, -ENOMEM, "no memory");
	}
	d->base.ops = &dir_store_ops;
	d->uid = st.st_uid;
	d->gid = st.st_gid;
	d->wants = -1;
	d->lock_ms = flags & STORE_NOWAIT ? 0 : LOCK_MS;
	*out = &d->base;
	return 0;
}

const struct store_ops dir_store_ops = {
	.scheme = "dir:",
	.open = dir_open,
	.close = dir_close,
	.list = dir_list,
	.get = dir_get,
	.change = dir_change,
	.remove = dir_remove_object,
	.begin = dir_group_begin,
	.end = dir_group_end,
	.watch = dir_watch_start,
	.fd = dir_watch_fd,
	.process = dir_watch_process,
};
