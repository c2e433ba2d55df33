/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of words, as resolv.conf(5) and hosts(5) have them: blanks between words, # to the end of the line is a comment. A line that is
 * too long, or holds a NUL, is passed over whole and told of. */
#pragma once
#include "core/dns/resolv.h"

#define DNS_LINE_MAX 4096

struct dns_lines {
	const char *at, *end;
	dns_ignored *ignored;
	void *arg;
	unsigned number; /* of the line that is read, from 1 */
	char *word;      /* the next one's place in `line` */
	char line[DNS_LINE_MAX];
};

void dns_lines_init(struct dns_lines *l, const char *text, size_t n, dns_ignored *ignored,
		    void *arg);
bool dns_lines_next(struct dns_lines *l); /* false: the end */
/* The next word of the line, which the caller may change; NULL: none is left. */
char *dns_lines_word(struct dns_lines *l);
void dns_lines_ignore(struct dns_lines *l, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
