/* SPDX-License-Identifier: Apache-2.0 */
/* Moments that EndpointSlices tell of (daemon/progress.h): what is accepted lies after 1970, and is
 * the same when it is printed and read again.
 * Parser: daemon/progress.c */
#include "daemon/progress.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[64], again[64];
	int64_t us, twice;
	struct tm tm;
	time_t s;
	size_t n;

	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (!progress_time(text, &us))
		return 0;
	assert(us >= 0);
	s = us / 1000000;
	if (s >= 253402300800) /* the last second of 9999 may be its 60th */
		return 0;
	n = strftime(again, sizeof(again), "%Y-%m-%dT%H:%M:%S", gmtime_r(&s, &tm));
	snprintf(again + n, sizeof(again) - n, ".%06dZ", (int)(us % 1000000));
	assert(progress_time(again, &twice) && twice == us);
	return 0;
}
