// SPDX-License-Identifier: Apache-2.0
/* log: see log.h. A line is written by one write(2), so lines of several roles that share a
 * file do not mix. The two globals are the log sink, the only mutable globals of the house. */
#include "base/log.h"
#include "base/names.h"

#include <stdio.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = {
	[LOG_ERROR] = "error", [LOG_WARN] = "warn", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"
};
static const struct names levels = NAMES(level_names);

static const char *log_role = "fairlead";
static enum log_level log_max = LOG_INFO;

void log_init(const char *role, enum log_level level)
{
	log_role = role;
	log_max = level;
}

int log_level_parse(const char *name)
{
	return name_find(&levels, name);
}

void log_at(enum log_level level, const char *fmt, ...)
{
	char line[ERR_TEXT + 256];
	struct timespec ts;
	struct tm tm;
	va_list ap;
	int n, m;

	if (level > log_max)
		return;
	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	n = snprintf(line, sizeof(line),
		     "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s %s: ", tm.tm_year + 1900,
		     tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
		     ts.tv_nsec / 1000000, name_of(&levels, level), log_role);
	if (n < 0 || (size_t)n >= sizeof(line) - 1)
		return;
	va_start(ap, fmt);
	m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	va_end(ap);
	if (m < 0)
		return;
	n += m;
	if ((size_t)n > sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	/* Nowhere is left to report a failing log to. */
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return;
}
