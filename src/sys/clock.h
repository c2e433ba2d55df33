/* SPDX-License-Identifier: Apache-2.0 */
/* Time and randomness, for those who pass them into core. */
#pragma once
#include <stddef.h>
#include <stdint.h>

uint64_t clock_mono_ns(void);         /* CLOCK_MONOTONIC: stands still while the machine sleeps */
uint64_t clock_boot_ns(void);         /* CLOCK_BOOTTIME */
int64_t clock_wall(void);             /* Unix seconds */
int64_t clock_wall_ns(void);          /* since 1970 */
void random_bytes(void *p, size_t n); /* getrandom(2); cannot fail after boot */
