/* SPDX-License-Identifier: Apache-2.0 */
/* Private to config.c and config_keys.c. */
#pragma once
#include "daemon/config.h"

#define CONFIG_VALUE_MAX 4096 /* bytes of a line */
#define CONFIG_KEYS      24
#define CONFIG_ROLES     5

struct config_key {
	const char *key;
	/* `text` is NUL-terminated, trimmed and not empty. */
	int (*set)(struct config *c, const char *text, struct err *e);
	bool repeatable;
};

extern const struct config_key config_keys[CONFIG_KEYS];

/* In the order in which the keeper starts them; `needs` is started along. `asked`: only where it is named. */
struct config_role {
	const char *name, *needs;
	bool asked;
};

extern const struct config_role config_roles[CONFIG_ROLES];

int config_nomem(struct err *e);
int config_add_role(struct config *c, const char *name, struct err *e);
