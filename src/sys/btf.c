// SPDX-License-Identifier: Apache-2.0
/* btf: see btf.h; the format is Documentation/bpf/btf.rst. Types are numbered from 1 in the order in which
 * they stand and have no index, so each question walks through all of them: some milliseconds, asked a
 * few times per trace. */
#include "sys/btf.h"
#include "sys/file.h"

#include <errno.h>
#include <linux/btf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX (64u << 20)

struct btf {
	struct buf file; /* what btf_open() read */
	const uint8_t *types, *strings;
	size_t n_types, n_strings;
};

/* ---- reading */

int btf_parse(const uint8_t *v, size_t n, struct btf **out, struct err *e)
{
	struct btf_header h;
	struct btf *b;

	if (n >= sizeof(h))
		memcpy(&h, v, sizeof(h));
	if (n < sizeof(h) || h.magic != BTF_MAGIC || h.hdr_len < sizeof(h) || h.hdr_len > n)
		return err_set(e, -EBADMSG, "no BTF");
	n -= h.hdr_len;
	if (h.type_off > n || h.type_len > n - h.type_off || h.str_off > n ||
	    h.str_len > n - h.str_off || !h.str_len)
		return err_set(e, -EBADMSG, "BTF is cut short");
	v += h.hdr_len;
	if (v[h.str_off + h.str_len - 1])
		return err_set(e, -EBADMSG, "BTF's last name does not end");
	b = calloc(1, sizeof(*b));
	if (!b)
		return err_sys(e, -ENOMEM, "BTF");
	b->types = v + h.type_off;
	b->n_types = h.type_len;
	b->strings = v + h.str_off;
	b->n_strings = h.str_len;
	*out = b;
	return 0;
}

int btf_open(const char *path, struct btf **out, struct err *e)
{
	struct buf file = { 0 };
	int rc = file_read(path, FILE_MAX, &file, e);

	if (!rc)
		rc = btf_parse((const uint8_t *)file.v, file.n, out, e);
	if (rc)
		buf_fini(&file);
	else
		(*out)->file = file;
	return rc;
}

void btf_close(struct btf *b)
{
	if (b)
		buf_fini(&b->file);
	free(b);
}

/* ---- types */

/* One type, and what follows its head, which is whole. */
struct type {
	struct btf_type head;
	const uint8_t *rest;
	uint32_t id;
};

static unsigned kind_of(const struct type *t)
{
	return BTF_INFO_KIND(t->head.info);
}

/* Bytes behind the head; 0 and false: of a kind that is not known, so that nothing behind it is. */
static bool rest_of(const struct btf_type *t, size_t *n)
{
	size_t v = BTF_INFO_VLEN(t->info);

	switch (BTF_INFO_KIND(t->info)) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG:
		*n = 4;
		return true;
	case BTF_KIND_ARRAY:
		*n = sizeof(struct btf_array);
		return true;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
	case BTF_KIND_DATASEC:
	case BTF_KIND_ENUM64:
		*n = v * 12;
		return true;
	case BTF_KIND_ENUM:
	case BTF_KIND_FUNC_PROTO:
		*n = v * 8;
		return true;
	case BTF_KIND_PTR:
	case BTF_KIND_FWD:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_FUNC:
	case BTF_KIND_FLOAT:
	case BTF_KIND_TYPE_TAG:
		*n = 0;
		return true;
	default:
		return false;
	}
}

static const char *string_at(const struct btf *b, uint32_t off)
{
	return off < b->n_strings ? (const char *)b->strings + off : "";
}

/* The next type; begin with *off and t->id 0. */
static bool next(const struct btf *b, size_t *off, struct type *t)
{
	size_t rest;

	if (b->n_types - *off < sizeof(t->head))
		return false;
	memcpy(&t->head, b->types + *off, sizeof(t->head));
	*off += sizeof(t->head);
	if (!rest_of(&t->head, &rest) || rest > b->n_types - *off)
		return false;
	t->rest = b->types + *off;
	*off += rest;
	t->id++;
	return true;
}

static bool find(const struct btf *b, unsigned kind, const char *name, struct type *t)
{
	size_t off = 0;

	t->id = 0;
	while (next(b, &off, t))
		if (kind_of(t) == kind && !strcmp(string_at(b, t->head.name_off), name))
			return true;
	return false;
}

static bool find_id(const struct btf *b, uint32_t id, struct type *t)
{
	size_t off = 0;

	t->id = 0;
	while (t->id != id && next(b, &off, t))
		;
	return id && t->id == id;
}

/* ---- answers */

/* For tracepoint X there is `typedef void (*btf_trace_X)(void *, ARGS...)`. */
int btf_tracepoint_args(const struct btf *b, const char *name)
{
	char typedef_name[128];
	struct type t;

	snprintf(typedef_name, sizeof(typedef_name), "btf_trace_%s", name);
	if (!find(b, BTF_KIND_TYPEDEF, typedef_name, &t) || !find_id(b, t.head.type, &t) ||
	    kind_of(&t) != BTF_KIND_PTR || !find_id(b, t.head.type, &t) ||
	    kind_of(&t) != BTF_KIND_FUNC_PROTO || !BTF_INFO_VLEN(t.head.info))
		return -ENOENT;
	return (int)BTF_INFO_VLEN(t.head.info) - 1;
}

int btf_enum(const struct btf *b, const char *name,
	     void (*fn)(void *arg, const char *name, uint32_t value), void *arg)
{
	struct btf_enum v;
	struct type t;

	if (!find(b, BTF_KIND_ENUM, name, &t))
		return -ENOENT;
	for (unsigned i = 0; i < BTF_INFO_VLEN(t.head.info); i++) {
		memcpy(&v, t.rest + i * sizeof(v), sizeof(v));
		fn(arg, string_at(b, v.name_off), (uint32_t)v.val);
	}
	return (int)BTF_INFO_VLEN(t.head.info);
}
