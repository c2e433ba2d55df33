/* SPDX-License-Identifier: Apache-2.0 */
/* The two directions of the record codec, private to src/model. The format is in record.h.
 * Inside a list, and for a field of w = 1, an element is its length and its bytes; the bytes
 * of a number are its varint. */
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/wire.h"
#include "model/schema.h"

/* Appends the fields of `body`. Errors name the field, not the record. */
int encode_struct(struct buf *out, const struct schema *s, const void *body, struct err *e);
/* Reads fields until `w` is empty into the zeroed `out`. */
int decode_struct(struct wire *w, const struct schema *s, void *out, struct arena *a,
		  struct err *e);

/* Does the field travel as w = 0? */
bool codec_is_varint(const struct field *f);
