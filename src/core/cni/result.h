/* SPDX-License-Identifier: Apache-2.0 */
/* A result between its typed form (message.h) and the JSON of each CNI version. The JSON itself
 * is read and written by the tables here (store/json.h); what differs between versions is done
 * on the structs:
 *   before 1.0.0  ips[].version "4" or "6" is there
 *   before 1.1.0  no interfaces[].mtu, no routes[] keys but dst and gw */
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "core/cni/conf.h"
#include "core/cni/message.h"

struct cni_ip_text {
	const char *version;
	struct prefix address;
	struct ipaddr gateway;
	struct opt_i64 interface;
};

struct cni_dns_text {
	LIST(const char *) nameservers;
	const char *domain;
	LIST(const char *) search;
	LIST(const char *) options;
};

struct cni_result_text {
	const char *cniVersion;
	LIST(struct cni_interface) interfaces;
	LIST(struct cni_ip_text) ips;
	LIST(struct cni_route) routes;
	struct cni_dns_text *dns; /* never NULL when written: an empty object */
};

struct cni_error_text {
	const char *cniVersion;
	struct opt_i64 code;
	const char *msg, *details;
};

struct cni_version_text {
	const char *cniVersion;
	LIST(const char *) supportedVersions;
};

extern const struct schema cni_result_text_schema, cni_error_text_schema, cni_version_text_schema;

/* `ipam_only`: an IPAM plugin's answer has no interfaces and no indices into them.
 * 0 or -ENOMEM. */
int cni_result_write(unsigned version, bool ipam_only, const struct cni_result *r, struct arena *a,
		     struct cni_result_text *out, struct err *e);
/* A prevResult. `version` is that of the configuration, for a result that names none. An enum
 * cni_code. */
enum cni_code cni_result_read(unsigned version, const struct cni_result_text *t, struct arena *a,
			      struct cni_result *out, struct err *e);
