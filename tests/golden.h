/* SPDX-License-Identifier: Apache-2.0 */
/* Golden files: what the code said when a person read it and found it right. A test compares
 * with tests/golden/ROOM/CASE and fails with a diff; FAIRLEAD_BLESS=1 writes the files anew,
 * and the change is then reviewed like code. For use inside cmocka tests. */
#pragma once
#include <stddef.h>

/* The file's bytes, NUL-terminated; the caller frees. Fails the test when there is no file. */
char *golden_read(const char *path, size_t *len);

/* Fails the test, after printing a diff, unless `text` is what the file holds. */
void golden_check(const char *path, const char *text);

/* Calls `fn` with "ROOM/STEM" for every tests/golden/ROOM/STEM+suffix, sorted by name. Fails
 * the test when there is none. */
void golden_each(const char *room, const char *suffix, void (*fn)(const char *stem, void *arg),
		 void *arg);
