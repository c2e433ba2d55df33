// SPDX-License-Identifier: Apache-2.0
/* responder: see responder.h. HTTP after RFC 9112 as far as probes, curl, browsers and HAProxy
 * need it: a request line, headers of which Content-Length and Connection matter, a body with
 * a length. Chunked requests are refused with 411. */
#include "lab/responder.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEAD_MAX 16384

struct request {
	const char *head, *target, *body;
	size_t head_len, target_len, body_len;
	bool close, head_only, chunked;
};

static const char *short_name(const struct responder_who *who)
{
	const char *slash = strchr(who->name, '/');

	return slash ? slash + 1 : who->name;
}

static void put_probe(const struct responder_who *who, size_t size, struct buf *out)
{
	size_t from = out->n;

	buf_printf(out, "%s@%s %s", who->name, who->self, who->client);
	while (!out->failed && out->n - from + 1 < size)
		buf_puts(out, " ");
	buf_puts(out, "\n");
}

static bool word_is(const char *p, size_t n, const char *word)
{
	size_t len = strlen(word);

	return n >= len && !memcmp(p, word, len) && (n == len || p[len] == ' ');
}

static void plain(const struct responder_who *who, const char *p, size_t n, struct buf *out)
{
	while (n && (p[n - 1] == '\n' || p[n - 1] == '\r'))
		n--;
	if (word_is(p, n, "clientip")) {
		buf_printf(out, "%s\n", who->client);
	} else if (word_is(p, n, "echo")) {
		if (n > 5)
			buf_put(out, p + 5, n - 5);
		buf_puts(out, "\n");
	} else {
		buf_printf(out, "%s\n", short_name(who));
	}
}

void responder_udp(const struct responder_who *who, const char *p, size_t n, struct buf *out)
{
	size_t nonce;

	if (!word_is(p, n, "probe") || n < 7) {
		plain(who, p, n, out);
		return;
	}
	for (nonce = 6; nonce < n && p[nonce] != ' ' && p[nonce] != '\n';)
		nonce++;
	/* The nonce goes first, so that a late answer is not taken for this one. */
	buf_put(out, p, nonce);
	buf_puts(out, " ");
	put_probe(who, n > nonce + 1 ? n - nonce - 1 : 0, out);
}

static bool is_http(const char *p, size_t n)
{
	static const char *const methods[] = { "GET ",    "HEAD ",    "POST ",  "PUT ",
					       "DELETE ", "OPTIONS ", "PATCH ", "CONNECT " };

	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
		size_t len = strlen(methods[i]);

		if (!strncmp(p, methods[i], n < len ? n : len))
			return true;
	}
	return false;
}

static const char *find(const char *p, size_t n, const char *what)
{
	return memmem(p, n, what, strlen(what));
}

static void read_header(struct request *r, const char *line, size_t n)
{
	const char *colon = memchr(line, ':', n);
	size_t name, value;

	if (!colon)
		return;
	name = (size_t)(colon - line);
	do
		colon++;
	while (colon < line + n && (*colon == ' ' || *colon == '\t'));
	value = (size_t)(line + n - colon);
	if (name == 14 && !strncasecmp(line, "content-length", 14))
		r->body_len = strtoul(colon, NULL, 10);
	else if (name == 10 && !strncasecmp(line, "connection", 10))
		r->close = value == 5 && !strncasecmp(colon, "close", 5);
	else if (name == 17 && !strncasecmp(line, "transfer-encoding", 17))
		r->chunked = true;
}

/* Fills `r` from a whole head; the body may not have come yet. */
static bool read_head(struct request *r, const char *p, size_t head_len)
{
	const char *end = p + head_len, *line = find(p, head_len, "\r\n");
	const char *target = memchr(p, ' ', (size_t)(line - p));
	const char *version = target ? memchr(target + 1, ' ', (size_t)(line - target - 1)) : NULL;

	*r = (struct request){ .head = p, .head_len = head_len, .body = end };
	if (!version)
		return false;
	r->target = target + 1;
	r->target_len = (size_t)(version - r->target);
	r->head_only = !strncmp(p, "HEAD ", 5);
	r->close = !strncmp(version + 1, "HTTP/1.0", 8);
	while (line + 2 < end) {
		const char *next = find(line + 2, (size_t)(end - line - 2), "\r\n");

		if (!next)
			break;
		read_header(r, line + 2, (size_t)(next - line - 2));
		line = next;
	}
	return true;
}

static void echo_body(const struct request *r, struct buf *body)
{
	const char *msg = find(r->target, r->target_len, "msg=");

	if (msg) {
		const char *end = r->target + r->target_len, *amp;

		msg += 4;
		amp = memchr(msg, '&', (size_t)(end - msg));
		buf_put(body, msg, (size_t)((amp ? amp : end) - msg));
	} else if (r->body_len) {
		buf_put(body, r->body, r->body_len);
	} else {
		buf_put(body, r->head, r->head_len);
	}
}

static bool path_is(const struct request *r, const char *path)
{
	size_t n = strlen(path);

	return r->target_len >= n && !memcmp(r->target, path, n) &&
	       (r->target_len == n || r->target[n] == '?');
}

static void respond(const struct responder_who *who, const struct request *r, const char *status,
		    struct buf *out)
{
	struct buf body = { 0 };

	if (strcmp(status, "200 OK") != 0)
		buf_printf(&body, "%s\n", status);
	else if (path_is(r, "/clientip"))
		buf_printf(&body, "%s", who->client);
	else if (path_is(r, "/echo"))
		echo_body(r, &body);
	else if (path_is(r, "/probe"))
		put_probe(who, r->body_len, &body);
	else
		buf_printf(&body, "%s", short_name(who));
	buf_printf(out,
		   "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
		   "Connection: %s\r\n\r\n",
		   status, body.n, r->close ? "close" : "keep-alive");
	if (!r->head_only && body.n)
		buf_put(out, body.v, body.n);
	buf_fini(&body);
}

static long http(const struct responder_who *who, const char *p, size_t n, struct buf *out)
{
	const char *end = find(p, n, "\r\n\r\n");
	struct request r = { .close = true };
	const char *bad = NULL;

	if (!end) {
		if (n <= HEAD_MAX)
			return 0;
		bad = "431 Request Header Fields Too Large";
	} else if (!read_head(&r, p, (size_t)(end - p) + 4)) {
		bad = "400 Bad Request";
	} else if (r.chunked) {
		bad = "411 Length Required";
	} else if (r.body_len > RESPONDER_BODY_MAX) {
		bad = "413 Content Too Large";
	} else if (r.head_len + r.body_len > n) {
		return 0;
	}
	if (bad)
		r.close = true;
	respond(who, &r, bad ? bad : "200 OK", out);
	return r.close ? -1 : (long)(r.head_len + r.body_len);
}

long responder_tcp(const struct responder_who *who, const char *p, size_t n, struct buf *out)
{
	const char *line;

	if (!n)
		return 0;
	if (is_http(p, n))
		return http(who, p, n, out);
	line = memchr(p, '\n', n);
	if (!line)
		return n > HEAD_MAX ? -1 : 0;
	plain(who, p, (size_t)(line - p) + 1, out);
	return line - p + 1;
}
