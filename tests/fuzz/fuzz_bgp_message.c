/* SPDX-License-Identifier: Apache-2.0 */
/* One BGP message: a fault has a code and a text that ends; what is accepted is written back to one that reads the same. The first octet
 * says what the session agreed on.
 * Parser: core/bgp/msg.c core/bgp/open.c core/bgp/update.c core/bgp/update_attrs.c core/bgp/path.c */
#include "core/bgp/msg.h"
#include "core/bgp/path.h"
#include "core/bgp/update.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void check_fault(const struct bgp_fault *f)
{
	assert(f->code && f->data_len <= BGP_FAULT_DATA && memchr(f->text, 0, sizeof(f->text)));
	assert(*bgp_code_name(f->code) && bgp_sub_name(f->code, f->sub));
}

static void check_open(const uint8_t *body, size_t n)
{
	struct bgp_open o, again;
	struct bgp_fault f = { 0 };
	struct buf b = { 0 };

	if (bgp_open_decode(body, n, &o, &f)) {
		check_fault(&f);
		return;
	}
	bgp_open_put(&b, &o);
	assert(bgp_message_next((const uint8_t *)b.v, b.n, &f) == (int)b.n);
	/* Two octets that stand for nothing are not said again. */
	if (!bgp_open_decode((const uint8_t *)b.v + BGP_HEADER, b.n - BGP_HEADER, &again, &f))
		assert(again.as == o.as && again.id == o.id && again.hold_time == o.hold_time &&
		       again.as4 == o.as4);
	buf_fini(&b);
}

/* What is asked of a path, and one that is longer by an AS at its front. */
static void check_path(const struct bgp_attrs *a, struct arena *ar)
{
	struct bgp_draft d = bgp_draft_of(a);
	const uint32_t as = 65009;
	struct bgp_store *s = bgp_store_new();
	uint32_t first = bgp_path_first(a);
	struct bgp_attrs *longer;

	assert(!first || bgp_path_has(a, first));
	assert(!bgp_path_prepend(&d, &as, 1, ar));
	longer = bgp_store_take(s, &d);
	assert(bgp_path_first(longer) == as && bgp_path_has(longer, as));
	assert(bgp_path_length(longer) == bgp_path_length(a) + 1);
	bgp_store_drop(s, longer);
	bgp_store_free(s);
}

/* What one set of attributes says must not change on the way. */
static void check_round(const struct bgp_routes *r, enum bgp_family family,
			const struct bgp_link *l)
{
	struct bgp_store *s = bgp_store_new();
	struct bgp_attrs *a = bgp_store_take(s, &r->attrs), *same;
	struct bgp_link from = *l;
	struct bgp_update u;
	struct buf b = { 0 };
	struct arena ar;
	struct bgp_draft d = bgp_draft_of(a);
	int messages = bgp_update_put(&b, family, l, &d, r->reach, 1);

	arena_init(&ar, 0);
	if (messages == 1) {
		assert(!bgp_update_decode((const uint8_t *)b.v + BGP_HEADER, b.n - BGP_HEADER,
					  &from, &ar, &u));
		assert(u.verdict == BGP_OK && u.family[family].n_reach == 1);
		assert(prefix_eq(&u.family[family].reach[0], &r->reach[0]));
		same = bgp_store_take(s, &u.family[family].attrs);
		assert(same == a || !l->as4); /* AS4_PATH may have said less than it replaced */
		bgp_store_drop(s, same);
	}
	buf_clear(&b);
	bgp_path_str(a, &b);
	bgp_communities_str(a, &b);
	buf_fini(&b);
	check_path(a, &ar);
	arena_fini(&ar);
	bgp_store_drop(s, a);
	assert(!bgp_store_count(s));
	bgp_store_free(s);
}

static void check_update(const uint8_t *body, size_t n, const struct bgp_link *l)
{
	struct bgp_update u;
	struct arena ar;

	arena_init(&ar, 0);
	assert(!bgp_update_decode(body, n, l, &ar, &u));
	if (u.verdict != BGP_OK)
		check_fault(&u.fault);
	for (unsigned f = 0; f < BGP_FAMILIES && u.verdict != BGP_RESET; f++) {
		const struct bgp_routes *r = &u.family[f];

		assert(!r->n_reach || (u.verdict == BGP_OK && l->family[f]));
		for (uint32_t i = 0; i < r->n_reach; i++) {
			struct prefix p = prefix_mask(&r->reach[i]);

			assert(prefix_eq(&p, &r->reach[i]));
		}
		if (r->n_reach)
			check_round(r, f, l);
	}
	arena_fini(&ar);
}

/* The peer's last words, said again, are the same; so is a reason of ours that begins as they do, as far as there is room. */
static void check_notification(const uint8_t *body, size_t n)
{
	struct bgp_fault f, again, ours = { 0 };
	struct buf b = { 0 };
	size_t begun;
	char why[512];

	assert(!bgp_notification_decode(body, n, &f));
	bgp_notification_put(&b, &f);
	assert(bgp_message_next((const uint8_t *)b.v, b.n, &again) == (int)b.n);
	assert(!bgp_notification_decode((const uint8_t *)b.v + BGP_HEADER, b.n - BGP_HEADER,
					&again));
	assert(again.code == f.code && again.sub == f.sub && again.data_len == f.data_len);
	assert(!memcmp(again.data, f.data, f.data_len) && !strcmp(again.text, f.text));

	n = n - 2 < sizeof(why) - 1 ? n - 2 : sizeof(why) - 1;
	memcpy(why, body + 2, n);
	why[n] = 0;
	begun = b.n;
	bgp_cease(&ours, body[1], why);
	bgp_notification_put(&b, &ours);
	assert(bgp_message_next((const uint8_t *)b.v + begun, b.n - begun, &again) ==
	       (int)(b.n - begun));
	check_fault(&ours);
	assert(!ours.data_len ||
	       (ours.data[0] == ours.data_len - 1 && !memcmp(ours.data + 1, why, ours.data[0])));
	buf_fini(&b);
}

static void check_refresh(const uint8_t *body, size_t n)
{
	struct bgp_fault f = { 0 };
	struct buf b = { 0 };
	int family = bgp_refresh_decode(body, n, &f);

	if (family < -1) {
		check_fault(&f);
	} else if (family >= 0) {
		bgp_refresh_put(&b, family);
		assert(bgp_message_next((const uint8_t *)b.v, b.n, &f) == (int)b.n);
		assert(b.n - BGP_HEADER == n && !memcmp(b.v + BGP_HEADER, body, n));
	}
	buf_fini(&b);
}

static void check_keepalive(const uint8_t *m, size_t n)
{
	struct buf b = { 0 };

	bgp_keepalive_put(&b);
	assert(b.n == n && !memcmp(b.v, m, n));
	buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bgp_link l = { .peer_as = 65001 };
	struct bgp_fault f = { 0 };
	const uint8_t *m = data + 1;
	int len;

	if (!size)
		return 0;
	l.as4 = data[0] & 1;
	l.ebgp = data[0] & 2;
	l.family[BGP_IPV4] = data[0] & 4;
	l.family[BGP_IPV6] = data[0] & 8;
	len = bgp_message_next(m, size - 1, &f);
	assert(len <= BGP_MESSAGE && len <= (int)size - 1);
	if (len < 0)
		check_fault(&f);
	if (len <= 0)
		return 0;
	if (m[18] == BGP_OPEN)
		check_open(m + BGP_HEADER, (size_t)len - BGP_HEADER);
	else if (m[18] == BGP_UPDATE)
		check_update(m + BGP_HEADER, (size_t)len - BGP_HEADER, &l);
	else if (m[18] == BGP_NOTIFICATION)
		check_notification(m + BGP_HEADER, (size_t)len - BGP_HEADER);
	else if (m[18] == BGP_REFRESH)
		check_refresh(m + BGP_HEADER, (size_t)len - BGP_HEADER);
	else
		check_keepalive(m, (size_t)len);
	return 0;
}
