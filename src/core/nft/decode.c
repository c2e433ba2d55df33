/* SPDX-License-Identifier: Apache-2.0 */
/* Messages → tables, chains, sets, elements, rules. Nothing in here trusts a length, and what
 * has no name of ours is kept as bytes of the right length or left out, never an error: a newer
 * kernel or another program may say more than we know. */
#include "core/nft/decode.h"

#include "core/nft/attr.h"
#include "core/nft/sel.h"

#include <errno.h>
#include <limits.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>

enum { TAG_COMMENT = 0, TAG_SET_COMMENT = 7 };

static void on_table(struct nft_ruleset *rs, uint8_t family, const struct attrs *t)
{
	struct nft_table *x = nft_table_add(rs, family, attr_str(rs->arena, t->v[NFTA_TABLE_NAME]));

	if (!x)
		return;
	x->flags = attr_be32(t->v[NFTA_TABLE_FLAGS]);
	x->handle = attr_be64(t->v[NFTA_TABLE_HANDLE]);
	x->comment = udata_comment_get(rs->arena, t->v[NFTA_TABLE_USERDATA], TAG_COMMENT);
}

static void chain_devs(struct nft_ruleset *rs, struct nft_chain *c, const struct attrs *hook)
{
	const struct nlattr *attr;
	const char **v = NULL;
	uint32_t cap = 0;

	if (hook->v[NFTA_HOOK_DEVS])
		mnl_attr_for_each_nested(attr, hook->v[NFTA_HOOK_DEVS])
		{
			v = grow(rs->arena, v, c->n_devs, &cap, sizeof(*v));
			if (!v)
				return;
			v[c->n_devs++] = attr_str(rs->arena, attr);
			c->devs = v;
		}
	else if (hook->v[NFTA_HOOK_DEV]) {
		v = arena_alloc(rs->arena, sizeof(*v));
		if (!v)
			return;
		v[0] = attr_str(rs->arena, hook->v[NFTA_HOOK_DEV]);
		c->devs = v;
		c->n_devs = 1;
	}
}

static void on_chain(struct nft_ruleset *rs, struct nft_table *table, const struct attrs *t)
{
	const char *name = attr_str(rs->arena, t->v[NFTA_CHAIN_NAME]);
	struct nft_chain *c = name ? nft_chain_add(table, name) : NULL;
	struct attrs hook;

	if (!c)
		return;
	c->handle = attr_be64(t->v[NFTA_CHAIN_HANDLE]);
	c->binding = attr_be32(t->v[NFTA_CHAIN_FLAGS]) & NFT_CHAIN_BINDING ? 1 : 0;
	if (!t->v[NFTA_CHAIN_HOOK] || c->base)
		return;
	attrs_nest(&hook, t->v[NFTA_CHAIN_HOOK]);
	c->base = 1;
	c->type = attr_str(rs->arena, t->v[NFTA_CHAIN_TYPE]);
	if (!c->type)
		c->type = "filter";
	c->hook = attr_be32(hook.v[NFTA_HOOK_HOOKNUM]);
	c->priority = (int32_t)attr_be32(hook.v[NFTA_HOOK_PRIORITY]);
	c->policy = attr_be32(t->v[NFTA_CHAIN_POLICY]);
	chain_devs(rs, c, &hook);
}

/* ---- sets */

static unsigned parts_len(const struct nft_part *v, unsigned n)
{
	unsigned len = 0, last = 0;

	for (unsigned i = 0; i < n; i++) {
		last = v[i].sel.key ? nft_sel_len(&v[i].sel) : type_info(v[i].type)->len;
		if (!last)
			return 0;
		len += pad4(last);
	}
	return n == 1 ? last : len;
}

/* The parts that nft's number and typeof say; one raw part where they do not add up. */
static unsigned set_parts(struct nft_part *v, uint32_t number, unsigned len,
			  const struct nlattr *udata, bool data)
{
	struct nft_part rev[NFT_PARTS_MAX];
	unsigned n = udata_typeof(udata, data, v);

	if (n && parts_len(v, n) == len)
		return n;
	for (n = 0; number && n < NFT_PARTS_MAX; number >>= 6)
		rev[n++] = (struct nft_part){ .type = type_by_number(number & 63) };
	for (unsigned i = 0; i < n; i++)
		v[i] = rev[n - 1 - i];
	if (n && !number && parts_len(v, n) == len)
		return n;
	v[0] = (struct nft_part){ .type = NFTY_INTEGER, .sel = NFT_RAW(0, 0, len) };
	return 1;
}

static bool has_counter(const struct nlattr *expr, const struct nlattr *list)
{
	const struct nlattr *attr;
	struct attrs t;

	attrs_nest(&t, expr);
	if (attr_is(t.v[NFTA_EXPR_NAME], "counter"))
		return true;
	if (list)
		mnl_attr_for_each_nested(attr, list)
		{
			attrs_nest(&t, attr);
			if (attr_is(t.v[NFTA_EXPR_NAME], "counter"))
				return true;
		}
	return false;
}

static void on_set(struct nft_ruleset *rs, struct nft_table *table, const struct attrs *t)
{
	const char *name = attr_str(rs->arena, t->v[NFTA_SET_NAME]);
	const struct nlattr *ud = t->v[NFTA_SET_USERDATA];
	uint32_t len = attr_be32(t->v[NFTA_SET_KEY_LEN]);
	uint32_t dlen = attr_be32(t->v[NFTA_SET_DATA_LEN]);
	struct attrs desc;
	struct nft_set *s;

	if (!name || !len || len > NFT_KEY_MAX || dlen > NFT_KEY_MAX || nft_set_get(table, name))
		return;
	s = nft_set_add(table, name, 0, NFT_TYPES(NFTY_MARK));
	if (!s)
		return;
	s->handle = attr_be64(t->v[NFTA_SET_HANDLE]);
	s->flags = attr_be32(t->v[NFTA_SET_FLAGS]) & ~(uint32_t)NFT_SET_CONCAT;
	s->key_len = len;
	s->n_key = set_parts(s->key, attr_be32(t->v[NFTA_SET_KEY_TYPE]), len, ud, false);
	if (s->flags & NFT_SET_MAP && attr_be32(t->v[NFTA_SET_DATA_TYPE]) == NFT_DATA_VERDICT) {
		s->n_data = 1;
		s->data[0] = (struct nft_part){ .type = NFTY_VERDICT };
	} else if (s->flags & NFT_SET_MAP && dlen) {
		s->data_len = dlen;
		s->n_data = set_parts(s->data, attr_be32(t->v[NFTA_SET_DATA_TYPE]), dlen, ud, true);
	}
	attrs_nest(&desc, t->v[NFTA_SET_DESC]);
	s->size = attr_be32(desc.v[NFTA_SET_DESC_SIZE]);
	s->timeout_ms = attr_be64(t->v[NFTA_SET_TIMEOUT]);
	s->counter = has_counter(t->v[NFTA_SET_EXPR], t->v[NFTA_SET_EXPRESSIONS]);
	s->comment = udata_comment_get(rs->arena, ud, TAG_SET_COMMENT);
}

/* ---- elements */

static void elem_counter(struct nft_elem *e, const struct nlattr *expr, const struct nlattr *list)
{
	const struct nlattr *attr;
	struct attrs t, data;

	attrs_nest(&t, expr);
	if (!expr && list)
		mnl_attr_for_each_nested(attr, list)
		{
			attrs_nest(&t, attr);
			break;
		}
	if (!attr_is(t.v[NFTA_EXPR_NAME], "counter"))
		return;
	attrs_nest(&data, t.v[NFTA_EXPR_DATA]);
	e->packets = attr_be64(data.v[NFTA_COUNTER_PACKETS]);
	e->bytes = attr_be64(data.v[NFTA_COUNTER_BYTES]);
}

static void on_elem(struct nft_ruleset *rs, struct nft_set *s, const struct nlattr *attr)
{
	struct nft_elem e = { 0 };
	struct attrs t;

	attrs_nest(&t, attr);
	e.key = attr_value(t.v[NFTA_SET_ELEM_KEY], s->key_len);
	if (!e.key)
		return; /* the catch-all element, or nonsense */
	e.key_end = attr_value(t.v[NFTA_SET_ELEM_KEY_END], s->key_len);
	if (e.key_end && !memcmp(e.key, e.key_end, s->key_len))
		e.key_end = NULL;
	e.end = attr_be32(t.v[NFTA_SET_ELEM_FLAGS]) & NFT_SET_ELEM_INTERVAL_END ? 1 : 0;
	if (s->n_data && !e.end) {
		if (nft_set_is_vmap(s)) {
			if (!attr_verdict(rs->arena, t.v[NFTA_SET_ELEM_DATA], &e.verdict))
				return;
		} else {
			e.data = attr_value(t.v[NFTA_SET_ELEM_DATA], s->data_len);
			if (!e.data)
				return;
		}
	}
	s->raw = 1;
	e.timeout_ms = attr_be64(t.v[NFTA_SET_ELEM_TIMEOUT]);
	if (e.timeout_ms == s->timeout_ms)
		e.timeout_ms = 0;
	elem_counter(&e, t.v[NFTA_SET_ELEM_EXPR], t.v[NFTA_SET_ELEM_EXPRESSIONS]);
	e.comment = udata_comment_get(rs->arena, t.v[NFTA_SET_ELEM_USERDATA], TAG_COMMENT);
	nft_elem_add(s, &e);
}

static void on_elems(struct nft_ruleset *rs, const struct nft_table *table, const struct attrs *t)
{
	const char *name = attr_str(rs->arena, t->v[NFTA_SET_ELEM_LIST_SET]);
	struct nft_set *s = name ? nft_set_get(table, name) : NULL;
	const struct nlattr *attr;

	if (s && t->v[NFTA_SET_ELEM_LIST_ELEMENTS])
		mnl_attr_for_each_nested(attr, t->v[NFTA_SET_ELEM_LIST_ELEMENTS])
			on_elem(rs, s, attr);
}

struct order {
	unsigned len;
	const struct nft_elem *e;
};

static const uint8_t *last_of(const struct nft_elem *e)
{
	return e->key_end ? e->key_end : e->key;
}

/* By key; where one interval ends and the next begins at one key, the end comes first. */
static int cmp_order(const void *x, const void *y)
{
	const struct order *a = x, *b = y;
	int c = memcmp(a->e->key, b->e->key, a->len);

	if (!c)
		c = (int)b->e->end - (int)a->e->end;
	return c ? c : memcmp(last_of(a->e), last_of(b->e), a->len);
}

static uint8_t *key_before(struct arena *a, const uint8_t *key, unsigned len)
{
	uint8_t *k = arena_memdup(a, key, len);

	for (unsigned i = len; k && i-- > 0;)
		if (k[i]--)
			break;
	return k;
}

/* The last key of an interval that starts at `e`, given what comes next in order. */
static const uint8_t *interval_end(struct arena *a, const struct nft_elem *e,
				   const struct nft_elem *next, unsigned len)
{
	uint8_t *last = next ? key_before(a, next->key, len) : arena_alloc(a, len);

	if (last && !next)
		memset(last, 255, len);
	return last && memcmp(last, e->key, len) ? last : NULL;
}

static bool same_place(const struct nft_elem *a, const struct nft_elem *b, unsigned len)
{
	return !memcmp(a->key, b->key, len) && !memcmp(last_of(a), last_of(b), len) &&
	       a->end == b->end;
}

/* Sorts; drops what was listed twice; joins the tree's starts and ends. */
static bool settle(struct arena *a, struct nft_set *s)
{
	bool tree = s->flags & NFT_SET_INTERVAL && s->n_key == 1, twice = false;
	struct order *v = arena_array(a, s->n, sizeof(*v));
	struct nft_elem *out = arena_array(a, s->n, sizeof(*out));
	uint32_t n = 0;

	if (!v || !out)
		return false;
	for (uint32_t i = 0; i < s->n; i++)
		v[i] = (struct order){ s->key_len, &s->elems[i] };
	qsort(v, s->n, sizeof(*v), cmp_order);
	for (uint32_t i = 0; i < s->n; i++) {
		const struct nft_elem *next = i + 1 < s->n ? v[i + 1].e : NULL;

		if (v[i].e->end)
			continue;
		if (next && same_place(v[i].e, next, s->key_len)) {
			twice = true;
			continue;
		}
		out[n] = *v[i].e;
		if (tree)
			out[n].key_end = interval_end(a, v[i].e, next, s->key_len);
		n++;
	}
	s->elems = out;
	s->n = s->cap = n;
	return twice;
}

bool nft_decode_done(struct nft_ruleset *rs)
{
	bool twice = false;

	for (uint32_t i = 0; i < rs->n; i++)
		for (uint32_t j = 0; j < rs->tables[i]->n_sets; j++) {
			struct nft_set *s = rs->tables[i]->sets[j];

			if (s->raw)
				twice |= settle(rs->arena, s);
			s->raw = 0;
		}
	return twice;
}

static void on_rule(struct nft_ruleset *rs, struct nft_table *table, const struct attrs *t)
{
	const char *name = attr_str(rs->arena, t->v[NFTA_RULE_CHAIN]);
	struct nft_chain *c = name ? nft_chain_get(table, name) : NULL;
	struct nft_rule *r;
	char *comment;

	if (!c)
		return;
	comment = udata_comment_get(rs->arena, t->v[NFTA_RULE_USERDATA], TAG_COMMENT);
	r = nft_rule_add(c, comment);
	if (!r)
		return;
	r->handle = attr_be64(t->v[NFTA_RULE_HANDLE]);
	decode_exprs(r, table, t->v[NFTA_RULE_EXPRESSIONS]);
}

static void on_message(struct nft_ruleset *rs, const char *only, unsigned type, uint8_t family,
		       const struct attrs *t)
{
	/* Attribute 1 is the table's name in all of them. */
	const char *name = attr_str(rs->arena, t->v[1]);
	struct nft_table *table;

	if (!name || (only && strcmp(only, name)))
		return;
	if (type == NFT_MSG_NEWTABLE) {
		on_table(rs, family, t);
		return;
	}
	table = nft_table_add(rs, family, name);
	if (!table)
		return;
	if (type == NFT_MSG_NEWCHAIN)
		on_chain(rs, table, t);
	else if (type == NFT_MSG_NEWSET)
		on_set(rs, table, t);
	else if (type == NFT_MSG_NEWSETELEM)
		on_elems(rs, table, t);
	else if (type == NFT_MSG_NEWRULE)
		on_rule(rs, table, t);
}

#define HEADERS (MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct nfgenmsg)))

/* The message at *off, which is moved behind it; NULL where no whole one is. (mnl_nlmsg_ok() of
 * libmnl 1.0.4 takes lengths beyond 2^31 for negative, and good.) */
static const struct nlmsghdr *next_message(const void *p, size_t n, size_t *off)
{
	const struct nlmsghdr *nlh = (const void *)((const char *)p + *off);

	if (n - *off < sizeof(*nlh) || nlh->nlmsg_len < sizeof(*nlh) || nlh->nlmsg_len > n - *off)
		return NULL;
	*off = n - *off - nlh->nlmsg_len < MNL_ALIGNTO ? n : *off + MNL_ALIGN(nlh->nlmsg_len);
	return nlh;
}

int nft_decode(struct nft_ruleset *rs, const char *table, const void *p, size_t n, struct err *e)
{
	const struct nlmsghdr *nlh;
	size_t off = 0;

	while ((nlh = next_message(p, n, &off))) {
		const struct nfgenmsg *g;
		struct attrs t;

		if (nlh->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES || nlh->nlmsg_len < HEADERS)
			continue;
		g = mnl_nlmsg_get_payload(nlh);
		attrs_parse(&t, (const char *)nlh + HEADERS, nlh->nlmsg_len - HEADERS);
		on_message(rs, table, nlh->nlmsg_type & 255, g->nfgen_family, &t);
	}
	if (rs->arena->failed)
		return err_set(e, -ENOMEM, "no memory for the nftables ruleset");
	if (off < n)
		return err_set(e, -EBADMSG, "nftables answer is cut short");
	return 0;
}

int nft_decode_notice(const void *p, size_t n, struct nft_notice *out, struct err *e)
{
	struct nft_notice x = { 0 };
	const struct nlmsghdr *nlh;
	struct attrs t;
	size_t off = 0;

	if (!n)
		return 0;
	nlh = n < INT_MAX ? next_message(p, n, &off) : NULL;
	if (!nlh)
		return err_set(e, -EBADMSG, "nftables notice is cut short");
	x.portid = nlh->nlmsg_pid;
	if (nlh->nlmsg_type >> 8 == NFNL_SUBSYS_NFTABLES && nlh->nlmsg_len >= HEADERS) {
		const struct nfgenmsg *g = mnl_nlmsg_get_payload(nlh);

		x.msg = nlh->nlmsg_type & 255;
		x.family = g->nfgen_family;
		x.attrs = (const char *)nlh + HEADERS;
		x.attrs_len = nlh->nlmsg_len - HEADERS;
		attrs_parse(&t, x.attrs, x.attrs_len);
		if (x.msg == NFT_MSG_NEWGEN) {
			x.genid = attr_be32(t.v[NFTA_GEN_ID]);
			attr_text(x.comm, sizeof(x.comm), t.v[NFTA_GEN_PROC_NAME]);
		} else {
			attr_text(x.table, sizeof(x.table), t.v[1]);
		}
	} else {
		x.msg = NFT_MSG_MAX;
	}
	*out = x;
	return (int)off;
}
