// SPDX-License-Identifier: Apache-2.0
/* agent_ips: see agent_ips.h. */
#include "daemon/agent_ips.h"

#include <errno.h>
#include <string.h>

static const char *skip_space(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

/* One JSON string that is an address; no address needs an escape. */
static int one(const char **p, struct ipaddr *out, struct err *e)
{
	const char *end;
	char text[ADDR_TEXT];
	size_t len;

	if (**p != '"')
		return err_set(e, -EINVAL, AGENT_IPS_ANNOTATION ": must be a list of strings");
	end = strchr(*p + 1, '"');
	len = end ? (size_t)(end - *p - 1) : 0;
	if (!end || len >= sizeof(text))
		return err_set(e, -EINVAL, AGENT_IPS_ANNOTATION ": a string without an address");
	memcpy(text, *p + 1, len);
	text[len] = 0;
	if (addr_parse(text, out))
		return err_set(e, -EINVAL, AGENT_IPS_ANNOTATION ": \"%s\" is no address", text);
	*p = end + 1;
	return 0;
}

int agent_ips_parse(const char *text, struct ipaddr *v, uint32_t max, uint32_t *n, struct err *e)
{
	const char *p = skip_space(text);
	uint32_t found = 0;
	int rc;

	if (*p != '[')
		return err_set(e, -EINVAL, AGENT_IPS_ANNOTATION ": must be a JSON list");
	p = skip_space(p + 1);
	while (*p != ']') {
		if (found == max)
			return err_set(e, -EINVAL, AGENT_IPS_ANNOTATION ": more than %u addresses",
				       max);
		rc = one(&p, &v[found], e);
		if (rc)
			return rc;
		found++;
		p = skip_space(p);
		if (*p == ',' && *skip_space(p + 1) != ']')
			p = skip_space(p + 1);
		else if (*p != ']')
			return err_set(e, -EINVAL,
				       AGENT_IPS_ANNOTATION ": \",\" or \"]\" expected");
	}
	if (*skip_space(p + 1))
		return err_set(e, -EINVAL, AGENT_IPS_ANNOTATION ": something behind the list");
	*n = found;
	return 0;
}
