// SPDX-License-Identifier: Apache-2.0
/* histogram: see histogram.h. The bounds are those of kube-proxy's metrics of the same names. */
#include "daemon/histogram.h"

static uint32_t quick(size_t i)
{
	return 1u << i;
}

static uint32_t slow(size_t i)
{
	if (i < 2)
		return 250 * (uint32_t)(i + 1);
	if (i < 61)
		return 1000 * (uint32_t)(i - 1);
	if (i < 73)
		return 60000 + 5000 * (uint32_t)(i - 61);
	return 120000 + 30000 * (uint32_t)(i - 73);
}

const struct histogram_bounds histogram_quick = { 15, quick };
const struct histogram_bounds histogram_slow = { 80, slow };
_Static_assert(HISTOGRAM_MAX >= 80, "the slow bounds fit");

void histogram_observe(struct histogram *h, uint64_t us)
{
	size_t i = 0;

	h->n++;
	h->sum_us += us;
	while (i < h->bounds->n && us > 1000ull * h->bounds->ms(i))
		i++;
	if (i < h->bounds->n)
		h->counts[i]++;
}
