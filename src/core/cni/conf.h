/* SPDX-License-Identifier: Apache-2.0 */
/* From what a container runtime says (environment and network configuration) to one request, as
 * CNI 1.1.0, sections 1 and 2, asks. The functions return an enum cni_code, with the text in `e`
 * where it is not CNI_OK; texts name the variable or the path in the configuration.
 *
 * fairlead-cni(8) documents the keys. As an IPAM plugin ours are read from the `ipam` object, and
 * from the top where it does not have them. */
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "core/cni/message.h"

enum cni_version { CNI_0_3_0, CNI_0_3_1, CNI_0_4_0, CNI_1_0_0, CNI_1_1_0, CNI_VERSIONS };

#define CNI_SOCKET     "/run/fairlead/cni.sock"
#define CNI_TIMEOUT_MS 30000

/* CNI_COMMAND and so on; NULL where unset. */
struct cni_env {
	const char *command, *containerID, *netns, *ifname, *args;
};

struct cni_port_wish {
	int64_t hostPort, containerPort;
	const char *protocol, *hostIP;
};

/* What an administrator or the runtime may ask for one container, in three places. */
struct cni_wishes {
	LIST(const char *) ips; /* addresses, a length is accepted and ignored */
	const char *mac;
	LIST(struct cni_port_wish) portMappings; /* the runtime's only */
};

struct cni_conf_ipam {
	const char *type, *socket;
	int64_t timeout;
	LIST(const char *) pools;
};

/* The configuration as it stands in the JSON. */
struct cni_conf {
	const char *cniVersion, *name, *type, *socket, *bridge;
	int64_t mtu, timeout; /* timeout: seconds */
	const char *attachment;
	LIST(const char *) pools;
	struct cni_conf_ipam *ipam;
	struct cni_wishes *runtimeConfig;
	struct {
		struct cni_wishes cni;
	} args;
	LIST(struct cni_attachment) valid; /* "cni.dev/valid-attachments" */
};

extern const struct schema cni_conf_schema;

struct cni_call {
	uint8_t version; /* enum cni_version */
	const char *socket;
	int64_t timeout_ms;
	struct cni_request request; /* but for prev */
};

/* "0.3.0" … "1.1.0". */
const char *cni_version_name(unsigned version);
/* -1: not supported. */
int cni_version_find(const char *name);

/* Which command, and are all its variables there? Before the configuration is read. */
enum cni_code cni_check_env(const struct cni_env *env, uint8_t *verb, struct err *e);
/* Judges the rest; `call` points into `a`, `env` and `conf`. */
enum cni_code cni_judge(const struct cni_env *env, const struct cni_conf *conf, bool ipam_only,
			struct arena *a, struct cni_call *call, struct err *e);
