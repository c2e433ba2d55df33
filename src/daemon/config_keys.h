/* SPDX-License-Identifier: Apache-2.0 */
/* Private to config.c, config_keys.c and config_dns.c. */
#pragma once
#include "daemon/config.h"

#define CONFIG_VALUE_MAX 4096 /* bytes of a line */
#define CONFIG_KEYS      34
#define CONFIG_ROLES     6

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

/* ---- values */

/* A copy of the text that lives as long as the configuration. */
int config_keep(struct config *c, const char **slot, const char *text, struct err *e);
/* One more element of `size` bytes at the end of a list; NULL and e when there is no room. */
void *config_list_add(struct config *c, struct list_any *l, size_t size, struct err *e);
#define CONFIG_LIST_ADD(c, list, e)                                                                \
	config_list_add(c, (struct list_any *)&(list), sizeof(*(list).v), e)
/* RFC 1123 subdomain, as Kubernetes wants it of names of Nodes. */
bool config_is_dns_name(const char *s);
uint32_t config_number(const char *text); /* 1 to 9999999; 0: it is none */
/* ADDR:PORT, [ADDR]:PORT, *:PORT or off. */
int config_set_listen(struct listen *l, const char *text, struct err *e);
void config_print_listen(const char *key, const struct listen *l, struct buf *out);

/* ---- config_dns.c */

int config_dns_listen(struct config *c, const char *text, struct err *e);
int config_dns_upstream(struct config *c, const char *text, struct err *e);
int config_dns_hosts(struct config *c, const char *text, struct err *e);
int config_dns_zone(struct config *c, const char *text, struct err *e);
int config_dns_external_zone(struct config *c, const char *text, struct err *e);
int config_dns_ttl(struct config *c, const char *text, struct err *e);
int config_dns_cache(struct config *c, const char *text, struct err *e);
int config_dns_workers(struct config *c, const char *text, struct err *e);
int config_dns_pods(struct config *c, const char *text, struct err *e);
int config_dns_log(struct config *c, const char *text, struct err *e);
/* Where nobody said where to listen. */
int config_dns_finish(struct config *c, struct err *e);
void config_dns_print(const struct config *c, struct buf *out);
