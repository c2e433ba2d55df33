/* SPDX-License-Identifier: Apache-2.0 */
/* What an unquoted YAML scalar means; shared by reader and writer. */
#pragma once
#include <jansson.h>

/* A new null, boolean, number or string; NULL when it is no UTF-8. */
json_t *yaml_plain(const char *s, size_t n);
