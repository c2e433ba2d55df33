/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32 as in IEEE 802.3, for files that must tell damage. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Of what came before and these bytes; 0: nothing came before. */
uint32_t crc32_add(uint32_t crc, const void *p, size_t n);
