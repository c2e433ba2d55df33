// SPDX-License-Identifier: Apache-2.0
/* What every verb needs: errors with their exit codes, and the store it is about. */
#include "cmd/cmd.h"

#include "model/cluster.h"
#include "sys/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int cmd_error(int exit_code, const char *fmt, ...)
{
	char *text;
	va_list ap;
	int n;

	fflush(stdout);
	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		abort();
	/* What others wrote must not reach the terminal as a command. */
	for (char *p = text; *p; p++)
		if (((unsigned char)*p < 0x20 && *p != '\n' && *p != '\t') || *p == 0x7f)
			*p = '?';
	fprintf(stderr, "fairlead: %s\n", text);
	free(text);
	return exit_code;
}

static int exit_of(int code)
{
	switch (-code) {
	case EINVAL:
	case ENOTSUP:
		return CMD_USAGE;
	case ETIMEDOUT:
	case ECONNREFUSED:
	case ECONNRESET:
	case EPIPE:
	case EHOSTUNREACH:
	case ENETUNREACH:
		return CMD_PARTLY;
	default: /* errno is not ours */
		return CMD_NO;
	}
}

int cmd_fail(const struct err *e)
{
	return cmd_error(exit_of(e->code), "%s", e->text);
}

int cmd_usage(const struct cmd_ctx *ctx, const char *fmt, ...)
{
	char text[ERR_TEXT];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return cmd_error(CMD_USAGE, "%s%s%s\nfairlead %s%s--help shows how it is used",
			 ctx->path ? ctx->path : "", ctx->path ? ": " : "", text,
			 ctx->path ? ctx->path : "", ctx->path ? " " : "");
}

int cmd_unknown_kind(struct cmd_ctx *ctx, const char *word)
{
	const char *all = "";

	for (unsigned i = 0; i < KIND_COUNT; i++)
		if (kind_by_id(i))
			all = arena_printf(ctx->arena, "%s%s%s", all, *all ? ", " : "",
					   kind_by_id(i)->plural);
	return cmd_usage(ctx, "unknown kind \"%s\"; there are: %s", word, all);
}

static int read_lab(struct cmd_ctx *ctx, const char *lab, const char **url, struct err *e)
{
	struct buf text = { .v = NULL };
	char *path = arena_printf(ctx->arena, "%s/%s/store", LAB_RUN, lab);
	int rc;

	if (!path)
		return err_set(e, -ENOMEM, "no memory");
	if (strchr(lab, '/') || lab[0] == '.')
		return err_set(e, -EINVAL, "\"%s\" is no name of a lab", lab);
	rc = file_read(path, 4096, &text, e);
	if (rc == -ENOENT)
		return err_set(e, -EINVAL, "no lab \"%s\" is running (fairlead lab up --name %s)",
			       lab, lab);
	if (rc)
		return rc;
	*url = arena_strndup(ctx->arena, text.v ? text.v : "", strcspn(text.v ? text.v : "", "\n"));
	buf_fini(&text);
	return *url ? 0 : err_set(e, -ENOMEM, "no memory");
}

static int only_lab(struct cmd_ctx *ctx, const char **url, struct err *e)
{
	DIR *d = opendir(LAB_RUN);
	const char *found = NULL;
	bool several = false;
	struct dirent *de;

	while (d && (de = readdir(d))) {
		char path[512];
		int n = snprintf(path, sizeof(path), "%s/%s/store", LAB_RUN, de->d_name);

		if (de->d_name[0] == '.' || n >= (int)sizeof(path) || access(path, F_OK))
			continue;
		several = found;
		found = arena_strdup(ctx->arena, de->d_name);
	}
	if (d)
		closedir(d);
	if (several)
		return err_set(e, -EINVAL, "several labs are running: say which with --lab NAME");
	if (!found)
		return err_set(e, -EINVAL,
			       "no store: give --store dir:/path or --lab NAME, set "
			       "FAIRLEAD_STORE, or start a lab (fairlead lab up)");
	return read_lab(ctx, found, url, e);
}

int cmd_store_url(struct cmd_ctx *ctx, const char **url, struct err *e)
{
	const char *env = getenv("FAIRLEAD_STORE");

	if (ctx->store && ctx->lab)
		return err_set(e, -EINVAL, "--store and --lab exclude each other");
	if (ctx->store)
		*url = ctx->store;
	else if (ctx->lab)
		return read_lab(ctx, ctx->lab, url, e);
	else if (env && *env)
		*url = env;
	else
		return only_lab(ctx, url, e);
	return 0;
}

int cmd_store_open(struct cmd_ctx *ctx, unsigned flags, struct store **out)
{
	struct err e = { .code = 0 };
	const char *url;

	if (cmd_store_url(ctx, &url, &e))
		return cmd_fail(&e);
	if (store_open(url, flags, out, &e))
		return cmd_error(e.code == -ENOTSUP || e.code == -EINVAL ? CMD_USAGE : CMD_PARTLY,
				 "%s", e.text);
	return 0;
}

int cmd_split_name(struct cmd_ctx *ctx, const char *text, const char *ns, const char **out_ns,
		   const char **out_name, struct err *e)
{
	const char *slash = strchr(text, '/');

	if (slash && (slash == text || !slash[1] || strchr(slash + 1, '/')))
		return err_set(e, -EINVAL, "\"%s\" is neither NAME nor NS/NAME", text);
	if (!slash) {
		*out_ns = ns ? ns : "default";
		*out_name = text;
		return 0;
	}
	*out_ns = arena_strndup(ctx->arena, text, (size_t)(slash - text));
	*out_name = slash + 1;
	return *out_ns ? 0 : err_set(e, -ENOMEM, "no memory");
}
