// SPDX-License-Identifier: Apache-2.0
/* rtnl_apply: doing operations; see rtnl.h.
 *
 * Addresses, routes, neighbours and entries are pipelined into one batch. Links and sysctls go one
 * by one, with the batch sent before them, because what follows may hang on them; they are few.
 * Links to be removed in a row go together, since each removal waits for RCU.
 * Where a new route's key is taken, a dump tells whose it is: ours (left by an agent before us) is
 * replaced, somebody else's stays.
 * Names become indices through a cache that lives as long as one call and forgets a device that
 * the call makes or removes. */
#include "sys/file.h"
#include "sys/rtnl.h"
#include "sys/rtnl_msg.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

struct ifindex {
	char name[IFNAME_LEN];
	int index;
};

struct applying {
	struct nl *nl;
	const struct kop *ops;
	int *codes;
	size_t *of;    /* batch's request → operation */
	size_t *taken; /* operations that found their route's key taken */
	size_t ntaken;
	int *dying; /* indices of links to be removed, for the operations before `dying_end` */
	size_t ndying;
	size_t dying_first, dying_end;
	struct nl_batch b;
	struct ifindex *cache;
	size_t ncache, capcache;
	int rc; /* first failure, described in e */
	struct err *e;
};

static void fail(struct applying *ap, size_t i, int code, const char *text)
{
	char what[256];

	if (ap->codes && !ap->codes[i])
		ap->codes[i] = code;
	if (ap->rc)
		return;
	ap->rc = err_set(ap->e, code, "%s: %s", kobj_str(ap->ops[i].obj, what, sizeof(what)),
			 text[0] ? text : strerror(-code));
}

static bool gone(int code)
{
	return code == -ENODEV || code == -ESRCH || code == -ENOENT || code == -EADDRNOTAVAIL;
}

static void on_result(void *arg, unsigned n, int code, const char *text)
{
	struct applying *ap = arg;
	size_t i = ap->of[n];
	const struct kop *op = &ap->ops[i];

	if (!code || (op->verb == KOP_DELETE && gone(code)))
		return;
	if (code == -EEXIST && op->verb == KOP_ADD && op->obj->type == KOBJ_ROUTE)
		ap->taken[ap->ntaken++] = i;
	else
		fail(ap, i, code, text);
}

/* The transport failed: every request that is still in the batch failed with it. */
static int send_batch(struct applying *ap)
{
	unsigned n = ap->b.n;
	struct err why;
	int rc;

	if (!n)
		return 0;
	rc = nl_batch_run(ap->nl, &ap->b, on_result, ap, &why);
	for (unsigned i = 0; rc && i < n; i++)
		fail(ap, ap->of[i], rc, why.text);
	return rc;
}

static int by_key(const void *a, const void *b)
{
	return kobj_cmp(a, b);
}

static void queue(struct applying *ap, size_t i, enum kop_verb verb);

/* Routes whose key was taken, once it is known by whom. */
static int settle(struct applying *ap)
{
	struct klist have = { 0 };
	size_t n = ap->ntaken;
	struct err why;
	int rc;

	if (!n)
		return 0;
	ap->ntaken = 0;
	rc = rtnl_dump(ap->nl, RTNL(KOBJ_ROUTE), &have, &why);
	for (size_t i = 0; i < n; i++) {
		const struct kobj *want = ap->ops[ap->taken[i]].obj, *there = NULL;

		if (!rc && have.n)
			there = bsearch(want, have.v, have.n, sizeof(*have.v), by_key);
		if (there && !there->foreign)
			queue(ap, ap->taken[i], KOP_CHANGE);
		else
			fail(ap, ap->taken[i], -EEXIST, "somebody else has this route");
	}
	klist_fini(&have);
	return send_batch(ap);
}

static int flush(struct applying *ap)
{
	int rc = send_batch(ap);

	return rc ? rc : settle(ap);
}

/* ---- names */

static void forget(struct applying *ap, const char *name)
{
	for (size_t i = 0; i < ap->ncache; i++)
		if (!strncmp(ap->cache[i].name, name, IFNAME_LEN))
			ap->cache[i--] = ap->cache[--ap->ncache];
}

static void remember(struct applying *ap, const char name[IFNAME_LEN], int index)
{
	if (ap->ncache == ap->capcache) {
		size_t cap = ap->capcache ? 2 * ap->capcache : 16;
		struct ifindex *v = reallocarray(ap->cache, cap, sizeof(*v));

		if (!v)
			return; /* it is only a cache */
		ap->cache = v;
		ap->capcache = cap;
	}
	memcpy(ap->cache[ap->ncache].name, name, IFNAME_LEN);
	ap->cache[ap->ncache++].index = index;
}

static int index_of(struct applying *ap, const char *ifname, struct err *e)
{
	char name[IFNAME_LEN + 1] = "";
	int index;

	memcpy(name, ifname, IFNAME_LEN);
	for (size_t i = 0; i < ap->ncache; i++)
		if (!strncmp(ap->cache[i].name, name, IFNAME_LEN))
			return ap->cache[i].index;
	index = rtnl_ifindex(ap->nl, name, e);
	if (index > 0)
		remember(ap, name, index);
	return index;
}

/* ---- links */

static int run(struct applying *ap, struct nl_batch *b, struct err *e)
{
	int rc = nl_batch_run(ap->nl, b, NULL, NULL, e);

	nl_batch_fini(b);
	return rc;
}

/* What a device keeps from its birth to its death. */
static bool reborn(const struct klink *want, const struct klink *have)
{
	if (want->kind == KLINK_VXLAN)
		return want->vni != have->vni || want->vxlan_port != have->vxlan_port ||
		       want->vxlan_local.family != have->vxlan_local.family;
	if (want->kind == KLINK_IPIP)
		return have->kind == KLINK_IFB;
	return want->kind == KLINK_IFB && want->has_mac &&
	       memcmp(&want->mac, &have->mac, sizeof(want->mac)) != 0;
}

static int make_link(struct applying *ap, const struct klink *l, struct klink *have, int *index,
		     struct err *e)
{
	struct nl_batch b = { 0 };
	int rc;

	if (l->kind == KLINK_ANY || l->kind == KLINK_VETH)
		return err_set(e, -ENODEV, "the device is gone");
	rc = rtnl_put_link_new(&b, l) ? err_sys(e, -ENOMEM, "link") : run(ap, &b, e);
	return rc ? rc : rtnl_get_link(ap->nl, l->name, 0, have, index, e);
}

static int set_link(struct applying *ap, const struct klink *l, const struct klink *have, int index,
		    struct err *e)
{
	struct nl_batch b = { 0 };
	int master = 0, rc = 0;

	if (l->master[0] && strncmp(l->master, have->master, IFNAME_LEN) != 0)
		master = index_of(ap, l->master, e);
	if (master < 0)
		return master;
	if (rtnl_put_link_set(&b, l, have, index, master))
		rc = -ENOMEM;
	if (!rc && l->master[0] && l->isolated != have->isolated)
		rc = rtnl_put_port(&b, index, l->isolated);
	if (rc) {
		nl_batch_fini(&b);
		return err_sys(e, rc, "link");
	}
	return run(ap, &b, e);
}

/* Those are fixed from its birth on; where an ADD finds others, somebody else made it. */
static bool others_vxlan(const struct klink *want, const struct klink *have)
{
	return want->kind == KLINK_VXLAN &&
	       (want->vni != have->vni || want->vxlan_port != have->vxlan_port);
}

static int want_link(struct applying *ap, enum kop_verb verb, const struct klink *l, struct err *e)
{
	struct klink have = { 0 };
	struct nl_batch b = { 0 };
	int index = 0, rc;

	rc = rtnl_get_link(ap->nl, l->name, 0, &have, &index, e);
	if (!rc && l->kind != KLINK_ANY && l->kind != have.kind && !reborn(l, &have))
		return err_set(e, -EEXIST, "a device of another kind has this name");
	if (!rc && verb == KOP_ADD && others_vxlan(l, &have))
		return err_set(e, -EEXIST, "somebody else's vxlan device has this name");
	if (!rc && reborn(l, &have)) {
		rc = rtnl_put_link_del(&b, index) ? err_sys(e, -ENOMEM, "link") : run(ap, &b, e);
		if (rc && !gone(rc))
			return rc;
		rc = -ENODEV;
	}
	if (rc == -ENODEV)
		rc = make_link(ap, l, &have, &index, e);
	return rc ? rc : set_link(ap, l, &have, index, e);
}

/* The ipip driver keeps a tunl0 of its own in every namespace, which is taken instead of made and
 * survives its deletion: down, it takes no packet. */
static void quiet(struct applying *ap, size_t i, int index)
{
	struct nl_batch b = { 0 };
	struct err why;
	int rc = rtnl_put_link_down(&b, index) ? err_sys(&why, -ENOMEM, "link") : run(ap, &b, &why);

	if (rc && !gone(rc))
		fail(ap, i, rc, why.text);
}

/* Operation i removes a link: it waits for those that follow it. */
static void doom(struct applying *ap, size_t i)
{
	const char *name = ap->ops[i].obj->link.name;
	struct err why;
	int index = rtnl_ifindex(ap->nl, name, &why);

	forget(ap, name);
	if (index < 0) {
		if (!gone(index))
			fail(ap, i, index, why.text);
		return;
	}
	if (ap->ops[i].obj->link.kind == KLINK_IPIP)
		quiet(ap, i, index);
	if (!ap->ndying)
		ap->dying_first = i;
	ap->dying[ap->ndying++] = index;
	ap->dying_end = i + 1;
}

static void bury(struct applying *ap)
{
	struct err why;
	int rc = ap->ndying ? rtnl_delete_links(ap->nl, ap->dying, ap->ndying, &why) : 0;

	for (size_t i = ap->dying_first; rc && i < ap->dying_end; i++)
		fail(ap, i, rc, why.text);
	ap->ndying = 0;
}

/* ---- the rest */

static int put_op(struct nl_batch *b, enum kop_verb verb, const struct kobj *o, int index,
		  const int *more)
{
	switch ((enum kobj_type)o->type) {
	case KOBJ_ADDR:
		return rtnl_put_addr(b, verb, &o->addr, index);
	case KOBJ_ROUTE:
		return rtnl_put_route(b, verb, &o->route, index, more);
	case KOBJ_NEIGH:
		return rtnl_put_neigh(b, verb, &o->neigh, index);
	case KOBJ_FDB:
		return rtnl_put_fdb(b, verb, &o->fdb, index);
	case KOBJ_NONE:
	case KOBJ_SYSCTL:
	case KOBJ_LINK:
		break;
	}
	return -EINVAL;
}

static int more_indices(struct applying *ap, const struct kobj *o, int *out, struct err *e)
{
	unsigned n = o->type == KOBJ_ROUTE ? o->route.n_more : 0;
	int rc = 0;

	for (unsigned i = 0; !rc && i < n; i++) {
		out[i] = index_of(ap, o->route.more[i].oif, e);
		rc = out[i] < 0 ? out[i] : 0;
	}
	return rc;
}

static void queue(struct applying *ap, size_t i, enum kop_verb verb)
{
	const struct kobj *o = ap->ops[i].obj;
	const char *dev = kobj_device(o);
	int index = 0, more[KROUTE_HOPS], rc;
	struct err why;

	if (dev[0]) {
		index = index_of(ap, dev, &why);
		if (index < 0) {
			/* With its device the object went too. */
			if (verb != KOP_DELETE || !gone(index))
				fail(ap, i, index, why.text);
			return;
		}
	}
	rc = verb == KOP_DELETE ? 0 : more_indices(ap, o, more, &why);
	if (rc) {
		fail(ap, i, rc, why.text);
		return;
	}
	rc = put_op(&ap->b, verb, o, index, more);
	if (rc)
		fail(ap, i, rc, "");
	else
		ap->of[ap->b.n - 1] = i;
}

static int apply_op(struct applying *ap, size_t i)
{
	const struct kop *op = &ap->ops[i];
	bool link = op->obj->type == KOBJ_LINK;
	struct err why;
	int rc;

	if (link && op->verb == KOP_DELETE && ap->ndying) {
		doom(ap, i);
		return 0;
	}
	bury(ap);
	if (!link && op->obj->type != KOBJ_SYSCTL) {
		queue(ap, i, op->verb);
		return 0;
	}
	rc = flush(ap);
	if (rc) {
		fail(ap, i, rc, "not tried");
		return rc;
	}
	if (link && op->verb == KOP_DELETE) {
		doom(ap, i);
	} else if (link) {
		forget(ap, op->obj->link.name);
		rc = want_link(ap, op->verb, &op->obj->link, &why);
	} else if (op->verb != KOP_DELETE) {
		rc = sysctl_write(op->obj->sysctl.path, op->obj->sysctl.value, &why);
		if (rc == -ENOENT && op->obj->sysctl.optional)
			rc = 0;
	}
	if (rc)
		fail(ap, i, rc, why.text);
	return 0;
}

int rtnl_apply(struct nl *nl, const struct kop *ops, size_t n, int *codes, struct err *e)
{
	struct applying ap = { .nl = nl, .ops = ops, .codes = codes, .e = e };
	size_t i = 0;
	int rc = 0;

	if (codes)
		memset(codes, 0, n * sizeof(*codes));
	ap.of = calloc(n ? n : 1, sizeof(*ap.of));
	ap.taken = calloc(n ? n : 1, sizeof(*ap.taken));
	ap.dying = calloc(n ? n : 1, sizeof(*ap.dying));
	if (!ap.of || !ap.taken || !ap.dying)
		rc = -ENOMEM;
	for (; !rc && i < n; i++)
		rc = apply_op(&ap, i);
	bury(&ap);
	if (!rc)
		rc = flush(&ap);
	for (; rc && i < n; i++)
		fail(&ap, i, rc, "not tried");
	nl_batch_fini(&ap.b);
	free(ap.cache);
	free(ap.of);
	free(ap.taken);
	free(ap.dying);
	return ap.rc;
}
