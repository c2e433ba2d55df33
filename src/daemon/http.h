/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.x requests, as much as a server of a few read-only pages needs (RFC 9112): pure, no
 * allocation, fuzzed. Header fields are judged by their form and skipped, except those that say
 * how long a body is: a request with a body is refused. */
#pragma once
#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

#define HTTP_REQUEST_MAX 8192
#define HTTP_PATH_MAX    256

enum http_method { HTTP_GET, HTTP_HEAD };

struct http_request {
	enum http_method method;
	char path[HTTP_PATH_MAX]; /* without query, as sent: percent signs are not decoded */
};

/* p[0..n) is what came so far. Returns 0 when the request is whole; -EAGAIN when more must
 * come; else the status (400…) that answers it. */
int http_parse(const char *p, size_t n, struct http_request *out);

struct http_answer {
	int status;
	const char *type; /* of `body` */
	char extra[64];   /* one more header field with its line end, or "" */
	struct buf body;
};

/* A whole response that ends the connection; without the body (HEAD) its length is told. */
void http_response(struct buf *out, const struct http_answer *a, bool with_body);
const char *http_reason(int status);
