// SPDX-License-Identifier: Apache-2.0
/* agent_kernel: see agent_kernel.h. */
#include "daemon/agent_kernel.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_ipip.h"
#include "daemon/agent_link.h"
#include "daemon/agent_others.h"
#include "daemon/agent_pace.h"
#include "daemon/agent_plan_pod.h"
#include "daemon/agent_saved.h"
#include "sys/rtnl.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#define ALL_TYPES                                                                                  \
	(RTNL(KOBJ_LINK) | RTNL(KOBJ_ADDR) | RTNL(KOBJ_ROUTE) | RTNL(KOBJ_NEIGH) | RTNL(KOBJ_FDB))

struct agent_kernel {
	struct agent *agent;
	struct nl *nl;
	struct desired *desired;
	struct arena arena; /* operations collected for the next apply */
	struct kop *ops;
	size_t n_ops, cap_ops;
	struct klist late; /* what is to be deleted when all that replaces it is there */
	struct others others;
	struct nl *reaper;
	struct rtnl_monitor *monitor;
	ev_io notices;
	struct pace pace;
	bool adopted;
	struct agent_kernel_stats stats;
};

/* ---- wanting and applying */

static int add_ops(struct agent_kernel *k, const struct kop *v, size_t n, struct err *e)
{
	if (k->n_ops + n > k->cap_ops) {
		size_t cap = 2 * (k->n_ops + n);
		struct kop *ops = realloc(k->ops, cap * sizeof(*ops));

		if (!ops)
			return err_set(e, -ENOMEM, "no memory");
		k->ops = ops;
		k->cap_ops = cap;
	}
	if (n)
		memcpy(k->ops + k->n_ops, v, n * sizeof(*v));
	k->n_ops += n;
	return 0;
}

int agent_kernel_want(struct agent *a, uint32_t owner, const struct kobj *v, size_t n,
		      struct err *e)
{
	struct agent_kernel *k = a->kernel;
	struct diff d = { 0 };
	int rc = desired_set(k->desired, owner, v, n, &k->arena, &d);

	if (rc)
		return err_set(e, rc, "no memory");
	rc = add_ops(k, d.ops, d.n, e);
	if (rc)
		return rc;
	for (size_t i = 0; i < d.nconflicts; i++) {
		char text[160];

		log_warn("two objects want %s", kobj_str(d.conflicts[i].kept, text, sizeof(text)));
	}
	return 0;
}

static void forget_ops(struct agent_kernel *k)
{
	k->n_ops = 0;
	arena_reset(&k->arena);
}

/* A pod's link cannot be made from here (sys/pod.h), only set and removed. */
static bool is_pod_link(const struct kop *op)
{
	return op->obj->type == KOBJ_LINK && op->obj->link.kind == KLINK_VETH;
}

static const char *const verb_names[] = { "add", "change", "delete" };

static void report_failures(struct agent_kernel *k, const struct kop *ops, const int *codes,
			    size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char text[160];

		if (!codes[i])
			continue;
		k->stats.failures++;
		log_warn("%s %s: %s", verb_names[ops[i].verb],
			 kobj_str(ops[i].obj, text, sizeof(text)), strerror(-codes[i]));
	}
}

void agent_kernel_hold(struct agent *a)
{
	struct agent_kernel *k = a->kernel;
	size_t n = 0;

	for (size_t i = 0; i < k->n_ops; i++)
		if (k->ops[i].verb != KOP_DELETE || klist_add(&k->late, k->ops[i].obj))
			k->ops[n++] = k->ops[i];
	k->n_ops = n;
}

/* What was to go and is wanted again, by whomever, was changed in place meanwhile. */
int agent_kernel_let_go(struct agent *a, struct err *e)
{
	struct agent_kernel *k = a->kernel;
	struct kop *ops = arena_array(&k->arena, k->late.n, sizeof(*ops));
	struct klist late = k->late;
	size_t n = 0;
	int rc;

	if (!ops)
		return err_set(e, -ENOMEM, "no memory");
	klist_sort(&late);
	for (size_t i = late.n; i > 0; i--)
		if (!desired_get(k->desired, &late.v[i - 1]))
			ops[n++] = (struct kop){ KOP_DELETE, &late.v[i - 1] };
	k->late = (struct klist){ 0 };
	rc = add_ops(k, ops, n, e);
	if (!rc)
		rc = agent_kernel_apply(a, false, e);
	klist_fini(&late);
	return rc;
}

int agent_kernel_apply(struct agent *a, bool strict, struct err *e)
{
	struct agent_kernel *k = a->kernel;
	struct err first = { 0 };
	size_t n = 0;
	int *codes, rc;

	if (!strict && !k->adopted) {
		/* What a predecessor made may be there: only a comparison can tell. */
		forget_ops(k);
		return 0;
	}
	for (size_t i = 0; i < k->n_ops; i++)
		if (!is_pod_link(&k->ops[i]) || k->ops[i].verb == KOP_CHANGE)
			k->ops[n++] = k->ops[i];
	n = others_spare_tunnel(&k->others, k->ops, n);
	codes = arena_array(&k->arena, n, sizeof(*codes));
	if (!codes) {
		forget_ops(k);
		return err_set(e, -ENOMEM, "no memory");
	}
	agent_saved_note(a, k->ops, n);
	rc = n ? rtnl_apply(k->nl, k->ops, n, codes, &first) : 0;
	if (rc && !strict) {
		report_failures(k, k->ops, codes, n);
		pace_within(&k->pace, 1.0);
		rc = 0;
	}
	forget_ops(k);
	if (rc)
		err_set(e, rc, "%s", first.text);
	return rc;
}

/* ---- the audit */

static bool is_ours(void *arg, const struct kobj *have)
{
	const struct agent_kernel *k = arg;

	if (!k->adopted)
		return false;
	switch ((enum kobj_type)have->type) {
	case KOBJ_LINK:
		return agent_owns_link(&have->link) &&
		       (have->link.kind != KLINK_VETH ||
			!agent_ipam_keeps_link(k->agent, have->link.name));
	case KOBJ_FDB:
		return !strcmp(have->fdb.ifname, ROUTE_VXLAN_DEV) &&
		       !others_have(&k->others, ROUTE_VXLAN_DEV);
	case KOBJ_ADDR:
	case KOBJ_ROUTE:
	case KOBJ_NEIGH:
		return true; /* those that carry no mark of ours are foreign already */
	case KOBJ_SYSCTL:
	case KOBJ_NONE:
		break;
	}
	return false;
}

static bool has_link(const struct klist *have, const char *name)
{
	for (size_t i = 0; i < have->n && have->v[i].type <= KOBJ_LINK; i++)
		if (have->v[i].type == KOBJ_LINK && !strcmp(have->v[i].link.name, name))
			return true;
	return false;
}

/* Pods whose link is gone want nothing any more: it cannot come back. */
static bool drop_lost_pods(struct agent_kernel *k, const struct kobj *want, size_t n,
			   const struct klist *have)
{
	bool any = false;

	for (size_t i = 0; i < n && want[i].type == KOBJ_LINK; i++)
		if (want[i].link.kind == KLINK_VETH && !has_link(have, want[i].link.name)) {
			log_warn("audit: link %s of a pod is gone", want[i].link.name);
			agent_plan_link_lost(k->agent, want[i].link.name);
			any = true;
		}
	return any;
}

static int observe(struct agent_kernel *k, struct klist *have, struct arena *ar,
		   const struct kobj **want, size_t *n_want, struct err *e)
{
	int rc = rtnl_dump(k->nl, ALL_TYPES, have, e);

	if (rc)
		return rc;
	others_look(&k->others, k->agent, have);
	*want = desired_all(k->desired, ar, n_want);
	if (!*want)
		return err_set(e, -ENOMEM, "no memory");
	if (drop_lost_pods(k, *want, *n_want, have)) {
		/* What they wanted went with their links. */
		forget_ops(k);
		*want = desired_all(k->desired, ar, n_want);
		if (!*want)
			return err_set(e, -ENOMEM, "no memory");
	}
	rc = rtnl_sysctls(*want, *n_want, have, e);
	klist_sort(have);
	return rc;
}

static void log_findings(enum log_level level, const struct diff *d)
{
	static const char *const why[] = {
		[KOP_ADD] = "missing", [KOP_CHANGE] = "changed", [KOP_DELETE] = "unwanted"
	};

	for (size_t i = 0; i < d->n; i++) {
		char text[160];

		if (i == 20) {
			log_at(level, "audit: and %zu more", d->n - i);
			break;
		}
		log_at(level, "audit: %s: %s", why[d->ops[i].verb],
		       kobj_str(d->ops[i].obj, text, sizeof(text)));
	}
	for (size_t i = 0; i < d->nconflicts; i++) {
		char text[160];

		log_warn("audit: somebody else's: %s",
			 kobj_str(d->conflicts[i].kept, text, sizeof(text)));
	}
}

static void count_findings(struct agent_kernel *k, const struct diff *d)
{
	k->stats.audits++;
	k->stats.repairs += d->n;
	for (int v = 0; v < DIFF_VERDICTS; v++)
		k->stats.verdicts[v] += d->counts[v];
}

/* `first`: what it finds is what an agent does at its start, nobody's fault. */
static int audit(struct agent_kernel *k, bool first, struct err *e)
{
	struct klist have = { 0 };
	const struct kobj *want;
	struct diff d = { 0 };
	struct arena ar;
	struct err why;
	size_t n_want;
	int *codes, rc;

	arena_init(&ar, 0);
	rc = observe(k, &have, &ar, &want, &n_want, e);
	if (!rc && diff_kobjs((struct kobjs){ want, n_want }, (struct kobjs){ have.v, have.n },
			      is_ours, k, &ar, &d))
		rc = err_set(e, -ENOMEM, "no memory");
	d.n = others_spare_tunnel(&k->others, d.ops, d.n);
	codes = arena_array(&ar, d.n, sizeof(*codes));
	if (!rc && codes) {
		log_findings(first ? LOG_DEBUG : LOG_WARN, &d);
		if (first)
			agent_saved_note(k->agent, d.ops, d.n);
		if (!first) {
			count_findings(k, &d);
			pace_note(&k->pace, d.n);
		}
		if (d.n && rtnl_apply(k->nl, d.ops, d.n, codes, &why))
			report_failures(k, d.ops, codes, d.n);
	}
	klist_fini(&have);
	arena_fini(&ar);
	return rc;
}

static void run_audit(struct agent_kernel *k, bool first)
{
	struct err e = { 0 };

	pace_begin(&k->pace);
	if (audit(k, first, &e))
		log_error("audit: %s", e.text);
	agent_ipip_follow(k->agent, true);
}

void agent_kernel_audit(struct agent *a)
{
	run_audit(a->kernel, false);
}

void agent_kernel_look(struct agent *a)
{
	struct klist have = { 0 };
	struct err e = { 0 };

	if (rtnl_dump(a->kernel->nl, ALL_TYPES, &have, &e))
		log_error("%s", e.text);
	else
		others_look(&a->kernel->others, a, &have);
	klist_fini(&have);
}

void agent_kernel_start(struct agent *a)
{
	run_audit(a->kernel, true);
}

void agent_kernel_adopt(struct agent *a)
{
	a->kernel->adopted = true;
	run_audit(a->kernel, true);
}

/* ---- notices */

/* A notice tells of the past: by now the name may be a link of the same container's next ADD. */
static bool has_heir(struct agent_kernel *k, const char *ifname)
{
	struct err none;

	return rtnl_ifindex(k->nl, ifname, &none) > 0;
}

static void on_notice(void *arg, const struct rtnl_notice *n)
{
	struct agent_kernel *k = arg;
	const struct kobj *want;

	if (n->ours)
		return;
	if (n->deleted && n->obj.type == KOBJ_LINK && agent_is_host_link(n->obj.link.name)) {
		if (!has_heir(k, n->obj.link.name))
			agent_plan_link_lost(k->agent, n->obj.link.name);
		return;
	}
	want = desired_get(k->desired, &n->obj);
	if (want ? n->deleted || !kobj_same(want, &n->obj) : !n->deleted && !n->obj.foreign)
		pace_within(&k->pace, PACE_SOON);
	else if (n->obj.foreign && n->obj.type != KOBJ_NEIGH && n->obj.type != KOBJ_FDB)
		pace_within(&k->pace, PACE_SOON); /* the uplink may have moved */
}

static void on_readable(struct ev_loop *loop, ev_io *w, int events)
{
	struct agent_kernel *k = w->data;
	struct err e = { 0 };
	bool lost = false;

	if (rtnl_monitor_read(k->monitor, on_notice, k, &lost, &e)) {
		log_error("rtnetlink notices: %s", e.text);
		lost = true;
	}
	if (lost)
		pace_within(&k->pace, PACE_SOON);
}

/* ---- life */

int agent_kernel_open(struct agent *a, struct err *e)
{
	struct agent_kernel *k = calloc(1, sizeof(*k));
	uint32_t own[2];

	if (!k)
		return err_set(e, -ENOMEM, "no memory");
	a->kernel = k;
	k->agent = a;
	arena_init(&k->arena, 0);
	k->desired = desired_new();
	k->nl = nl_open(NETLINK_ROUTE, e);
	k->reaper = k->nl ? nl_open(NETLINK_ROUTE, e) : NULL;
	if (!k->reaper)
		return e->code;
	own[0] = nl_portid(k->nl);
	own[1] = nl_portid(k->reaper);
	k->monitor = rtnl_monitor_open(ALL_TYPES, own, 2, e);
	if (!k->monitor)
		return e->code;
	if (!k->desired)
		return err_set(e, -ENOMEM, "no memory");

	ev_io_init(&k->notices, on_readable, rtnl_monitor_fd(k->monitor), EV_READ);
	k->notices.data = k;
	ev_io_start(a->role->loop, &k->notices);
	pace_start(&k->pace, a, "rtnetlink", agent_kernel_audit);
	return 0;
}

void agent_kernel_close(struct agent *a)
{
	struct agent_kernel *k = a->kernel;

	if (!k)
		return;
	ev_io_stop(a->role->loop, &k->notices);
	pace_stop(&k->pace);
	rtnl_monitor_close(k->monitor);
	nl_close(k->reaper);
	nl_close(k->nl);
	desired_free(k->desired);
	others_fini(&k->others);
	klist_fini(&k->late);
	arena_fini(&k->arena);
	free(k->ops);
	free(k);
	a->kernel = NULL;
}

struct nl *agent_kernel_reaper(struct agent *a)
{
	return a->kernel->reaper;
}

struct nl *agent_kernel_nl(struct agent *a)
{
	return a->kernel->nl;
}

const struct uplink *agent_kernel_uplink(const struct agent *a)
{
	return &a->kernel->others.uplink;
}

void agent_kernel_find_uplink(struct agent *a)
{
	others_find_uplink(&a->kernel->others, a);
}

struct route_hop agent_kernel_gateway(const struct agent *a, const struct ipaddr *ip)
{
	return others_gateway(&a->kernel->others, ip);
}

const char *agent_kernel_link(const struct agent *a, const struct ipaddr *ip)
{
	return others_link(&a->kernel->others, ip);
}

bool agent_kernel_has_route(const struct agent *a, const struct prefix *p)
{
	return others_have_route(&a->kernel->others, p);
}

bool agent_kernel_leads_to(const struct agent *a, const struct prefix *p)
{
	return others_lead_to(&a->kernel->others, p);
}

bool agent_kernel_is_others(const struct agent *a, const char *tunnel)
{
	return others_have(&a->kernel->others, tunnel);
}

const struct desired *agent_kernel_desired(const struct agent *a)
{
	return a->kernel->desired;
}

const struct agent_kernel_stats *agent_kernel_stats(const struct agent *a)
{
	return &a->kernel->stats;
}
