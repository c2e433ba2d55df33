/* SPDX-License-Identifier: Apache-2.0 */
/* Within core/bgp: how decoders say what ends a session. */
#pragma once
#include "core/bgp/types.h"

#include <stddef.h>

/* Sets everything but the data, and returns -EBADMSG. */
int bgp_fault(struct bgp_fault *f, uint8_t code, uint8_t sub, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* What the NOTIFICATION shows of the message, cut to fit. Returns -EBADMSG as well. */
int bgp_fault_show(struct bgp_fault *f, const void *p, size_t n);
