// SPDX-License-Identifier: Apache-2.0
/* journal: see journal.h. A bad entry is judged by what stands behind it: only an intact entry
 * that calls the bad one durable makes it damage. To find one the reader looks for the mark at
 * every byte; the checksum makes a mark inside of a string harmless. */
#include "core/ipam/journal.h"
#include "base/crc.h"
#include "model/record.h"
#include "model/table.h"

#include <errno.h>
#include <string.h>

#define MARK  0xf1a1d0e5u
#define HEAD  12 /* mark, length, checksum */
#define FIXED 16 /* number, durable */

static const char *const attach_names_array[] = { "routed", "bridge" };
static const struct names attach_names = { attach_names_array, 2 };

typedef struct ipam_attachment attachment;
static const struct field attachment_fields[] = {
	FIELD(attachment, id, 1, F_I64),
	FIELD(attachment, attach, 2, F_ENUM, .names = &attach_names),
	FIELD(attachment, ipam_only, 3, F_BOOL),
	FIELD(attachment, network, 4, F_STR),
	FIELD(attachment, container, 5, F_STR),
	FIELD(attachment, ifname, 6, F_STR),
	FIELD(attachment, pod_namespace, 7, F_STR),
	FIELD(attachment, pod_name, 8, F_STR),
	FIELD(attachment, pod_uid, 9, F_STR),
	FIELD(attachment, netns, 10, F_STR),
	FIELD(attachment, hostif, 11, F_STR),
	FIELD(attachment, mac, 12, F_MAC),
	FIELD(attachment, ifindex, 13, F_I64),
	FIELD(attachment, since, 14, F_I64),
	FIELD(attachment, addrs, 15, F_ADDR, .flags = FF_LIST),
	FIELD(attachment, ports, 16, F_OBJ, .flags = FF_LIST, .sub = &port_mapping_schema),
};
static const SCHEMA(attachment_schema, "attachment", attachment, attachment_fields);

static const struct field entry_fields[] = {
	FIELD(struct journal_entry, op, 1, F_I64),
	FIELD(struct journal_entry, time, 2, F_I64),
	FIELD(struct journal_entry, id, 3, F_I64),
	FIELD(struct journal_entry, ifindex, 4, F_I64),
	FIELD(struct journal_entry, rev, 5, F_I64),
	FIELD(struct journal_entry, node, 6, F_STR),
	FIELD(struct journal_entry, handle, 7, F_STR),
	FIELD(struct journal_entry, boot, 8, F_STR),
	FIELD(struct journal_entry, block, 9, F_STR),
	FIELD(struct journal_entry, addr, 10, F_ADDR),
	FIELD(struct journal_entry, cidr, 11, F_PREFIX),
	FIELD(struct journal_entry, deletes, 12, F_BOOL),
	FIELD(struct journal_entry, at, 13, F_OBJ, .sub = &attachment_schema),
};
static const SCHEMA(entry_schema, "journal entry", struct journal_entry, entry_fields);

static void poke_u32(char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (char)(v >> (24 - 8 * i));
}

int journal_put(struct buf *out, struct journal_end *end, const struct journal_entry *j,
		struct err *e)
{
	size_t was = out->n, start, rest;
	int r;

	if (!end->seq)
		buf_puts(out, JOURNAL_MAGIC);
	start = out->n;
	put_u32(out, MARK);
	put_u32(out, 0);
	put_u32(out, 0);
	put_u64(out, end->seq + 1);
	put_u64(out, end->durable);
	r = record_body(out, &entry_schema, j, e);
	if (!r && out->failed)
		r = err_set(e, -ENOMEM, "no memory");
	rest = out->n - start - HEAD;
	if (!r && rest > JOURNAL_MAX)
		r = err_set(e, -EMSGSIZE, "a journal entry of %zu bytes, the limit is %d", rest,
			    JOURNAL_MAX);
	if (r) {
		if (!out->failed)
			out->n = was;
		return r;
	}
	poke_u32(out->v + start + 4, (uint32_t)rest);
	poke_u32(out->v + start + 8, crc32_add(0, out->v + start + HEAD, rest));
	end->seq++;
	return 0;
}

void journal_open(struct journal_reader *r, const void *p, size_t n)
{
	*r = (struct journal_reader){ .p = p, .n = n };
}

/* Is there an intact entry at `pos`? Its fields are left in `w`. Returns its whole length or 0. */
static size_t frame_at(const struct journal_reader *r, size_t pos, struct journal_end *end,
		       struct wire *w)
{
	uint32_t len, crc;

	*w = wire_from(r->p + pos, r->n - pos);
	if (wire_u32(w) != MARK)
		return 0;
	len = wire_u32(w);
	crc = wire_u32(w);
	if (w->bad || len < FIXED || len > JOURNAL_MAX || wire_left(w) < len)
		return 0;
	if (crc32_add(0, w->p, len) != crc)
		return 0;
	*w = wire_sub(w, len);
	end->seq = wire_u64(w);
	end->durable = wire_u64(w);
	return HEAD + len;
}

/* Nothing readable at r->pos: is it the tail that never reached the disk? */
static int judge_tail(const struct journal_reader *r, struct err *e)
{
	for (size_t i = r->pos; i < r->n; i++) {
		const uint8_t *m = memchr(r->p + i, MARK >> 24, r->n - i);
		struct journal_end end;
		struct wire w;

		if (!m)
			break;
		i = (size_t)(m - r->p);
		if (frame_at(r, i, &end, &w) && end.durable > r->end.seq)
			return err_set(e, -EBADMSG,
				       "journal: damaged at byte %zu: entry %llu is lost, though "
				       "entry %llu at byte %zu was written after it was on disk",
				       r->pos, (unsigned long long)r->end.seq + 1,
				       (unsigned long long)end.seq, i);
	}
	return 0;
}

static int read_magic(struct journal_reader *r, struct err *e)
{
	size_t len = strlen(JOURNAL_MAGIC), zeros = 0;
	int rc;

	if (r->n < len && !memcmp(r->p, JOURNAL_MAGIC, r->n))
		return 0;
	if (r->n >= len && !memcmp(r->p, JOURNAL_MAGIC, len)) {
		r->pos = len;
		r->begun = true;
		return 1;
	}
	rc = judge_tail(r, e);
	if (rc)
		return rc;
	/* A first write that got its length but not its content. Anything else is a stranger. */
	while (zeros < len && zeros < r->n && !r->p[zeros])
		zeros++;
	if (zeros == len || zeros == r->n)
		return 0;
	return err_set(e, -EBADMSG, "journal: does not begin as a fairlead IPAM journal");
}

int journal_next(struct journal_reader *r, struct journal_entry *j, struct arena *a, struct err *e)
{
	struct journal_entry out = { 0 };
	struct journal_end end;
	struct wire w;
	size_t len;
	int rc;

	if (!r->n)
		return 0;
	if (!r->begun) {
		rc = read_magic(r, e);
		if (rc <= 0)
			return rc;
	}
	if (r->pos == r->n)
		return 0;
	len = frame_at(r, r->pos, &end, &w);
	if (!len || end.seq != r->end.seq + 1)
		return judge_tail(r, e);
	if (record_decode(&w, &entry_schema, &out, a, e))
		return err_wrap(e, "journal: entry %llu at byte %zu", (unsigned long long)end.seq,
				r->pos);
	if (out.op <= JOURNAL_NONE || out.op >= JOURNAL_OPS)
		return err_set(e, -EBADMSG,
			       "journal: entry %llu at byte %zu: operation %lld is not known to "
			       "this version",
			       (unsigned long long)end.seq, r->pos, (long long)out.op);
	r->pos += len;
	r->end = (struct journal_end){ end.seq, end.seq };
	*j = out;
	return 1;
}
