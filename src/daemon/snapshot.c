// SPDX-License-Identifier: Apache-2.0
/* snapshot: see snapshot.h. */
#include "daemon/snapshot.h"
#include "base/crc.h"
#include "model/record.h"
#include "model/table.h"

#include <errno.h>
#include <string.h>

#define MAGIC "FLWATCH1\n"
#define TAIL  12 /* revision, checksum */

static const struct field head_fields[] = {
	FIELD(struct snapshot_head, store, 1, F_STR),
	FIELD(struct snapshot_head, node, 2, F_STR),
	FIELD(struct snapshot_head, time, 3, F_I64),
};
static const SCHEMA(head_schema, "snapshot", struct snapshot_head, head_fields);

int snapshot_begin(struct buf *out, const struct snapshot_head *h, struct err *e)
{
	struct buf head = { 0 };
	int rc = record_body(&head, &head_schema, h, e);

	if (!rc) {
		buf_puts(out, MAGIC);
		put_u32(out, (uint32_t)head.n);
		buf_put(out, head.v, head.n);
	}
	buf_fini(&head);
	if (!rc && out->failed)
		rc = err_set(e, -ENOMEM, "no memory");
	return rc;
}

void snapshot_end(struct buf *out, uint32_t crc, uint64_t revision)
{
	put_u64(out, revision);
	if (!out->failed)
		put_u32(out, crc32_add(crc, out->v, out->n));
}

int snapshot_open(struct snapshot *s, const void *p, size_t n, struct arena *a, struct err *e)
{
	size_t magic = strlen(MAGIC), body;
	struct wire w = wire_from(p, n), head;
	struct snapshot out = { 0 };

	if (n < magic || memcmp(p, MAGIC, magic) != 0)
		return err_set(e, -EBADMSG, "it does not begin as a snapshot of this version");
	if (n < magic + 4 + TAIL)
		return err_set(e, -EBADMSG, "it ends too soon");
	body = n - 4;
	w = wire_from((const uint8_t *)p + body, 4);
	if (wire_u32(&w) != crc32_add(0, p, body))
		return err_set(e, -EBADMSG, "its checksum is wrong");
	w = wire_from((const uint8_t *)p + magic, body - magic - 8);
	head = wire_sub(&w, wire_u32(&w));
	if (head.bad || record_decode(&head, &head_schema, &out.head, a, e))
		return err_set(e, -EBADMSG, "its head cannot be read");
	out.frames = w;
	w = wire_from((const uint8_t *)p + n - TAIL, 8);
	out.revision = wire_u64(&w);
	*s = out;
	return 0;
}

int snapshot_next(struct snapshot *s, unsigned *type, struct wire *body, struct err *e)
{
	size_t left = wire_left(&s->frames);
	int n;

	if (!left)
		return 0;
	n = record_next(s->frames.p, left, type, body, e);
	if (n <= 0)
		return err_set(e, -EBADMSG, "a record of it is no record");
	wire_bytes(&s->frames, (size_t)n);
	return 1;
}
