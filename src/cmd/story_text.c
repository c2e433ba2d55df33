// SPDX-License-Identifier: Apache-2.0
/* A story as text on standard output: see core/trace/print.h. */
#include "cmd/story_out.h"

#include "cmd/cmd.h"
#include "cmd/out.h"
#include "core/trace/print.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* 0: not to be broken, as it goes into a pipe. */
static unsigned columns(void)
{
	const char *set = getenv("COLUMNS");
	unsigned long n = set ? strtoul(set, NULL, 10) : 0;
	struct winsize size;

	if (n > 0 && n < 10000)
		return (unsigned)n;
	return out_is_tty(stdout) && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) ? size.ws_col : 0;
}

int story_text(const struct story *s, bool explain, struct arena *a)
{
	const struct story_paint paint = { .width = columns(),
					   .colour = out_is_tty(stdout) && !getenv("NO_COLOR"),
					   .explain = explain };
	struct buf b = { 0 };
	int rc = CMD_OK;

	story_print(s, &paint, a, &b);
	if (b.failed || a->failed)
		rc = cmd_error(CMD_NO, "no memory");
	else
		fputs(b.v, stdout);
	buf_fini(&b);
	return rc;
}
