/* SPDX-License-Identifier: Apache-2.0 */
/* Operations → messages. Everything is little but element lists, which are cut so that no
 * message and no element list passes what a 16-bit attribute length can say.
 *
 * Intervals: a set of one part keeps them in a tree, as two elements, the first key and the
 * first key behind (absent at the end of the space); a concatenation keeps first and last key in
 * one element. */
#include "core/nft/encode.h"

#include "core/nft/msg.h"
#include "core/nft/sel.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static void put_udata(struct msg *m, uint16_t type, const char *comment)
{
	uint8_t p[NFT_USERDATA_MAXLEN];

	if (comment)
		msg_put(m, type, p, udata_comment(p, sizeof(p), UDATA_COMMENT, comment));
}

static void put_table(struct msg *m, const struct nft_op *op)
{
	msg_str(m, NFTA_TABLE_NAME, op->table);
	if (op->verb != NFTV_ADD_TABLE)
		return;
	msg_be32(m, NFTA_TABLE_FLAGS, op->t ? op->t->flags : 0);
	if (op->t)
		put_udata(m, NFTA_TABLE_USERDATA, op->t->comment);
}

static void put_hook(struct msg *m, const struct nft_chain *c)
{
	struct nlattr *hook = msg_nest(m, NFTA_CHAIN_HOOK), *devs;

	msg_be32(m, NFTA_HOOK_HOOKNUM, c->hook);
	msg_be32(m, NFTA_HOOK_PRIORITY, c->priority);
	if (c->n_devs == 1)
		msg_str(m, NFTA_HOOK_DEV, c->devs[0]);
	if (c->n_devs > 1) {
		devs = msg_nest(m, NFTA_HOOK_DEVS);
		for (uint32_t i = 0; i < c->n_devs; i++)
			msg_str(m, NFTA_DEVICE_NAME, c->devs[i]);
		msg_end(m, devs);
	}
	msg_end(m, hook);
}

static void put_chain(struct msg *m, const struct nft_op *op)
{
	msg_str(m, NFTA_CHAIN_TABLE, op->table);
	msg_str(m, NFTA_CHAIN_NAME, op->chain);
	if (op->verb != NFTV_ADD_CHAIN || !op->c->base)
		return;
	put_hook(m, op->c);
	msg_be32(m, NFTA_CHAIN_POLICY, op->c->policy);
	msg_str(m, NFTA_CHAIN_TYPE, op->c->type);
}

static uint32_t type_number(const struct nft_part *v, unsigned n)
{
	uint32_t t = 0;

	if (n == 1 && v[0].type == NFTY_VERDICT)
		return NFT_DATA_VERDICT;
	for (unsigned i = 0; i < n; i++)
		t = t << 6 | type_info(v[i].type)->number;
	return t;
}

static void put_desc(struct msg *m, const struct nft_set *s)
{
	struct nlattr *desc = msg_nest(m, NFTA_SET_DESC), *concat, *field;

	if (s->size)
		msg_be32(m, NFTA_SET_DESC_SIZE, s->size);
	if (s->n_key > 1 && s->flags & NFT_SET_INTERVAL) {
		concat = msg_nest(m, NFTA_SET_DESC_CONCAT);
		for (unsigned i = 0; i < s->n_key; i++) {
			const struct nft_part *p = &s->key[i];

			field = msg_nest(m, NFTA_LIST_ELEM);
			msg_be32(m, NFTA_SET_FIELD_LEN,
				 p->sel.key ? nft_sel_len(&p->sel) : type_info(p->type)->len);
			msg_end(m, field);
		}
		msg_end(m, concat);
	}
	msg_end(m, desc);
}

static void put_set(struct msg *m, const struct nft_op *op, uint32_t id)
{
	const struct nft_set *s = op->set;
	bool concat_range = s->n_key > 1 && s->flags & NFT_SET_INTERVAL;
	uint8_t ud[NFT_USERDATA_MAXLEN];
	struct nlattr *expr;

	msg_str(m, NFTA_SET_TABLE, op->table);
	msg_str(m, NFTA_SET_NAME, s->name);
	if (op->verb != NFTV_ADD_SET)
		return;
	msg_be32(m, NFTA_SET_FLAGS, s->flags | (concat_range ? NFT_SET_CONCAT : 0));
	msg_be32(m, NFTA_SET_KEY_TYPE, type_number(s->key, s->n_key));
	msg_be32(m, NFTA_SET_KEY_LEN, s->key_len);
	if (s->n_data) {
		msg_be32(m, NFTA_SET_DATA_TYPE, type_number(s->data, s->n_data));
		if (!nft_set_is_vmap(s))
			msg_be32(m, NFTA_SET_DATA_LEN, s->data_len);
	}
	msg_be32(m, NFTA_SET_ID, id);
	if (s->timeout_ms)
		msg_be64(m, NFTA_SET_TIMEOUT, s->timeout_ms);
	if (s->size || concat_range)
		put_desc(m, s);
	msg_put(m, NFTA_SET_USERDATA, ud, udata_set(ud, sizeof(ud), s));
	if (s->counter) {
		expr = msg_nest(m, NFTA_SET_EXPR);
		msg_str(m, NFTA_EXPR_NAME, "counter");
		msg_end(m, expr);
	}
}

static void put_value(struct msg *m, uint16_t type, const uint8_t *p, unsigned n)
{
	struct nlattr *nest = msg_nest(m, type);

	msg_put(m, NFTA_DATA_VALUE, p, n);
	msg_end(m, nest);
}

static void put_elem_data(struct msg *m, const struct nft_set *s, const struct nft_elem *el)
{
	struct nlattr *data, *verdict;

	if (!nft_set_is_vmap(s)) {
		put_value(m, NFTA_SET_ELEM_DATA, el->data, s->data_len);
		return;
	}
	data = msg_nest(m, NFTA_SET_ELEM_DATA);
	verdict = msg_nest(m, NFTA_DATA_VERDICT);
	msg_be32(m, NFTA_VERDICT_CODE, el->verdict.code);
	if (el->verdict.chain)
		msg_str(m, NFTA_VERDICT_CHAIN, el->verdict.chain);
	msg_end(m, verdict);
	msg_end(m, data);
}

/* The first key behind `last`; false at the end of the space. */
static bool key_after(const uint8_t *last, unsigned n, uint8_t *out)
{
	memcpy(out, last, n);
	for (unsigned i = n; i-- > 0;)
		if (++out[i])
			return true;
	return false;
}

static void put_elem(struct msg *m, const struct nft_set *s, const struct nft_elem *el, bool add)
{
	bool interval = s->flags & NFT_SET_INTERVAL;
	const uint8_t *last = el->key_end ? el->key_end : el->key;
	struct nlattr *nest = msg_nest(m, NFTA_LIST_ELEM);
	uint8_t behind[NFT_KEY_MAX];

	put_value(m, NFTA_SET_ELEM_KEY, el->key, s->key_len);
	if (interval && s->n_key > 1)
		put_value(m, NFTA_SET_ELEM_KEY_END, last, s->key_len);
	if (add) {
		if (s->n_data)
			put_elem_data(m, s, el);
		if (el->timeout_ms)
			msg_be64(m, NFTA_SET_ELEM_TIMEOUT, el->timeout_ms);
		put_udata(m, NFTA_SET_ELEM_USERDATA, el->comment);
	}
	msg_end(m, nest);
	if (!interval || s->n_key > 1 || !key_after(last, s->key_len, behind))
		return;
	nest = msg_nest(m, NFTA_LIST_ELEM);
	msg_be32(m, NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
	put_value(m, NFTA_SET_ELEM_KEY, behind, s->key_len);
	msg_end(m, nest);
}

/* As many elements from *from on as fit. */
static int put_elems(struct msg *m, const struct nft_op *op, uint32_t *from)
{
	struct nlattr *list;
	uint32_t i = *from;

	msg_str(m, NFTA_SET_ELEM_LIST_TABLE, op->table);
	msg_str(m, NFTA_SET_ELEM_LIST_SET, op->set->name);
	list = msg_nest(m, NFTA_SET_ELEM_LIST_ELEMENTS);
	for (; i < op->n_elems && !m->full; i++) {
		uint32_t len = m->nlh->nlmsg_len;

		put_elem(m, op->set, &op->elems[i], op->verb == NFTV_ADD_ELEMS);
		if (m->full) {
			if (i == *from)
				return -EMSGSIZE;
			msg_cut(m, len);
			break;
		}
	}
	if (m->full)
		return -EMSGSIZE;
	msg_end(m, list);
	*from = i;
	return 0;
}

static int put_rule(struct msg *m, const struct nft_op *op, struct err *e)
{
	struct nlattr *exprs;
	int r;

	msg_str(m, NFTA_RULE_TABLE, op->table);
	msg_str(m, NFTA_RULE_CHAIN, op->chain);
	if (op->verb == NFTV_REPLACE_RULE || op->verb == NFTV_DEL_RULE)
		msg_be64(m, NFTA_RULE_HANDLE, op->handle);
	else if (op->handle)
		msg_be64(m, NFTA_RULE_POSITION, op->handle);
	if (op->verb == NFTV_DEL_RULE)
		return 0;
	exprs = msg_nest(m, NFTA_RULE_EXPRESSIONS);
	r = encode_exprs(m, op->rule, op->family, e);
	if (r)
		return err_wrap(e, "rule in %s", op->chain);
	msg_end(m, exprs);
	put_udata(m, NFTA_RULE_USERDATA, op->rule->comment);
	return 0;
}

static const struct {
	uint16_t msg, flags;
} wire_of[] = {
	[NFTV_ADD_TABLE] = { NFT_MSG_NEWTABLE, NLM_F_CREATE },
	[NFTV_DEL_TABLE] = { NFT_MSG_DELTABLE, 0 },
	[NFTV_ADD_CHAIN] = { NFT_MSG_NEWCHAIN, NLM_F_CREATE },
	[NFTV_DEL_CHAIN] = { NFT_MSG_DELCHAIN, 0 },
	[NFTV_FLUSH_CHAIN] = { NFT_MSG_DELRULE, 0 },
	[NFTV_ADD_SET] = { NFT_MSG_NEWSET, NLM_F_CREATE },
	[NFTV_DEL_SET] = { NFT_MSG_DELSET, 0 },
	[NFTV_FLUSH_SET] = { NFT_MSG_DELSETELEM, 0 },
	[NFTV_ADD_ELEMS] = { NFT_MSG_NEWSETELEM, NLM_F_CREATE },
	[NFTV_DEL_ELEMS] = { NFT_MSG_DELSETELEM, 0 },
	[NFTV_ADD_RULE] = { NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND },
	[NFTV_INSERT_RULE] = { NFT_MSG_NEWRULE, NLM_F_CREATE },
	[NFTV_REPLACE_RULE] = { NFT_MSG_NEWRULE, NLM_F_REPLACE },
	[NFTV_DEL_RULE] = { NFT_MSG_DELRULE, 0 },
};
static_assert(sizeof(wire_of) / sizeof(wire_of[0]) == NFTV_COUNT,
	      "wire_of[] doesn't match enum nft_verb");

static int put_op(struct msg *m, const struct nft_op *op, uint32_t *from, uint32_t seq,
		  struct err *e)
{
	int r = 0;

	switch ((enum nft_verb)op->verb) {
	case NFTV_ADD_TABLE:
	case NFTV_DEL_TABLE:
		put_table(m, op);
		break;
	case NFTV_ADD_CHAIN:
	case NFTV_DEL_CHAIN:
		put_chain(m, op);
		break;
	case NFTV_FLUSH_CHAIN:
		msg_str(m, NFTA_RULE_TABLE, op->table);
		msg_str(m, NFTA_RULE_CHAIN, op->chain);
		break;
	case NFTV_ADD_SET:
	case NFTV_DEL_SET:
		put_set(m, op, seq);
		break;
	case NFTV_FLUSH_SET:
		msg_str(m, NFTA_SET_ELEM_LIST_TABLE, op->table);
		msg_str(m, NFTA_SET_ELEM_LIST_SET, op->set->name);
		break;
	case NFTV_ADD_ELEMS:
	case NFTV_DEL_ELEMS:
		return put_elems(m, op, from);
	case NFTV_ADD_RULE:
	case NFTV_INSERT_RULE:
	case NFTV_REPLACE_RULE:
	case NFTV_DEL_RULE:
		r = put_rule(m, op, e);
		break;
	case NFTV_COUNT:
		return -EINVAL;
	}
	if (r)
		return r;
	if (m->full)
		return -EMSGSIZE;
	*from = 1;
	return 0;
}

int nft_encode(const struct nft_op *op, uint32_t *from, struct buf *out, size_t room, uint32_t seq,
	       uint32_t *n_msgs, struct err *e)
{
	char mem[NFT_MSG_MAX] __attribute__((aligned(8)));
	bool elems = op->verb == NFTV_ADD_ELEMS || op->verb == NFTV_DEL_ELEMS;
	uint32_t end = elems ? op->n_elems : 1, at = *from, n = 0;
	size_t start = out->n;

	while (at < end) {
		size_t left = room - (out->n - start);
		struct err inner = { 0 };
		struct msg m;
		int r;

		if (left < 64)
			break;
		msg_start(&m, mem, left < sizeof(mem) ? left : sizeof(mem), wire_of[op->verb].msg,
			  wire_of[op->verb].flags, op->family, seq + n);
		r = put_op(&m, op, &at, seq + n, &inner);
		if (r == -EMSGSIZE && left < sizeof(mem))
			break; /* there may be room in the next batch */
		if (r) {
			out->n = start;
			return err_set(e, r, "%s", inner.code ? inner.text : "message too long");
		}
		buf_put(out, mem, MNL_ALIGN(m.nlh->nlmsg_len));
		n++;
	}
	if (out->failed)
		return err_set(e, -ENOMEM, "no memory for a message");
	if (!n && at < end)
		return err_set(e, -EMSGSIZE, "message does not fit");
	*from = at;
	*n_msgs = n;
	return 0;
}

int nft_encode_exprs(const struct nft_rule *r, uint8_t family, struct buf *out, struct err *e)
{
	char mem[NFT_MSG_MAX] __attribute__((aligned(8)));
	struct msg m;
	int rc;

	msg_init(&m, mem, sizeof(mem));
	rc = encode_exprs(&m, r, family, e);
	if (rc)
		return rc;
	if (m.full)
		return err_set(e, -EMSGSIZE, "rule too long");
	buf_put(out, mem + MNL_NLMSG_HDRLEN, m.nlh->nlmsg_len - MNL_NLMSG_HDRLEN);
	return out->failed ? err_set(e, -ENOMEM, "no memory for a rule") : 0;
}
