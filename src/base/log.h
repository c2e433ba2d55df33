/* SPDX-License-Identifier: Apache-2.0 */
/* Log: one line per event to standard error, "TIME LEVEL ROLE: text". Only daemon, lab and cmd
 * log; base, model, core, store and sys report through struct err.
 *
 * Levels: ERROR, the operator must act; WARN, wrong but handled (a repair, a bad object);
 * INFO, what changed; DEBUG, why. */
#pragma once
#include "base/err.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* `role` is printed on every line and must outlive the process' logging. */
void log_init(const char *role, enum log_level level);
int log_level_parse(const char *name); /* "error".."debug", or -1 */

void log_at(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)
