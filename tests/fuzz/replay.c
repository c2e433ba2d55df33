/* SPDX-License-Identifier: Apache-2.0 */
/* Replays a corpus without libFuzzer, so that every build and every CI run goes through it:
 * each file as it is, then cut short at every length, then with single bytes changed. The
 * changes are seeded, hence the same on every run. Input is copied to a heap block of its
 * exact size: AddressSanitizer then sees a read of one byte too many. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX   (4u << 20)
#define CUTS_MAX    512
#define CHANGES_MAX 512

static void run(const uint8_t *data, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);

	if (!copy)
		err(1, "malloc");
	if (n)
		memcpy(copy, data, n);
	LLVMFuzzerTestOneInput(copy, n);
	free(copy);
}

static uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static void replay(uint8_t *data, size_t n)
{
	uint32_t seed = 2463534242u;
	size_t step = n / CUTS_MAX + 1;

	run(data, n);
	for (size_t cut = 0; cut < n; cut += step)
		run(data, cut);
	for (size_t i = 0; n && i < CHANGES_MAX; i++) {
		size_t at = next_random(&seed) % n;
		uint8_t old = data[at];

		data[at] = (uint8_t)next_random(&seed);
		run(data, n);
		data[at] = old;
	}
}

static void replay_file(const char *dir, const char *name)
{
	char path[4096];
	uint8_t *data = malloc(INPUT_MAX);
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "rb");
	if (!data || !f)
		err(1, "%s", path);
	n = fread(data, 1, INPUT_MAX, f);
	if (ferror(f))
		err(1, "%s", path);
	fclose(f);
	replay(data, n);
	free(data);
}

int main(int argc, char **argv)
{
	size_t files = 0;

	for (int i = 1; i < argc; i++) {
		struct dirent **names;
		int n = scandir(argv[i], &names, NULL, alphasort);

		if (n < 0)
			err(1, "%s", argv[i]);
		for (int k = 0; k < n; k++) {
			if (names[k]->d_name[0] != '.') {
				replay_file(argv[i], names[k]->d_name);
				files++;
			}
			free(names[k]);
		}
		free(names);
	}
	if (!files)
		errx(1, "no corpus: give a directory with at least one file");
	printf("%zu files replayed\n", files);
	return 0;
}
