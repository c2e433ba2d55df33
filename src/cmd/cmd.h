/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of `fairlead`. A verb is one const struct cmd in a file of its own, listed in
 * verbs.c. Exit codes: 0 ok, 1 negative answer, 2 usage, 3 partly, unreachable or timed out. */
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "cmd/opt.h"
#include "store/store.h"

#include <stdio.h>

enum cmd_exit { CMD_OK = 0, CMD_NO = 1, CMD_USAGE = 2, CMD_PARTLY = 3 };

#define LAB_RUN "/run/fairlead-lab" /* LAB_RUN/NAME/store holds the URL of a running lab's store */

struct cmd_ctx {
	const char *store;   /* --store, or NULL */
	const char *lab;     /* --lab, or NULL */
	struct arena *arena; /* freed after run() */
	const struct cmd *cmd;
	const char *path; /* the verb as typed: "lab up" */
};

struct cmd {
	const char *name;
	const char *args;    /* operands in the usage line: "KIND [NAME]" */
	const char *summary; /* one line in the list of verbs */
	const char *help;    /* paragraphs and examples */
	const char
		*complete; /* what completion offers for operands: "kind", "file", "shell", NULL */
	const struct opt *opts;
	size_t opts_size;         /* of the struct that opts fill, zeroed before `init` */
	void (*init)(void *opts); /* defaults other than zero; may be NULL */
	/* Returns the exit code. Errors are reported with cmd_fail() and friends. */
	int (*run)(struct cmd_ctx *ctx, const void *opts, int argc, char **argv);
	const struct cmd *const *subs; /* NULL-terminated, instead of run: "lab up" */
};

/* verbs.c: NULL-terminated. */
extern const struct cmd *const cmd_verbs[];

/* "fairlead: text" on standard error; returns the exit code given, or that of the error:
 * -EINVAL and -ENOTSUP 2; -ETIMEDOUT, -ECONNREFUSED, -ENOENT of a socket and the like 3; else 1. */
int cmd_error(int exit_code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int cmd_fail(const struct err *e);
/* A usage error: the text, and where to read more. Returns CMD_USAGE. */
int cmd_usage(const struct cmd_ctx *ctx, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* The same, with the kinds that there are. */
int cmd_unknown_kind(struct cmd_ctx *ctx, const char *word);

/* The store's URL: --store, --lab, FAIRLEAD_STORE, or the only running lab. -EINVAL when there
 * is none or more than one lab. The text is in ctx->arena. */
int cmd_store_url(struct cmd_ctx *ctx, const char **url, struct err *e);
/* Opens it; on failure reports and returns the exit code, else 0. */
int cmd_store_open(struct cmd_ctx *ctx, unsigned flags, struct store **out);

/* "NS/NAME", or "NAME" in namespace `ns` (NULL: "default"). */
int cmd_split_name(struct cmd_ctx *ctx, const char *text, const char *ns, const char **out_ns,
		   const char **out_name, struct err *e);
