/* SPDX-License-Identifier: Apache-2.0 */
/* Two hashes. FNV-1a, 64 bits: names and places that follow from texts, on every node and in every build alike.
 * It is no secret and no checksum: whoever chooses the text can choose the hash. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define FNV64_START 14695981039346656037u /* the hash of nothing */

/* Of what came before and these bytes. */
uint64_t fnv64(uint64_t h, const void *p, size_t n);
/* The same of a text and its end, a byte that no UTF-8 holds, so that "a","bc" and "ab","c" differ.
 * NULL is as "". */
uint64_t fnv64_text(uint64_t h, const char *s);

/* SipHash-2-4: for tables whose keys strangers choose. With a key that they do not know they cannot make them collide. */
uint64_t siphash(const uint64_t key[2], const void *p, size_t n);
