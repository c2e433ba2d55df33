/* SPDX-License-Identifier: Apache-2.0 */
#include "core/route/mtu.h"

#include <sys/socket.h>

enum { IPV4_HEADER = 20, IPV6_HEADER = 40, UDP_VXLAN_ETHERNET = 8 + 8 + 14 };

uint32_t mtu_overhead(enum pool_mode mode, uint8_t underlay)
{
	uint32_t outer = underlay == AF_INET6 ? IPV6_HEADER : IPV4_HEADER;

	switch (mode) {
	case POOL_DIRECT:
		return 0;
	case POOL_IPIP:
		return IPV4_HEADER;
	case POOL_MODE_NONE:
	case POOL_VXLAN:
		return outer + UDP_VXLAN_ETHERNET;
	}
	return 0;
}

uint32_t mtu_pods(uint32_t uplink, uint8_t underlay, const struct object *const *pools, size_t n)
{
	uint32_t most = 0;

	for (size_t i = 0; i < n; i++) {
		const struct ippool *pool = pools[i]->body;
		uint32_t more = mtu_overhead(pool->spec.mode, underlay);

		if (more > most)
			most = more;
	}
	return uplink > most + MTU_MIN_V4 ? uplink - most : MTU_MIN_V4;
}
