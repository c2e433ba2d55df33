/* SPDX-License-Identifier: Apache-2.0 */
/* The file of `fairlead policy test`: a YAML (or JSON) list of expectations, in one document or
 * several. */
#pragma once
#include "base/arena.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct expectation {
	const char *from, *to; /* as written */
	uint16_t port;         /* 0: of a protocol without ports */
	uint8_t proto;         /* enum protocol; PROTO_NONE: icmp */
	bool allow;
};

struct expectations {
	struct expectation *v;
	uint32_t n;
};

/* In `a`. Errors say "expectation 3: port: …", or "LINE: …" of what is no YAML. */
int expectations_parse(const char *text, size_t n, struct arena *a, struct expectations *out,
		       struct err *e);
