/* SPDX-License-Identifier: Apache-2.0 */
/* Sets, maps and elements in nft's syntax. nft lists elements sorted by value, but intervals of
 * concatenations as they came to the kernel: here by their bytes; numbers and names
 * of the kernel as host-order integers, and breaks lines by a count that depends on the type. */
#include "core/nft/sel.h"
#include "core/nft/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static unsigned part_len(const struct nft_part *p)
{
	return p->sel.key ? nft_sel_len(&p->sel) : type_info(p->type)->len;
}

static bool part_host(const struct nft_part *p)
{
	return p->sel.key ? sel_host(&p->sel) : type_info(p->type)->host;
}

static void text_parts(struct buf *out, const struct nft_part *v, uint8_t n, const uint8_t *lo,
		       const uint8_t *hi)
{
	uint32_t at = 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned len = part_len(&v[i]);

		buf_puts(out, i ? " . " : "");
		if (v[i].sel.key == NFK_PAYLOAD)
			text_hex(out, lo + at, len, false);
		else
			text_range(out, v[i].type, part_host(&v[i]), lo + at, hi + at, len);
		at += pad4(len);
	}
}

void nft_text_elem(const struct nft_set *s, const struct nft_elem *e, struct buf *out)
{
	text_parts(out, s->key, s->n_key, e->key, e->key_end ? e->key_end : e->key);
	if (s->counter)
		buf_puts(out, " counter");
	if (e->timeout_ms) {
		buf_puts(out, " timeout ");
		text_time(out, e->timeout_ms);
	}
	if (e->comment) {
		buf_puts(out, " comment ");
		text_quoted(out, e->comment);
	}
	if (!s->n_data)
		return;
	buf_puts(out, " : ");
	if (nft_set_is_vmap(s))
		text_verdict(out, &e->verdict);
	else
		text_parts(out, s->data, s->n_data, e->data, e->data);
}

/* As one little-endian number of all bytes in memory: nft's order of concatenations. */
static int cmp_concat(const struct nft_part *v, uint8_t n, const uint8_t *a, const uint8_t *b)
{
	uint32_t at[NFT_PARTS_MAX], end = 0;

	for (unsigned i = 0; i < n; i++) {
		at[i] = end;
		end += pad4(part_len(&v[i]));
	}
	for (unsigned i = n; i-- > 0;)
		for (unsigned j = part_len(&v[i]); j-- > 0;)
			if (a[at[i] + j] != b[at[i] + j])
				return a[at[i] + j] < b[at[i] + j] ? -1 : 1;
	return 0;
}

static int cmp_part(const struct nft_part *p, const uint8_t *a, const uint8_t *b)
{
	unsigned len = part_len(p);

	for (unsigned i = 0; i < len; i++) {
		unsigned k = part_host(p) ? len - 1 - i : i;

		if (a[k] != b[k])
			return a[k] < b[k] ? -1 : 1;
	}
	return 0;
}

struct sort {
	const struct nft_set *s;
	const struct nft_elem *e;
};

static int cmp_elem(const void *x, const void *y)
{
	const struct sort *a = x, *b = y;

	if (a->s->n_key > 1 && a->s->flags & NFT_SET_INTERVAL)
		return memcmp(a->e->key, b->e->key, a->s->key_len);
	if (a->s->n_key > 1)
		return cmp_concat(a->s->key, a->s->n_key, a->e->key, b->e->key);
	return cmp_part(&a->s->key[0], a->e->key, b->e->key);
}

/* How many elements nft puts on a line. */
static unsigned per_line(const struct nft_set *s)
{
	if (s->n_key > 1)
		return 1;
	switch ((enum nft_type)s->key[0].type) {
	case NFTY_NFPROTO:
	case NFTY_INTEGER:
	case NFTY_ARP_OP:
	case NFTY_INET_PROTO:
	case NFTY_INET_SERVICE:
	case NFTY_TCP_FLAG:
	case NFTY_MARK:
	case NFTY_CLASSID:
	case NFTY_UID:
	case NFTY_GID:
	case NFTY_CT_DIR:
		return 5;
	case NFTY_IPV4_ADDR:
	case NFTY_CT_STATE:
	case NFTY_CT_STATUS:
	case NFTY_PKT_TYPE:
		return 2;
	case NFTY_IPV6_ADDR:
	case NFTY_ETHER_ADDR:
	case NFTY_ETHER_TYPE:
	case NFTY_ICMP_TYPE:
	case NFTY_ICMP_CODE:
	case NFTY_ICMPV6_TYPE:
	case NFTY_ICMPV6_CODE:
	case NFTY_FIB_ADDRTYPE:
	case NFTY_BOOLEAN:
	case NFTY_IFNAME:
	case NFTY_NONE:
	case NFTY_VERDICT:
	case NFTY_COUNT:
		break;
	}
	return 1;
}

static void text_elems(const struct nft_set *s, struct buf *out)
{
	struct sort *v = calloc(s->n ? s->n : 1, sizeof(*v));
	unsigned line = per_line(s);

	if (!v) {
		out->failed = true;
		return;
	}
	for (uint32_t i = 0; i < s->n; i++)
		v[i] = (struct sort){ s, &s->elems[i] };
	qsort(v, s->n, sizeof(*v), cmp_elem);
	buf_puts(out, "\t\telements = { ");
	for (uint32_t i = 0; i < s->n; i++) {
		if (i)
			buf_puts(out, i % line ? ", " : ",\n\t\t\t     ");
		nft_text_elem(s, v[i].e, out);
	}
	buf_puts(out, " }\n");
	free(v);
}

static void text_decl(struct buf *out, const struct nft_part *v, uint8_t n)
{
	for (unsigned i = 0; i < n; i++) {
		buf_puts(out, i ? " . " : "");
		if (v[i].sel.key)
			text_sel(out, &v[i].sel);
		else
			buf_puts(out, type_info(v[i].type)->name);
	}
}

static void text_flags(struct buf *out, uint32_t flags)
{
	static const struct {
		uint32_t flag;
		const char *s;
	} words[] = { { NFT_SET_CONSTANT, "constant" },
		      { NFT_SET_EVAL, "dynamic" },
		      { NFT_SET_INTERVAL, "interval" },
		      { NFT_SET_TIMEOUT, "timeout" } };
	const char *sep = "\t\tflags ";

	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (flags & words[i].flag) {
			buf_printf(out, "%s%s", sep, words[i].s);
			sep = ",";
		}
	if (*sep == ',')
		buf_puts(out, "\n");
}

void text_set(const struct nft_set *s, struct buf *out)
{
	bool by_sel = s->key[0].sel.key || (s->n_data && s->data[0].sel.key);

	buf_printf(out, "\t%s %s {\n\t\t%s ", s->n_data ? "map" : "set", s->name,
		   by_sel ? "typeof" : "type");
	text_decl(out, s->key, s->n_key);
	if (s->n_data) {
		buf_puts(out, " : ");
		text_decl(out, s->data, s->n_data);
	}
	buf_puts(out, "\n");
	if (s->size)
		buf_printf(out, "\t\tsize %" PRIu32 "\n", s->size);
	text_flags(out, s->flags);
	if (s->counter)
		buf_puts(out, "\t\tcounter\n");
	if (s->timeout_ms) {
		buf_puts(out, "\t\ttimeout ");
		text_time(out, s->timeout_ms);
		buf_puts(out, "\n");
	}
	if (s->comment) {
		buf_puts(out, "\t\tcomment ");
		text_quoted(out, s->comment);
		buf_puts(out, "\n");
	}
	if (s->n)
		text_elems(s, out);
	buf_puts(out, "\t}\n");
}
