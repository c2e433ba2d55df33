// SPDX-License-Identifier: Apache-2.0
/* http: see http.h. Sections are those of RFC 9112. */
#include "daemon/http.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

static const struct {
	int status;
	const char *reason;
} reasons[] = {
	{ 200, "OK" },
	{ 400, "Bad Request" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 413, "Content Too Large" },
	{ 414, "URI Too Long" },
	{ 431, "Request Header Fields Too Large" },
	{ 501, "Not Implemented" },
	{ 503, "Service Unavailable" },
	{ 505, "HTTP Version Not Supported" },
};

const char *http_reason(int status)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Status";
}

struct slice {
	const char *p;
	size_t n;
};

static bool is(struct slice s, const char *text)
{
	return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

static bool is_nocase(struct slice s, const char *text)
{
	return s.n == strlen(text) && strncasecmp(s.p, text, s.n) == 0;
}

/* RFC 9110, section 5.6.2. */
static bool is_token(struct slice s)
{
	static const char extra[] = "!#$%&'*+-.^_`|~";

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      (c && strchr(extra, c))))
			return false;
	}
	return s.n > 0;
}

/* The line at *p and past it; false when its end has not come. A lone LF ends a line too
 * (section 2.2). */
static bool take_line(const char **p, const char *end, struct slice *line)
{
	const char *nl = memchr(*p, '\n', (size_t)(end - *p));

	if (!nl)
		return false;
	*line = (struct slice){ *p, (size_t)(nl - *p) };
	if (line->n && line->p[line->n - 1] == '\r')
		line->n--;
	*p = nl + 1;
	return true;
}

/* Up to the next single space, or all of the rest. */
static struct slice take_word(struct slice *rest)
{
	const char *space = memchr(rest->p, ' ', rest->n);
	struct slice word = { rest->p, space ? (size_t)(space - rest->p) : rest->n };
	size_t skip = space ? word.n + 1 : word.n;

	rest->p += skip;
	rest->n -= skip;
	return word;
}

/* Section 3.2: origin-form, or absolute-form whose authority is skipped. */
static int parse_target(struct slice t, struct http_request *out)
{
	size_t n = 0;

	for (size_t i = 0; i < t.n; i++)
		if (t.p[i] <= ' ' || t.p[i] == 0x7f)
			return 400;
	if (t.n > 7 && strncasecmp(t.p, "http://", 7) == 0) {
		const char *slash = memchr(t.p + 7, '/', t.n - 7);

		if (!slash)
			return 400;
		t.n -= (size_t)(slash - t.p);
		t.p = slash;
	}
	if (!t.n || t.p[0] != '/')
		return 400;
	while (n < t.n && t.p[n] != '?' && t.p[n] != '#')
		n++;
	if (n >= HTTP_PATH_MAX)
		return 414;
	memcpy(out->path, t.p, n);
	out->path[n] = '\0';
	return 0;
}

/* Section 3. */
static int parse_request_line(struct slice line, struct http_request *out)
{
	struct slice method = take_word(&line), target = take_word(&line), version = line;
	int status;

	if (!is_token(method))
		return 400;
	if (version.n != 8 || memcmp(version.p, "HTTP/", 5) != 0 || version.p[6] != '.' ||
	    version.p[5] < '0' || version.p[5] > '9' || version.p[7] < '0' || version.p[7] > '9')
		return 400;
	if (version.p[5] != '1')
		return 505;
	status = parse_target(target, out);
	if (status)
		return status;
	if (is(method, "GET"))
		out->method = HTTP_GET;
	else if (is(method, "HEAD"))
		out->method = HTTP_HEAD;
	else
		return 405;
	return 0;
}

/* Section 5; obsolete folding is refused (5.2), a body too (6.1, 6.2). */
static int parse_field(struct slice line)
{
	const char *colon = memchr(line.p, ':', line.n);
	struct slice name, value;

	if (!colon)
		return 400;
	name = (struct slice){ line.p, (size_t)(colon - line.p) };
	value = (struct slice){ colon + 1, line.n - name.n - 1 };
	if (!is_token(name))
		return 400;
	for (size_t i = 0; i < value.n; i++)
		if (((unsigned char)value.p[i] < ' ' && value.p[i] != '\t') || value.p[i] == 0x7f)
			return 400;
	while (value.n && (*value.p == ' ' || *value.p == '\t')) {
		value.p++;
		value.n--;
	}
	while (value.n && (value.p[value.n - 1] == ' ' || value.p[value.n - 1] == '\t'))
		value.n--;
	if (is_nocase(name, "transfer-encoding"))
		return 501;
	if (is_nocase(name, "content-length") && !is(value, "0"))
		return 413;
	return 0;
}

int http_parse(const char *p, size_t n, struct http_request *out)
{
	const char *end = p + n;
	struct slice line;
	int status;

	*out = (struct http_request){ 0 };
	/* One empty line before the request is skipped (section 2.2). */
	if (n >= 2 && p[0] == '\r' && p[1] == '\n')
		p += 2;
	if (!take_line(&p, end, &line))
		return n >= HTTP_REQUEST_MAX ? 414 : -EAGAIN;
	status = parse_request_line(line, out);
	if (status)
		return status;
	while (take_line(&p, end, &line)) {
		if (!line.n)
			return 0;
		status = parse_field(line);
		if (status)
			return status;
	}
	return n >= HTTP_REQUEST_MAX ? 431 : -EAGAIN;
}

void http_response(struct buf *out, const struct http_answer *a, bool with_body)
{
	buf_printf(out,
		   "HTTP/1.1 %d %s\r\n"
		   "Content-Type: %s\r\n"
		   "Content-Length: %zu\r\n"
		   "Cache-Control: no-store\r\n"
		   "X-Content-Type-Options: nosniff\r\n"
		   "%s%s"
		   "Connection: close\r\n"
		   "\r\n",
		   a->status, http_reason(a->status), a->type, a->body.n,
		   a->status == 405 ? "Allow: GET, HEAD\r\n" : "", a->extra);
	if (with_body)
		buf_put(out, a->body.v, a->body.n);
	out->failed |= a->body.failed;
}
