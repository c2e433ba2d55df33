// SPDX-License-Identifier: Apache-2.0
/* resolv: see resolv.h. Here is resolv.conf(5), hosts.c has the other file.
 *
 * Limits: as many servers as CoreDNS takes rather than the C library's three; timeout and attempts are capped as there (30 and 5). What
 * concerns names that are not absolute (search, domain, ndots) is the client's business, as a server is only asked for whole names. */
#include "core/dns/resolv.h"
#include "core/dns/lines.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MAX  30
#define ATTEMPTS_MAX 5

struct reading {
	struct dns_resolv *out;
	struct dns_lines lines;
	unsigned first_bad; /* the line of the first nameserver that is of no use; 0: none was */
	char why[80];
};

static const char *server_parse(char *text, struct dns_server *s)
{
	char *scope = strchr(text, '%');

	memset(s, 0, sizeof(*s));
	s->port = DNS_PORT;
	if (scope)
		*scope++ = '\0';
	if (addr_parse(text, &s->addr))
		return "no IP address";
	if (addr_is_unspecified(&s->addr))
		return "0.0.0.0 and :: are nobody's address";
	if (!scope)
		return NULL;
	if (!addr_is_link_local(&s->addr))
		return "a scope belongs to a link-local address";
	if (!*scope || strlen(scope) >= sizeof(s->scope))
		return "no interface's name after %";
	snprintf(s->scope, sizeof(s->scope), "%s", scope);
	return NULL;
}

static bool same_server(const struct dns_server *a, const struct dns_server *b)
{
	return addr_eq(&a->addr, &b->addr) && a->port == b->port && !strcmp(a->scope, b->scope);
}

static void nameserver(struct reading *r, char *word)
{
	struct dns_resolv *out = r->out;
	struct dns_server s;
	const char *why = word ? server_parse(word, &s) : "no address";

	if (why) {
		if (!r->first_bad) {
			r->first_bad = r->lines.number;
			snprintf(r->why, sizeof(r->why), "%s", why);
		}
		dns_lines_ignore(&r->lines, "nameserver: %s", why);
		return;
	}
	for (unsigned i = 0; i < out->n; i++)
		if (same_server(&out->v[i], &s)) {
			dns_lines_ignore(&r->lines, "nameserver: it is there already");
			return;
		}
	if (out->n == DNS_SERVERS_MAX) {
		dns_lines_ignore(&r->lines, "nameserver: more than %d", DNS_SERVERS_MAX);
		return;
	}
	out->v[out->n++] = s;
}

/* 0: not a number of the form NAME:N. A number over the cap is the cap. */
static unsigned option_number(const char *word, const char *name, unsigned cap)
{
	size_t n = strlen(name);
	unsigned v = 0;

	if (strncmp(word, name, n) || word[n] != ':' || !word[n + 1])
		return 0;
	for (const char *p = word + n + 1; *p; p++) {
		if (*p < '0' || *p > '9')
			return 0;
		v = v * 10 + (unsigned)(*p - '0');
		if (v > cap)
			v = cap;
	}
	return v;
}

static void option(struct reading *r, const char *word)
{
	unsigned v;

	if ((v = option_number(word, "timeout", TIMEOUT_MAX)))
		r->out->timeout_s = v;
	else if ((v = option_number(word, "attempts", ATTEMPTS_MAX)))
		r->out->attempts = v;
	else if (!strcmp(word, "rotate"))
		r->out->rotate = true;
	else
		dns_lines_ignore(&r->lines, "options: %.40s means nothing to a forwarder", word);
}

static void line(struct reading *r)
{
	char *word = dns_lines_word(&r->lines);

	if (!word || *word == ';')
		return;
	if (!strcmp(word, "nameserver")) {
		nameserver(r, dns_lines_word(&r->lines));
	} else if (!strcmp(word, "options")) {
		while ((word = dns_lines_word(&r->lines)))
			option(r, word);
	} else if (!strcmp(word, "search") || !strcmp(word, "domain") ||
		   !strcmp(word, "sortlist")) {
		dns_lines_ignore(&r->lines, "%s: clients complete and sort for themselves", word);
	} else {
		dns_lines_ignore(&r->lines, "%.40s: no such keyword", word);
	}
}

int dns_resolv_parse(const char *text, size_t n, struct dns_resolv *out, dns_ignored *ignored,
		     void *arg, struct err *e)
{
	struct reading r = { .out = out };

	memset(out, 0, sizeof(*out));
	dns_lines_init(&r.lines, text, n, ignored, arg);
	while (dns_lines_next(&r.lines))
		line(&r);
	if (!out->n && r.first_bad)
		return err_set(e, -EINVAL, "line %u: nameserver: %s", r.first_bad, r.why);
	return 0;
}
