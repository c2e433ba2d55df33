// SPDX-License-Identifier: Apache-2.0
/* Compression (RFC 1035 4.1.4): see msg_names.h. A name's suffixes are known by a key of their length and a hash, and held against the
 * octets before a pointer is written. The question is entered when the first other name is written: a hot answer has none. Past
 * DNS_OUT_NAMES suffixes, or 16 KiB, no more are entered, and later names just take more octets. */
#include "core/dns/msg_names.h"
#include "core/dns/octets.h"

#include <endian.h>
#include <string.h>

#define POINTER  0xc000
#define FARTHEST 0x3fff

void dns_out_put(struct dns_out *o, const void *v, size_t n)
{
	if (o->failed || n > o->cap - o->n) {
		o->failed = true;
		return;
	}
	memcpy(o->p + o->n, v, n);
	o->n += n;
}

void dns_out_put16(struct dns_out *o, uint16_t v)
{
	uint8_t b[2];

	dns_set16(b, v);
	dns_out_put(o, b, sizeof(b));
}

void dns_out_put32(struct dns_out *o, uint32_t v)
{
	uint8_t b[4];

	dns_set32(b, v);
	dns_out_put(o, b, sizeof(b));
}

/* `v` is a name or a suffix of one; what stands in the message is our own writing. */
static bool suffix_at(const struct dns_out *o, size_t at, const uint8_t *v)
{
	for (;;) {
		uint8_t c = o->p[at];

		if (c >= POINTER >> 8) {
			at = dns_get16(o->p + at) & FARTHEST;
			continue;
		}
		if (c != *v || memcmp(o->p + at, v, c + 1u) != 0)
			return false;
		if (!c)
			return true;
		at += c + 1u;
		v += c + 1u;
	}
}

bool dns_out_name_at(const struct dns_out *o, size_t at, const struct dns_name *n)
{
	return suffix_at(o, at, n->v);
}

/* The next octets of a label with `len` left, eight at most; zeros behind them. What `n` has room for is read in one go. */
static uint64_t eight_of(const struct dns_name *n, const uint8_t *p, unsigned len)
{
	uint64_t v = 0;

	if (n->v + DNS_NAME_MAX - p < 8) {
		memcpy(&v, p, len);
		return v;
	}
	memcpy(&v, p, 8);
	return len < 8 ? v & htole64((1ull << 8 * len) - 1) : v;
}

/* The keys of all suffixes, `key[i]` of that which begins with `label[i]`. */
static unsigned suffixes(const struct dns_name *n, const uint8_t *label[DNS_LABELS_MAX],
			 uint32_t key[DNS_LABELS_MAX])
{
	unsigned count = dns_name_labels(n, label);
	uint64_t hash = 0;

	for (unsigned i = count; i-- > 0;) {
		for (unsigned c = 0; c <= *label[i]; c += 8) {
			hash = (hash ^ eight_of(n, label[i] + c, *label[i] + 1u - c)) *
			       0x9e3779b97f4a7c15;
			hash ^= hash >> 32;
		}
		key[i] = (uint32_t)hash << 8 | (uint8_t)(n->v + n->n - label[i]);
	}
	return count;
}

static void enter(struct dns_out *o, uint32_t key, size_t at)
{
	if (o->n_names == DNS_OUT_NAMES || at > FARTHEST)
		return;
	o->names[o->n_names].key = key;
	o->names[o->n_names++].at = (uint16_t)at;
}

static void enter_question(struct dns_out *o)
{
	const uint8_t *label[DNS_LABELS_MAX];
	uint32_t key[DNS_LABELS_MAX];
	unsigned count = suffixes(&o->q->name, label, key);

	for (unsigned i = 0; i < count; i++)
		enter(o, key[i], (size_t)(label[i] - o->q->name.v) + DNS_HEADER);
}

/* 0: nowhere. */
static size_t find(const struct dns_out *o, uint32_t key, const uint8_t *v)
{
	for (unsigned i = 0; i < o->n_names; i++)
		if (o->names[i].key == key && suffix_at(o, o->names[i].at, v))
			return o->names[i].at;
	return 0;
}

void dns_out_put_name(struct dns_out *o, const struct dns_name *n, bool compress)
{
	const uint8_t *label[DNS_LABELS_MAX];
	uint32_t key[DNS_LABELS_MAX];
	unsigned count, fresh;
	size_t at = o->n, to = 0;

	if (!o->question_known && o->q->question_len) {
		enter_question(o);
		o->question_known = true;
	}
	count = suffixes(n, label, key);
	for (fresh = 0; fresh < count; fresh++) {
		to = find(o, key[fresh], label[fresh]);
		if (to)
			break;
	}
	if (to && compress) {
		dns_out_put(o, n->v, (size_t)(label[fresh] - n->v));
		dns_out_put16(o, (uint16_t)(POINTER | to));
	} else {
		dns_out_put(o, n->v, n->n);
	}
	for (unsigned i = 0; i < fresh && !o->failed; i++)
		enter(o, key[i], at + (size_t)(label[i] - n->v));
}
