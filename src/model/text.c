// SPDX-License-Identifier: Apache-2.0
/* Kubernetes' rules of names, and the annotations that carry values of their own. */
#include "model/validate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
	return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

static bool label_of(const char *s, size_t n)
{
	if (!n || n > 63 || !is_lower_alnum(s[0]) || !is_lower_alnum(s[n - 1]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!is_lower_alnum(s[i]) && s[i] != '-')
			return false;
	return true;
}

bool is_dns_label(const char *s)
{
	return label_of(s, strlen(s));
}

bool is_port_name(const char *s)
{
	return strlen(s) <= 15 && is_dns_label(s) && !strstr(s, "--") &&
	       s[strspn(s, "0123456789-")];
}

static bool subdomain_of(const char *s, size_t n)
{
	if (!n || n > NAME_MAX_LEN)
		return false;
	while (n) {
		const char *dot = memchr(s, '.', n);
		size_t len = dot ? (size_t)(dot - s) : n;

		/* Kubernetes limits the whole, not each label. */
		if (!len || !is_lower_alnum(s[0]) || !is_lower_alnum(s[len - 1]))
			return false;
		for (size_t i = 0; i < len; i++)
			if (!is_lower_alnum(s[i]) && s[i] != '-')
				return false;
		if (!dot)
			return true;
		s += len + 1;
		n -= len + 1;
	}
	return false;
}

bool is_dns_subdomain(const char *s)
{
	return subdomain_of(s, strlen(s));
}

static bool value_of(const char *s, size_t n)
{
	if (n > 63 || !is_alnum(s[0]) || !is_alnum(s[n - 1]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!is_alnum(s[i]) && !strchr("-_.", s[i]))
			return false;
	return true;
}

bool is_label_value(const char *s)
{
	return !*s || value_of(s, strlen(s));
}

bool is_qualified_name(const char *s)
{
	const char *slash = strchr(s, '/');
	const char *name = slash ? slash + 1 : s;

	if (slash && !subdomain_of(s, (size_t)(slash - s)))
		return false;
	return *name && value_of(name, strlen(name));
}

/* ---- fairlead.io/ips: ["10.0.0.9", "fd00::9"]; no escapes are needed in an address, so this
 * reads the list itself and the model stays free of a JSON library. */

static const char *skip_space(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

int annotation_ips(const struct meta *m, struct ipaddr *out, size_t max, struct err *e)
{
	static const char rule[] = "metadata.annotations." ANNOTATION_IPS
				   ": must be a JSON list of addresses such as [\"10.244.0.9\"]";
	const char *p = strmap_get(&m->annotations, ANNOTATION_IPS);
	size_t n = 0;

	if (!p)
		return 0;
	p = skip_space(p);
	if (*p++ != '[')
		return err_set(e, -EINVAL, rule);
	for (p = skip_space(p); *p != ']' || n; p = skip_space(p + 1)) {
		char text[ADDR_TEXT];
		size_t len;

		if (*p != '"')
			return err_set(e, -EINVAL, rule);
		len = strcspn(++p, "\"");
		if (len >= sizeof(text) || !p[len])
			return err_set(e, -EINVAL, rule);
		memcpy(text, p, len);
		text[len] = 0;
		if (n == max)
			return err_set(e, -EINVAL,
				       "metadata.annotations." ANNOTATION_IPS
				       ": at most %zu addresses",
				       max);
		if (addr_parse(text, &out[n]))
			return err_set(e, -EINVAL, rule);
		n++;
		p = skip_space(p + len + 1);
		if (*p == ']')
			break;
		if (*p != ',')
			return err_set(e, -EINVAL, rule);
	}
	if (*skip_space(p + 1))
		return err_set(e, -EINVAL, rule);
	return (int)n;
}
