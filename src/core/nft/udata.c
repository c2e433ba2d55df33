/* SPDX-License-Identifier: Apache-2.0 */
/* User data that nft keeps in the kernel for its listing: comments, and what a set's key was
 * declared as. A list of type (1 byte), length (1 byte), value; numbers in host order. The
 * layout was read off what nft 1.0.6 sends; `nft list` is the test. */
#include "core/nft/attr.h"
#include "core/nft/msg.h"
#include "core/nft/sel.h"

#include <string.h>

enum {
	SET_KEYBYTEORDER,
	SET_DATABYTEORDER,
	SET_MERGE,
	SET_KEY_TYPEOF,
	SET_DATA_TYPEOF,
	SET_EXPR,
	SET_DATA_INTERVAL,
	SET_COMMENT
};
enum { BYTEORDER_NONE, BYTEORDER_HOST, BYTEORDER_BIG };
/* nft's expression numbers. */
enum {
	EXPR_VERDICT = 1,
	EXPR_PAYLOAD = 7,
	EXPR_META = 9,
	EXPR_CT = 12,
	EXPR_CONCAT = 13,
	EXPR_NUMGEN = 23
};

struct ud {
	uint8_t *p;
	unsigned n, cap;
	bool full;
};

static void ud_put(struct ud *u, unsigned type, const void *v, unsigned n)
{
	if (u->full || n > 255 || u->n + 2 + n > u->cap) {
		u->full = true;
		return;
	}
	u->p[u->n++] = type;
	u->p[u->n++] = n;
	memcpy(u->p + u->n, v, n);
	u->n += n;
}

static void ud_u32(struct ud *u, unsigned type, uint32_t v)
{
	ud_put(u, type, &v, sizeof(v));
}

/* What an expression says of itself: type 0 its number, type 1 its fields. */
static void ud_sel(struct ud *u, const struct nft_sel *s)
{
	const struct sel_info *in = sel_info(s);
	uint8_t mem[64] = { 0 };
	struct ud f = { mem, 0, sizeof(mem), false };
	uint32_t expr = EXPR_META;

	switch ((enum sel_load)in->load) {
	case LOAD_META:
		ud_u32(&f, 0, in->arg);
		break;
	case LOAD_PAYLOAD:
		expr = EXPR_PAYLOAD;
		ud_u32(&f, 0, in->proto);
		ud_u32(&f, 1, in->field);
		if (s->key == NFK_PAYLOAD) {
			ud_u32(&f, 2, s->base + 1);
			ud_u32(&f, 3, s->offset * 8);
		}
		if (in->type == NFTY_INTEGER)
			ud_u32(&f, 4, nft_sel_len(s) * 8);
		break;
	case LOAD_CT:
		expr = EXPR_CT;
		ud_u32(&f, 0, in->arg);
		ud_u32(&f, 1, in->off == 255 ? UINT32_MAX : in->off);
		break;
	case LOAD_NUMGEN:
		expr = EXPR_NUMGEN;
		ud_u32(&f, 0, in->arg);
		ud_u32(&f, 1, s->modulus);
		ud_u32(&f, 2, s->add);
		break;
	case LOAD_FIB:
	case LOAD_RT:
	case LOAD_HASH:
		u->full = true;
		return;
	}
	ud_u32(u, 0, expr);
	ud_put(u, 1, f.p, f.n);
	u->full |= f.full;
}

static void ud_typeof(struct ud *u, unsigned tag, const struct nft_part *v, unsigned n)
{
	uint8_t mem[256] = { 0 }, list[256] = { 0 };
	struct ud all = { mem, 0, sizeof(mem), false }, parts = { list, 0, sizeof(list), false };

	if (n == 1) {
		ud_sel(&all, &v[0].sel);
	} else {
		for (unsigned i = 0; i < n; i++) {
			uint8_t one_mem[80] = { 0 };
			struct ud one = { one_mem, 0, sizeof(one_mem), false };

			ud_sel(&one, &v[i].sel);
			ud_put(&parts, i, one.p, one.n);
		}
		ud_u32(&all, 0, EXPR_CONCAT);
		ud_put(&all, 1, parts.p, parts.n);
	}
	if (all.full || parts.full)
		u->full = true;
	else
		ud_put(u, tag, all.p, all.n);
}

/* A typeof declaration has two sides, or nft does not believe it. */
static void ud_verdict(struct ud *u)
{
	uint8_t mem[16] = { 0 };
	struct ud f = { mem, 0, sizeof(mem), false };

	ud_u32(&f, 0, EXPR_VERDICT);
	ud_put(&f, 1, mem, 0);
	ud_put(u, SET_DATA_TYPEOF, f.p, f.n);
}

static uint32_t byteorder(const struct nft_part *v, unsigned n)
{
	if (n != 1)
		return BYTEORDER_NONE;
	if (v[0].sel.key)
		return sel_host(&v[0].sel) ? BYTEORDER_HOST : BYTEORDER_BIG;
	return type_info(v[0].type)->host ? BYTEORDER_HOST : BYTEORDER_BIG;
}

unsigned udata_set(uint8_t *p, unsigned cap, const struct nft_set *s)
{
	struct ud u = { p, 0, cap, false };

	ud_u32(&u, SET_KEYBYTEORDER, byteorder(s->key, s->n_key));
	if (s->n_data && !nft_set_is_vmap(s))
		ud_u32(&u, SET_DATABYTEORDER, byteorder(s->data, s->n_data));
	if (s->key[0].sel.key)
		ud_typeof(&u, SET_KEY_TYPEOF, s->key, s->n_key);
	if (s->key[0].sel.key && nft_set_is_vmap(s))
		ud_verdict(&u);
	else if (s->n_data && s->data[0].sel.key)
		ud_typeof(&u, SET_DATA_TYPEOF, s->data, s->n_data);
	if (s->comment)
		ud_put(&u, SET_COMMENT, s->comment, strlen(s->comment) + 1);
	return u.full ? 0 : u.n;
}

unsigned udata_comment(uint8_t *p, unsigned cap, unsigned tag, const char *comment)
{
	struct ud u = { p, 0, cap, false };

	ud_put(&u, tag, comment, strlen(comment) + 1);
	return u.full ? 0 : u.n;
}

/* ---- and back */

const uint8_t *udata_find(const uint8_t *p, size_t n, unsigned tag, size_t *len)
{
	while (p && n >= 2 && n - 2 >= p[1]) {
		if (p[0] == tag) {
			*len = p[1];
			return p + 2;
		}
		n -= 2 + (size_t)p[1];
		p += 2 + p[1];
	}
	return NULL;
}

static bool find_u32(const uint8_t *p, size_t n, unsigned tag, uint32_t *out)
{
	size_t len;
	const uint8_t *v = udata_find(p, n, tag, &len);

	if (!v || len != 4)
		return false;
	memcpy(out, v, 4);
	return true;
}

char *udata_comment_get(struct arena *a, const struct nlattr *attr, unsigned tag)
{
	size_t len;
	const uint8_t *v;

	if (!attr)
		return NULL;
	v = udata_find(mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr), tag, &len);
	return v ? arena_strndup(a, (const char *)v, strnlen((const char *)v, len)) : NULL;
}

static struct nft_sel payload_from(const uint8_t *f, size_t n)
{
	uint32_t proto = 0, field = 0, base = 0, offset = 0, bits = 0;

	find_u32(f, n, 0, &proto);
	find_u32(f, n, 1, &field);
	if (proto)
		return sel_from_field(proto, field);
	if (!find_u32(f, n, 2, &base) || !find_u32(f, n, 3, &offset) || !find_u32(f, n, 4, &bits) ||
	    !base || base > 4 || offset % 8 || bits % 8 || !bits || bits > 128 || offset > 65535)
		return NFT_SEL(NFK_NONE);
	return NFT_RAW(base - 1, offset / 8, bits / 8);
}

static struct nft_sel sel_from_udata(const uint8_t *p, size_t n)
{
	struct nft_sel s = NFT_SEL(NFK_NONE);
	uint32_t expr = 0, key = 0, dir = UINT32_MAX;
	size_t len = 0;
	const uint8_t *f = udata_find(p, n, 1, &len);

	if (!f || !find_u32(p, n, 0, &expr))
		return s;
	find_u32(f, len, 0, &key);
	switch (expr) {
	case EXPR_META:
		return sel_from_load(LOAD_META, key, 0);
	case EXPR_PAYLOAD:
		return payload_from(f, len);
	case EXPR_CT:
		find_u32(f, len, 1, &dir);
		return sel_from_load(LOAD_CT, key, dir == UINT32_MAX ? 255 : dir);
	case EXPR_NUMGEN:
		s = sel_from_load(LOAD_NUMGEN, key, 0);
		find_u32(f, len, 1, &s.modulus);
		find_u32(f, len, 2, &s.add);
		return s;
	}
	return s;
}

unsigned udata_typeof(const struct nlattr *attr, bool data, struct nft_part *v)
{
	const uint8_t *p = attr ? mnl_attr_get_payload(attr) : NULL, *list;
	size_t n = attr ? mnl_attr_get_payload_len(attr) : 0, len;
	uint32_t expr = 0;
	unsigned i;

	p = udata_find(p, n, data ? SET_DATA_TYPEOF : SET_KEY_TYPEOF, &n);
	if (!p || !find_u32(p, n, 0, &expr))
		return 0;
	if (expr != EXPR_CONCAT) {
		v[0].sel = sel_from_udata(p, n);
		v[0].type = sel_type(&v[0].sel);
		return v[0].sel.key != NFK_NONE;
	}
	list = udata_find(p, n, 1, &len);
	for (i = 0; i < NFT_PARTS_MAX; i++) {
		size_t m;
		const uint8_t *one = udata_find(list, list ? len : 0, i, &m);

		if (!one)
			break;
		v[i].sel = sel_from_udata(one, m);
		v[i].type = sel_type(&v[i].sel);
		if (v[i].sel.key == NFK_NONE)
			return 0;
	}
	return i;
}
