/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP requests (daemon/http.h): what is accepted has a path that begins with a slash, and the
 * verdict on a prefix is "more" or final, never another one later.
 * Parser: daemon/http.c */
#include "daemon/http.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* A status that a parser gives has a reason, and its answer is one. */
static void answer(int status)
{
	struct http_answer a = { .status = status, .type = "text/plain" };
	struct buf out = { 0 };

	buf_puts(&a.body, "x\n");
	http_response(&out, &a, true);
	assert(out.failed || (out.n > 2 && strstr(out.v, "\r\n\r\nx\n")));
	assert(strcmp(http_reason(status), http_reason(0)) != 0);
	buf_fini(&a.body);
	buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_request whole, part;
	int status = http_parse((const char *)data, size, &whole);

	assert(status == 0 || status == -EAGAIN || (status >= 400 && status < 600));
	if (status != -EAGAIN)
		answer(status ? status : 200);
	if (status == 0)
		assert(whole.path[0] == '/' && strlen(whole.path) < HTTP_PATH_MAX);
	for (size_t n = size > 64 ? size - 64 : 0; n < size; n++) {
		int early = http_parse((const char *)data, n, &part);

		if (early != -EAGAIN)
			assert(early == status);
	}
	return 0;
}
