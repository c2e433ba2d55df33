// SPDX-License-Identifier: Apache-2.0
/* agent_kernel: see agent_kernel.h. */
#include "daemon/agent_kernel.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_link.h"
#include "daemon/agent_pace.h"
#include "daemon/agent_plan.h"
#include "daemon/agent_saved.h"
#include "sys/rtnl.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#define AUDIT_EVERY 30.0 /* seconds */

#define ALL_TYPES                                                                                  \
	(RTNL(KOBJ_LINK) | RTNL(KOBJ_ADDR) | RTNL(KOBJ_ROUTE) | RTNL(KOBJ_NEIGH) | RTNL(KOBJ_FDB))

struct agent_kernel {
	struct agent *agent;
	struct nl *nl;
	struct desired *desired;
	struct arena arena; /* operations collected for the next apply */
	struct kop *ops;
	size_t n_ops, cap_ops;
	struct klist late;   /* what is to be deleted when all that replaces it is there */
	struct klist others; /* links, addresses and routes that are not ours, as last dumped */
	struct uplink uplink;
	struct nl *reaper;
	struct rtnl_monitor *monitor;
	ev_io notices;
	ev_timer regular, soon;
	struct pace pace;
	bool adopted;
	bool tunnel_taken; /* somebody else's device has the tunnel's name */
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

/* ---- the tunnel's name

 * A machine may have had a vxlan0 before fairlead came. It is neither removed nor used. */

static bool is_our_tunnel(const struct klink *l)
{
	return l->kind == KLINK_VXLAN && !strcmp(l->name, ROUTE_VXLAN_DEV) &&
	       l->vni == ROUTE_VXLAN_VNI && l->vxlan_port == ROUTE_VXLAN_PORT;
}

static bool is_on_tunnel(const struct kobj *o)
{
	switch ((enum kobj_type)o->type) {
	case KOBJ_LINK:
		return !strcmp(o->link.name, ROUTE_VXLAN_DEV);
	case KOBJ_ADDR:
		return !strcmp(o->addr.ifname, ROUTE_VXLAN_DEV);
	case KOBJ_ROUTE:
		return !strcmp(o->route.oif, ROUTE_VXLAN_DEV);
	case KOBJ_NEIGH:
		return !strcmp(o->neigh.ifname, ROUTE_VXLAN_DEV);
	case KOBJ_FDB:
		return !strcmp(o->fdb.ifname, ROUTE_VXLAN_DEV);
	case KOBJ_SYSCTL:
		return strstr(o->sysctl.path, "/" ROUTE_VXLAN_DEV "/") != NULL;
	case KOBJ_NONE:
		break;
	}
	return false;
}

static void find_tunnel(struct agent_kernel *k, struct klist *have)
{
	bool taken = false;

	for (size_t i = 0; i < have->n && have->v[i].type == KOBJ_LINK; i++)
		if (is_on_tunnel(&have->v[i]) && !is_our_tunnel(&have->v[i].link)) {
			have->v[i].foreign = 1;
			taken = true;
		}
	if (taken && !k->tunnel_taken)
		log_error("link " ROUTE_VXLAN_DEV " is somebody else's: no tunnel to other nodes "
			  "while it is there");
	k->tunnel_taken = taken;
}

static size_t spare_others_tunnel(const struct agent_kernel *k, struct kop *ops, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (!k->tunnel_taken || !is_on_tunnel(ops[i].obj) ||
		    (ops[i].verb == KOP_DELETE && ops[i].obj->type != KOBJ_LINK))
			ops[kept++] = ops[i];
	return kept;
}

/* ---- */

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

static void audit_within(struct agent_kernel *k, ev_tstamp seconds)
{
	struct ev_loop *loop = k->agent->role->loop;

	if (ev_is_active(&k->soon))
		return;
	ev_timer_set(&k->soon, pace_wait(&k->pace, ev_now(loop), seconds), 0.);
	ev_timer_start(loop, &k->soon);
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
	n = spare_others_tunnel(k, k->ops, n);
	codes = arena_array(&k->arena, n, sizeof(*codes));
	if (!codes) {
		forget_ops(k);
		return err_set(e, -ENOMEM, "no memory");
	}
	rc = n ? rtnl_apply(k->nl, k->ops, n, codes, &first) : 0;
	if (rc && !strict) {
		report_failures(k, k->ops, codes, n);
		audit_within(k, 1.0);
		rc = 0;
	}
	forget_ops(k);
	if (rc)
		err_set(e, rc, "%s", first.text);
	return rc;
}

/* ---- the audit */

static bool is_our_link(const struct klink *l)
{
	return (l->kind == KLINK_VETH && agent_is_host_link(l->name)) ||
	       (l->kind == KLINK_BRIDGE && !strncmp(l->name, "br-fl", 5)) || is_our_tunnel(l);
}

static bool is_ours(void *arg, const struct kobj *have)
{
	const struct agent_kernel *k = arg;

	if (!k->adopted)
		return false;
	switch ((enum kobj_type)have->type) {
	case KOBJ_LINK:
		return is_our_link(&have->link) &&
		       (have->link.kind != KLINK_VETH ||
			!agent_ipam_keeps_link(k->agent, have->link.name));
	case KOBJ_FDB:
		return !strcmp(have->fdb.ifname, ROUTE_VXLAN_DEV) && !k->tunnel_taken;
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

static bool same_uplink(const struct uplink *x, const struct uplink *y)
{
	if (strcmp(x->name, y->name) || x->mtu != y->mtu || x->n_subnets != y->n_subnets ||
	    x->n_ra != y->n_ra || memcmp(x->ra, y->ra, sizeof(x->ra)))
		return false;
	for (size_t i = 0; i < x->n_subnets; i++)
		if (!prefix_eq(&x->subnets[i], &y->subnets[i]))
			return false;
	return true;
}

void agent_kernel_find_uplink(struct agent *a)
{
	struct agent_kernel *k = a->kernel;
	struct ipaddr ips[ROUTE_FAMILIES];
	struct uplink u;

	agent_plan_node_ips(a, ips);
	if (!uplink_find(k->others.v, k->others.n, a->role->cfg.uplink, ips, ROUTE_FAMILIES, &u) &&
	    a->role->cfg.uplink)
		log_warn("uplink %s: no such interface", a->role->cfg.uplink);
	if (same_uplink(&u, &k->uplink))
		return;
	if (strcmp(u.name, k->uplink.name))
		log_info("uplink is %s", u.name[0] ? u.name : "nowhere");
	k->uplink = u;
	agent_plan_uplink_changed(a);
}

/* Keeps what others made: the uplink and the ways to peers are read from it. */
static bool is_others(const struct kobj *o)
{
	return o->type == KOBJ_LINK ? !is_our_link(&o->link)
				    : o->foreign && (o->type == KOBJ_ADDR || o->type == KOBJ_ROUTE);
}

static void remember_others(struct agent_kernel *k, const struct klist *have)
{
	struct kobj *v = NULL;
	size_t n = 0;

	for (size_t i = 0; i < have->n; i++)
		n += is_others(&have->v[i]);
	v = malloc((n ? n : 1) * sizeof(*v));
	if (!v)
		return; /* the last ones stay */
	n = 0;
	for (size_t i = 0; i < have->n; i++)
		if (is_others(&have->v[i]))
			v[n++] = have->v[i];

	bool moved = n != k->others.n || (n && memcmp(v, k->others.v, n * sizeof(*v)) != 0);

	free(k->others.v);
	k->others = (struct klist){ .v = v, .n = n, .cap = n };
	if (moved)
		agent_plan_ways_changed(k->agent);
	agent_kernel_find_uplink(k->agent);
}

static int observe(struct agent_kernel *k, struct klist *have, struct arena *ar,
		   const struct kobj **want, size_t *n_want, struct err *e)
{
	int rc = rtnl_dump(k->nl, ALL_TYPES, have, e);

	if (rc)
		return rc;
	find_tunnel(k, have);
	remember_others(k, have);
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
	d.n = spare_others_tunnel(k, d.ops, d.n);
	codes = arena_array(&ar, d.n, sizeof(*codes));
	if (!rc && codes) {
		log_findings(first ? LOG_DEBUG : LOG_WARN, &d);
		if (first)
			agent_saved_note(k->agent, &d, &have);
		if (!first) {
			count_findings(k, &d);
			pace_note(&k->pace, "rtnetlink", d.n);
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

	k->pace.last = ev_now(k->agent->role->loop);
	if (audit(k, first, &e))
		log_error("audit: %s", e.text);
}

void agent_kernel_audit(struct agent *a)
{
	run_audit(a->kernel, false);
}

void agent_kernel_look(struct agent *a)
{
	struct klist have = { 0 };
	struct err e = { 0 };

	if (rtnl_dump(a->kernel->nl, ALL_TYPES, &have, &e)) {
		log_error("%s", e.text);
	} else {
		find_tunnel(a->kernel, &have);
		remember_others(a->kernel, &have);
	}
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
		audit_within(k, PACE_SOON);
	else if (n->obj.foreign && n->obj.type != KOBJ_NEIGH && n->obj.type != KOBJ_FDB)
		audit_within(k, PACE_SOON); /* the uplink may have moved */
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
		audit_within(k, PACE_SOON);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
	struct agent_kernel *k = w->data;

	agent_kernel_audit(k->agent);
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
	ev_timer_init(&k->regular, on_timer, AUDIT_EVERY, AUDIT_EVERY);
	k->regular.data = k;
	ev_timer_start(a->role->loop, &k->regular);
	ev_timer_init(&k->soon, on_timer, 0., 0.);
	k->soon.data = k;
	return 0;
}

void agent_kernel_close(struct agent *a)
{
	struct agent_kernel *k = a->kernel;

	if (!k)
		return;
	ev_io_stop(a->role->loop, &k->notices);
	ev_timer_stop(a->role->loop, &k->regular);
	ev_timer_stop(a->role->loop, &k->soon);
	rtnl_monitor_close(k->monitor);
	nl_close(k->reaper);
	nl_close(k->nl);
	desired_free(k->desired);
	klist_fini(&k->others);
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
	return &a->kernel->uplink;
}

struct ipaddr agent_kernel_gateway(const struct agent *a, const struct ipaddr *ip)
{
	const struct agent_kernel *k = a->kernel;

	return uplink_gateway(k->others.v, k->others.n, k->uplink.name, ip);
}

const struct desired *agent_kernel_desired(const struct agent *a)
{
	return a->kernel->desired;
}

const struct agent_kernel_stats *agent_kernel_stats(const struct agent *a)
{
	return &a->kernel->stats;
}
