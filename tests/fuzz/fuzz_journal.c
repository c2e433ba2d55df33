/* SPDX-License-Identifier: Apache-2.0 */
/* A journal of any bytes: replayed or refused with a text. What was replayed is written anew as
 * a snapshot, which replays to a snapshot of the same bytes. Then once more with all checksums
 * put right, so that what is inside is reached. Changes that are appended read back the same too.
 * Parser: core/ipam/journal.c core/ipam/apply.c */
#include "core/ipam/ipam.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Changes of a live book, each journalled behind what is there: boot, the first half of the attachments
 * ends in two steps, the others in one, one more comes, with an id that none had. */
static void change(struct ipam *s, struct buf *journal)
{
	struct ipam_attachment fresh = { .network = "net", .container = "fresh", .ifname = "eth0" };
	struct ipam_turn t = { .now = 2000, .journal = journal };
	struct err e = { .code = 0 };
	size_t n;
	const struct ipam_attachment *const *all = ipam_all(s, &n);
	uint64_t *ids = calloc(n + 1, sizeof(*ids)), last = 0;

	for (size_t i = 0; ids && i < n; i++)
		last = ids[i] = all[i]->id;
	assert(!ipam_boot(s, "b00t", &t, &e) && !strcmp(ipam_boot_id(s), "b00t"));
	for (size_t i = 0; ids && i < n; i++) {
		bool live = ipam_by_id(s, ids[i])->state == IPAM_LIVE;

		if (i < n / 2)
			assert(ipam_dying(s, ids[i], 7, &t, &e) == (live ? 0 : -ENOENT));
		assert(!ipam_release(s, ids[i], &t, &e) && !ipam_by_id(s, ids[i]));
		assert(ipam_release(s, ids[i], &t, &e) == -ENOENT);
	}
	if (!ipam_adopt(s, &fresh, &t, &e)) {
		assert(ipam_find(s, "net", "fresh", "eth0")->id > last);
		assert(ipam_adopt(s, &fresh, &t, &e) == -EEXIST);
	}
	ipam_synced(s);
	free(ids);
}

/* The changes, read back from behind the journal that they were appended to. */
static void append(struct ipam *s, const uint8_t *data, size_t good)
{
	struct buf file = { .v = NULL }, one = { .v = NULL }, two = { .v = NULL };
	struct ipam *t = ipam_new("n1", IPAM_COOLDOWN_MS);
	struct err e = { .code = 0 };
	size_t again;

	buf_put(&file, data, good);
	change(s, &file);
	assert(!ipam_replay(t, file.v, file.n, &again, &e) && again == file.n);
	assert(!ipam_snapshot(s, 3000, &one, &e) && !ipam_snapshot(t, 3000, &two, &e));
	assert(one.n == two.n && !memcmp(one.v, two.v, one.n));
	buf_fini(&file);
	buf_fini(&one);
	buf_fini(&two);
	ipam_free(t);
}

static void replay(const uint8_t *data, size_t size)
{
	struct ipam *s = ipam_new("n1", IPAM_COOLDOWN_MS), *t = ipam_new("n1", IPAM_COOLDOWN_MS);
	struct buf one = { .v = NULL }, two = { .v = NULL };
	struct err e = { .code = 0 };
	size_t good = 0;

	if (ipam_replay(s, data, size, &good, &e)) {
		assert(e.code < 0 && e.text[0]);
	} else {
		assert(good <= size);
		if (!ipam_snapshot(s, 1000, &one, &e)) {
			assert(!ipam_replay(t, one.v, one.n, &good, &e));
			assert(good == one.n);
			assert(!ipam_snapshot(t, 1000, &two, &e));
			assert(one.n == two.n && !memcmp(one.v, two.v, one.n));
		}
	}
	buf_fini(&one);
	buf_fini(&two);
	ipam_free(s);
	ipam_free(t);
	s = ipam_new("n1", IPAM_COOLDOWN_MS);
	if (!ipam_replay(s, data, size, &good, &e))
		append(s, data, good);
	ipam_free(s);
}

static uint32_t crc32(const uint8_t *p, size_t n)
{
	uint32_t c = ~0u;

	while (n--) {
		c ^= *p++;
		for (int i = 0; i < 8; i++)
			c = c >> 1 ^ (c & 1 ? 0xedb88320u : 0);
	}
	return ~c;
}

static void put_right(uint8_t *p, size_t n)
{
	static const uint8_t mark[4] = { 0xf1, 0xa1, 0xd0, 0xe5 };

	for (size_t i = 0; i + 12 <= n; i++) {
		size_t len;
		uint32_t crc;

		if (memcmp(p + i, mark, 4) != 0)
			continue;
		len = (size_t)p[i + 6] << 8 | p[i + 7];
		if (p[i + 4] || p[i + 5] || len > n - i - 12)
			continue;
		crc = crc32(p + i + 12, len);
		for (int k = 0; k < 4; k++)
			p[i + 8 + (size_t)k] = (uint8_t)(crc >> (24 - 8 * k));
		i += 11 + len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + 1);

	replay(data, size);
	if (!copy)
		return 0;
	if (size)
		memcpy(copy, data, size);
	put_right(copy, size);
	replay(copy, size);
	free(copy);
	return 0;
}
