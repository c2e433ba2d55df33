/* SPDX-License-Identifier: Apache-2.0 */
/* MTU of pods and tunnels: the uplink's minus what the mode puts around each packet.
 * VXLAN (RFC 7348): outer IP + UDP 8 + VXLAN 8 + inner Ethernet 14, so 50 over IPv4 and 70
 * over IPv6. IP-in-IP (RFC 2003): an IPv4 header, 20. Every pod gets the smallest that any pool it may talk to needs, because a route
 * in between is of no help to a packet with DF set that is one header too long. */
#pragma once
#include "model/cluster.h"

#define MTU_MIN_V4 576  /* RFC 791: what every host must take */
#define MTU_MIN_V6 1280 /* RFC 8200, section 5: IPv6 is off below */

/* Bytes that the pool's mode adds on an underlay of this family (AF_INET, AF_INET6). */
uint32_t mtu_overhead(enum pool_mode mode, uint8_t underlay);

/* The pods' MTU for an uplink of `uplink` bytes and all pools of the cluster; never below
 * MTU_MIN_V4. */
uint32_t mtu_pods(uint32_t uplink, uint8_t underlay, const struct object *const *pools, size_t n);
