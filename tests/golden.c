/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/golden.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <setjmp.h>

#include <cmocka.h>

static FILE *golden_open(const char *path, const char *mode)
{
	char full[4096];

	snprintf(full, sizeof(full), "%s/%s", GOLDEN_DIR, path);
	return fopen(full, mode);
}

static char *slurp(FILE *f, size_t *len)
{
	char *text = NULL, *grown;
	size_t n = 0, got = 0;

	do {
		grown = realloc(text, n + 65536 + 1);
		assert_non_null(grown);
		text = grown;
		got = fread(text + n, 1, 65536, f);
		n += got;
	} while (got);
	fclose(f);
	text[n] = '\0';
	if (len)
		*len = n;
	return text;
}

char *golden_read(const char *path, size_t *len)
{
	FILE *f = golden_open(path, "rb");

	if (!f)
		fail_msg("tests/golden/%s: no such file (FAIRLEAD_BLESS=1 writes it)", path);
	return slurp(f, len);
}

static void bless(const char *path, const char *text)
{
	char dir[4096];
	FILE *f;

	snprintf(dir, sizeof(dir), "%s/%s", GOLDEN_DIR, path);
	*strrchr(dir, '/') = '\0';
	mkdir(dir, 0777);
	f = golden_open(path, "wb");
	if (!f)
		fail_msg("tests/golden/%s: cannot write", path);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

void golden_check(const char *path, const char *text)
{
	const char *bless_env = getenv("FAIRLEAD_BLESS");
	char cmd[4200], *want;
	FILE *diff;

	if (bless_env && !strcmp(bless_env, "1")) {
		bless(path, text);
		return;
	}
	want = golden_read(path, NULL);
	if (!strcmp(want, text)) {
		free(want);
		return;
	}
	free(want);
	fflush(stdout);
	snprintf(cmd, sizeof(cmd), "diff -u --label golden/%s --label now '%s/%s' - >&2", path,
		 GOLDEN_DIR, path);
	diff = popen(cmd, "w");
	if (diff) {
		fputs(text, diff);
		pclose(diff);
	}
	fail_msg("tests/golden/%s: differs (FAIRLEAD_BLESS=1 writes it anew)", path);
}

void golden_each(const char *room, const char *suffix, void (*fn)(const char *stem, void *arg),
		 void *arg)
{
	struct dirent **names;
	char dir[4096], stem[512];
	int n, hits = 0;

	snprintf(dir, sizeof(dir), "%s/%s", GOLDEN_DIR, room);
	n = scandir(dir, &names, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		size_t len = strlen(names[i]->d_name), tail = strlen(suffix);

		if (len > tail && !strcmp(names[i]->d_name + len - tail, suffix)) {
			snprintf(stem, sizeof(stem), "%s/%.*s", room, (int)(len - tail),
				 names[i]->d_name);
			fn(stem, arg);
			hits++;
		}
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	if (!hits)
		fail_msg("tests/golden/%s: no case *%s", room, suffix);
}
