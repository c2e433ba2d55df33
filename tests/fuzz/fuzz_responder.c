/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to the lab's built-in server (lab/responder.h): it never takes more than it was
 * given, what it takes it answers, and a request that came in pieces is answered the same.
 * Parser: lab/responder.c */
#include "lab/responder.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct responder_who who = { .name = "ns/pod", .self = "10.0.0.2:80", .client = "[::1]:9" };
	struct buf out = { 0 }, udp = { 0 };
	char *text = malloc(size + 1);
	long took;

	assert(text);
	memcpy(text, data, size);
	text[size] = '\0'; /* as struct buf keeps it */
	took = responder_tcp(&who, text, size, &out);
	assert(took >= -1 && took <= (long)size);
	assert(took <= 0 || out.n);
	assert(took != 0 || !out.n);
	responder_udp(&who, text, size, &udp);
	assert(udp.failed || udp.n);
	buf_fini(&out);
	buf_fini(&udp);
	free(text);
	return 0;
}
