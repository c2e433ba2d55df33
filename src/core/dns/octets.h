/* SPDX-License-Identifier: Apache-2.0 */
/* Integers within a message, in network order, where the caller knows that there is room. */
#pragma once
#include <stdint.h>

static inline uint16_t dns_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t dns_get32(const uint8_t *p)
{
	return (uint32_t)dns_get16(p) << 16 | dns_get16(p + 2);
}

static inline void dns_set16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void dns_set32(uint8_t *p, uint32_t v)
{
	dns_set16(p, (uint16_t)(v >> 16));
	dns_set16(p + 2, (uint16_t)v);
}
