/* SPDX-License-Identifier: Apache-2.0 */
/* The one error contract of the house.
 *
 * A function that can fail returns 0 or a negative errno and takes `struct err *e` as its
 * last parameter. On failure it sets `e` exactly once and leaves its out-parameters alone;
 * on success it does not touch `e`. Callers add context on the way up with err_wrap(), which
 * prefixes ("outer: inner"), and the top level logs or prints once. `e` may be NULL when the
 * caller wants only the code. Nothing here allocates. */
#pragma once
#include <stdarg.h>

#define ERR_TEXT 1024

struct err {
	int code;            /* negative errno; 0 while unset */
	char text[ERR_TEXT]; /* one line, no newline, names the object and the place */
};

/* Sets code and text; returns `code`, so that `return err_set(e, -EINVAL, …);` reads well. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* As err_set() with ": <strerror(-code)>" appended; for failed system calls (code = -errno). */
int err_sys(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Prefixes "context: " to the text that is there; returns e's code (or -EINVAL where e is NULL). */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
