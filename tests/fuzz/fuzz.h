/* SPDX-License-Identifier: Apache-2.0 */
/* What every fuzz target offers: libFuzzer's entry, called with bytes of any kind. It returns 0
 * and aborts (assert, sanitizer) when the code under test breaks its promise. */
#pragma once
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
