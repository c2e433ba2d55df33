// SPDX-License-Identifier: Apache-2.0
/* agent_ipip: see agent_ipip.h. */
#include "daemon/agent_ipip.h"
#include "daemon/agent_kernel.h"
#include "daemon/agent_plan.h"
#include "sys/rtnl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct nodes {
	struct ipaddr *v;
	size_t n, cap;
	bool failed;
};

struct agent_ipip {
	uint8_t kind;          /* KLINK_ANY: not asked yet */
	struct ipip *programs; /* NULL: not loaded */
	struct ipip_ends ends; /* what they were told */
	struct nodes nodes;    /* sorted */
	bool attached;         /* those, as far as is known */
	bool left;             /* the uplink has nothing of ours, nor of an agent before */
	struct err said;       /* what goes wrong, once */
};

uint8_t agent_ipip_kind(struct agent *a)
{
	struct agent_ipip *t = a->ipip;
	struct err e;
	int rc;

	if (t->kind != KLINK_ANY)
		return t->kind;
	rc = rtnl_has_ipip(agent_kernel_nl(a), &e);
	if (rc < 0)
		log_error("%s", e.text);
	t->kind = rc > 0 ? KLINK_IPIP : KLINK_IFB;
	log_info("IP-in-IP by %s",
		 rc > 0 ? "the kernel's driver" : "eBPF, as this kernel has no driver");
	return t->kind;
}

static void say(struct agent_ipip *t, int rc, const struct err *e)
{
	if (rc && strcmp(t->said.text, e->text) != 0)
		log_error("tunl0: %s", e->text);
	if (!rc && t->said.code)
		log_info("tunl0: works again");
	t->said = rc ? *e : (struct err){ 0 };
}

/* ---- the other nodes */

static void add_node(void *arg, const struct route_peer *peer)
{
	struct nodes *s = arg;

	if (!peer->ip[ROUTE_V4].family)
		return;
	if (s->n == s->cap && !s->failed) {
		size_t cap = s->cap ? 2 * s->cap : 64;
		struct ipaddr *v = reallocarray(s->v, cap, sizeof(*v));

		s->failed = !v;
		s->v = v ? v : s->v;
		s->cap = v ? cap : s->cap;
	}
	if (!s->failed)
		s->v[s->n++] = peer->ip[ROUTE_V4];
}

static int by_addr(const void *a, const void *b)
{
	return addr_cmp(a, b);
}

/* The first that fails ends it: what was not done is found to differ again. */
static int change_nodes(struct ipip *p, const struct nodes *was, const struct nodes *now,
			struct err *e)
{
	size_t i = 0, k = 0;
	int rc = 0;

	while (!rc && (i < was->n || k < now->n)) {
		int c = i == was->n ? 1 : k == now->n ? -1 : addr_cmp(&was->v[i], &now->v[k]);

		if (c)
			rc = ipip_node(p, c < 0 ? &was->v[i] : &now->v[k], c > 0, e);
		i += c <= 0;
		k += c >= 0;
	}
	return rc;
}

static int follow_nodes(struct agent *a, struct err *e)
{
	struct agent_ipip *t = a->ipip;
	struct nodes now = { 0 };
	int rc = 0;

	agent_plan_peers(a, add_node, &now);
	if (now.failed)
		rc = err_set(e, -ENOMEM, "no memory");
	if (!rc && now.n)
		qsort(now.v, now.n, sizeof(*now.v), by_addr);
	if (!rc)
		rc = change_nodes(t->programs, &t->nodes, &now, e);
	if (rc) {
		free(now.v);
		return rc;
	}
	free(t->nodes.v);
	t->nodes = now;
	return 0;
}

/* ---- devices */

/* false: not all of it is there (yet). */
static bool find_ends(struct agent *a, const struct route_self *self, struct ipip_ends *out)
{
	struct nl *nl = agent_kernel_nl(a);
	struct err none;

	*out = (struct ipip_ends){ .node = self->node.ip[ROUTE_V4],
				   .mac = route_vxlan_mac(self->node.name),
				   .driver = self->ipip_kind == KLINK_IPIP };
	out->uplink = rtnl_ifindex(nl, self->uplink, &none);
	out->tunnel = rtnl_ifindex(nl, ROUTE_IPIP_DEV, &none);
	return out->uplink > 0 && out->tunnel > 0;
}

static bool same_ends(const struct ipip_ends *x, const struct ipip_ends *y)
{
	return addr_eq(&x->node, &y->node) && x->uplink == y->uplink && x->tunnel == y->tunnel &&
	       x->driver == y->driver;
}

static int put(struct agent *a, enum ipip_hook hook, int ifindex, struct err *e)
{
	const struct ipip *p = a->ipip->programs;
	struct nl *nl = agent_kernel_nl(a);
	enum ipip_there there;
	int rc = ipip_look(p, nl, hook, ifindex, &there, e);

	if (rc || there == IPIP_OURS)
		return rc;
	if (there == IPIP_OLD && !agent_plan_is_settled(a)) {
		a->ipip->attached = false;
		return 0;
	}
	return ipip_attach(p, nl, hook, ifindex, e);
}

static int put_all(struct agent *a, struct err *e)
{
	const struct ipip_ends *ends = &a->ipip->ends;
	int rc = 0;

	a->ipip->attached = true;
	if (!ends->driver)
		rc = put(a, IPIP_ON_TUNNEL, ends->tunnel, e);
	if (!rc)
		rc = put(a, IPIP_ON_UPLINK, ends->uplink, e);
	if (rc)
		a->ipip->attached = false;
	return rc;
}

static int move(struct agent *a, const struct ipip_ends *ends, struct err *e)
{
	struct agent_ipip *t = a->ipip;
	int was = t->ends.uplink;
	int rc = ipip_set(t->programs, ends, e);

	if (rc)
		return rc;
	t->ends = *ends;
	t->attached = t->left = false;
	return was && was != ends->uplink ? ipip_detach(agent_kernel_nl(a), was, e) : 0;
}

static int follow(struct agent *a, const struct route_self *self, bool look, struct err *e)
{
	struct agent_ipip *t = a->ipip;
	struct ipip_ends ends;
	int rc = 0;

	if (!find_ends(a, self, &ends))
		return 0;
	if (!t->programs)
		rc = ipip_open(&t->programs, e);
	if (!rc)
		rc = follow_nodes(a, e);
	if (!rc && !same_ends(&ends, &t->ends))
		rc = move(a, &ends, e);
	if (!rc && (look || !t->attached))
		rc = put_all(a, e);
	return rc;
}

static void forget(struct agent_ipip *t)
{
	ipip_close(t->programs);
	free(t->nodes.v);
	t->programs = NULL;
	t->nodes = (struct nodes){ 0 };
	t->ends = (struct ipip_ends){ .uplink = 0 };
	t->attached = false;
}

/* No pool needs the tunnel: with the device its program goes, from the uplink it is taken. */
static int leave(struct agent *a, const struct route_self *self, struct err *e)
{
	struct agent_ipip *t = a->ipip;
	struct err none;
	int uplink = rtnl_ifindex(agent_kernel_nl(a), self->uplink, &none), rc;

	if (uplink <= 0)
		return 0;
	rc = ipip_detach(agent_kernel_nl(a), uplink, e);
	if (!rc) {
		forget(t);
		t->left = true;
	}
	return rc;
}

void agent_ipip_follow(struct agent *a, bool look)
{
	const struct route_self *self = a->plan ? agent_plan_self(a) : NULL;
	struct err e = { 0 };
	int rc = 0;

	if (!self || !self->uplink[0])
		return;
	if (self->ipip && self->node.ip[ROUTE_V4].family &&
	    !agent_kernel_is_others(a, ROUTE_IPIP_DEV))
		rc = follow(a, self, look, &e);
	else if (!a->ipip->left && agent_plan_is_settled(a))
		rc = leave(a, self, &e);
	say(a->ipip, rc, &e);
}

bool agent_ipip_sums(const struct agent *a, struct ipip_sum out[IPIP_SUMS])
{
	struct err e;

	return a->ipip->programs && !ipip_sums(a->ipip->programs, out, &e);
}

/* ---- life */

int agent_ipip_open(struct agent *a, struct err *e)
{
	a->ipip = calloc(1, sizeof(*a->ipip));
	return a->ipip ? 0 : err_set(e, -ENOMEM, "no memory");
}

void agent_ipip_close(struct agent *a)
{
	if (!a->ipip)
		return;
	forget(a->ipip);
	free(a->ipip);
	a->ipip = NULL;
}
