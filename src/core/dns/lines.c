// SPDX-License-Identifier: Apache-2.0
/* lines: see lines.h. */
#include "core/dns/lines.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char blanks[] = " \t\r\v\f";

void dns_lines_init(struct dns_lines *l, const char *text, size_t n, dns_ignored *ignored,
		    void *arg)
{
	l->at = text;
	l->end = n ? text + n : text;
	l->ignored = ignored;
	l->arg = arg;
	l->number = 0;
	l->word = l->line;
	l->line[0] = '\0';
}

bool dns_lines_next(struct dns_lines *l)
{
	while (l->at < l->end) {
		size_t left = (size_t)(l->end - l->at);
		const char *newline = memchr(l->at, '\n', left);
		size_t n = newline ? (size_t)(newline - l->at) : left;
		const char *from = l->at;
		const char *comment = memchr(from, '#', n);

		l->at += newline ? n + 1 : n;
		l->number++;
		if (comment)
			n = (size_t)(comment - from);
		if (n >= sizeof(l->line) || memchr(from, '\0', n)) {
			dns_lines_ignore(l, n >= sizeof(l->line) ? "the line is too long"
								 : "there is a NUL in it");
			continue;
		}
		memcpy(l->line, from, n);
		l->line[n] = '\0';
		l->word = l->line;
		return true;
	}
	return false;
}

char *dns_lines_word(struct dns_lines *l)
{
	char *word = l->word + strspn(l->word, blanks);
	size_t n = strcspn(word, blanks);

	if (!n)
		return NULL;
	l->word = word + n;
	if (*l->word)
		*l->word++ = '\0';
	return word;
}

void dns_lines_ignore(struct dns_lines *l, const char *fmt, ...)
{
	char why[128];
	va_list ap;

	if (!l->ignored)
		return;
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	l->ignored(l->number, why, l->arg);
}
