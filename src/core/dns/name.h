/* SPDX-License-Identifier: Apache-2.0 */
/* Domain names as messages have them: labels of a length octet and up to 63 others, the root's empty one at the end, 255 octets at
 * most (RFC 1035 3.1). A label may hold any octet (RFC 2181 11); only A to Z and a to z are the same to each other (RFC 4343). No length
 * octet is a letter, so that a whole name is compared and lowered octet by octet. */
#pragma once
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_NAME_MAX   255
#define DNS_LABEL_MAX  63
#define DNS_LABELS_MAX 127  /* without the root */
#define DNS_NAME_TEXT  1008 /* octets, each as \DDD, dots, and the 0 */

/* Without compression. `n` counts the root's octet, so it is 1 or more; what follows in `v` is undefined. */
struct dns_name {
	uint8_t n;
	uint8_t v[DNS_NAME_MAX];
};

/* Reads the name at `*at` of a message of `n` octets and moves `*at` past it. A compression pointer leads to where no octet of the name
 * was read yet, before all of it and behind the header, and a name has 128 of them at most. -EBADMSG: `*at` stays, `out` is undefined. */
int dns_name_read(const uint8_t *msg, size_t n, size_t *at, struct dns_name *out);

/* From the presentation form with \X and \DDD (RFC 1035 5.1); "." is the root, the last dot may be missing. -EINVAL. */
int dns_name_parse(const char *text, struct dns_name *out, struct err *e);
/* With the last dot; what is no letter, digit or plain sign is escaped. Returns `buf`. */
const char *dns_name_text(const struct dns_name *n, char buf[DNS_NAME_TEXT]);

extern const struct dns_name dns_root;

/* Append below the root: one label, or all of another name. False: it would be too long, or the label is empty; `n` stays. */
bool dns_name_put(struct dns_name *n, const void *label, size_t len);
bool dns_name_join(struct dns_name *n, const struct dns_name *tail);

void dns_name_copy(struct dns_name *to, const struct dns_name *from); /* only what is in use */
void dns_name_lower(struct dns_name *n);
bool dns_name_equal(const struct dns_name *a, const struct dns_name *b);
bool dns_name_under(const struct dns_name *n, const struct dns_name *zone); /* at or below */
/* Pointers to length octets within `n`, leftmost first; returns how many, without the root. */
unsigned dns_name_labels(const struct dns_name *n, const uint8_t *label[DNS_LABELS_MAX]);
