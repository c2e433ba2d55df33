/* SPDX-License-Identifier: Apache-2.0 */
/* Options: one table says what a verb takes; parsing, --help, error texts and the shell's
 * completion come out of it. Values are written into a struct of the verb's own:
 *
 *   struct get_opts { const char *ns; uint8_t all; uint8_t format; };
 *   static const struct opt get_table[] = {
 *       OPT(struct get_opts, ns, 'n', "namespace", OPT_STR, .arg = "NS", .doc = "…"),
 *       OPT(struct get_opts, all, 'A', "all-namespaces", OPT_FLAG, .doc = "…"),
 *       { 0 } };
 *
 * C type by kind: FLAG uint8_t; STR const char *; INT int64_t; ENUM uint8_t (index into
 * `names`, entries NULL are not offered); ADDR struct ipaddr; PREFIX struct prefix; SECONDS
 * double. With .list a LIST() of the C type, in the order given. Defaults are what the struct
 * holds before. */
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "model/schema.h"

enum opt_type { OPT_NONE, OPT_FLAG, OPT_STR, OPT_INT, OPT_ENUM, OPT_ADDR, OPT_PREFIX, OPT_SECONDS };

struct opt {
	const char *name; /* long name without dashes */
	char letter;      /* 0: none */
	uint8_t type;     /* enum opt_type */
	uint8_t list;     /* may be given again and again */
	uint8_t optional; /* the value may be left out: --wait or --wait=5; then `set` tells */
	uint8_t hidden;   /* not in --help */
	uint32_t offset, size;
	int64_t min, max; /* INT; both 0: any */
	const struct names *names;
	const char *arg;      /* placeholder in --help: "NS" */
	const char *doc;      /* one line */
	const char *complete; /* what completion offers: "file", "kind", "lab" or NULL */
};

#define OPT(type_, member, letter_, name_, kind_, ...)                                             \
	{                                                                                          \
		.name = (name_), .letter = (letter_), .type = (kind_),                             \
		.offset = offsetof(type_, member), .size = sizeof(((type_ *)0)->member),           \
		__VA_ARGS__                                                                        \
	}

/* Parses argv[0..argc) by the tables (each ended by a row without name; `global` may be NULL)
 * into `out` and `global_out`. Options and operands may be mixed; after "--" all are operands.
 * Operands are moved to the front of argv; returns how many, or -EINVAL with a usage error.
 * `help` becomes true on -h or --help, and parsing stops. Lists are made in `a`. */
struct opt_set {
	const struct opt *table;
	void *out;
};

int opt_parse(const struct opt_set *sets, size_t n_sets, int argc, char **argv, bool *help,
	      struct arena *a, struct err *e);
/* The table as lines of --help. */
void opt_help(const struct opt *table, struct buf *out);
