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
#include "base/buf.h"
#include "base/err.h"
#include "model/schema.h"

enum opt_type { OPT_NONE, OPT_FLAG, OPT_STR, OPT_INT, OPT_ENUM, OPT_ADDR, OPT_PREFIX, OPT_SECONDS };

struct opt {
	const char *name; /* long name without dashes */
	char letter;      /* 0: none */
	uint8_t type;     /* enum opt_type */
	uint8_t list;     /* may be given again and again */
	uint8_t optional; /* --wait or --wait=5: without a value the struct keeps what it holds */
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

/* A table, ended by a row without name, and the struct that it fills. */
struct opt_set {
	const struct opt *table;
	void *out;
};

struct opt_args {
	int argc;
	char **argv;
	bool head; /* stop at the first operand; without it, operands and options may be mixed */
	bool help; /* out: -h or --help was there, and parsing ended */
};

/* Parses by all the sets, the first that knows an option takes it. Operands are moved to the
 * front of argv; returns how many (with `head`: the index of the first operand), or -EINVAL
 * with a usage error. After "--" all are operands. Lists are made in `a`. */
int opt_parse(struct opt_args *args, const struct opt_set *sets, size_t n_sets, struct arena *a,
	      struct err *e);
/* The table as lines of --help. */
void opt_help(const struct opt *table, struct buf *out);
