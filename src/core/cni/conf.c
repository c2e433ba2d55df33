// SPDX-License-Identifier: Apache-2.0
/* conf: see conf.h. DEL is judged mildly: what only ADD needs must not keep a container from
 * being torn down. */
#include "core/cni/conf.h"
#include "base/names.h"
#include "core/cni/ports.h"
#include "model/kernel.h"
#include "model/table.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SUN_PATH 107

static const char *const version_array[] = { "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0" };
static const struct names versions = { version_array, CNI_VERSIONS };
static_assert(sizeof(version_array) / sizeof(version_array[0]) == CNI_VERSIONS, "versions");

static const char *const verb_array[] = {
	NULL, "ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION",
};
static const struct names verbs = { verb_array, CNI_VERSION + 1 };
static_assert(sizeof(verb_array) / sizeof(verb_array[0]) == CNI_VERSION + 1, "verbs");

static const struct field ipam_fields[] = {
	FIELD(struct cni_conf_ipam, type, 1, F_STR),
	FIELD(struct cni_conf_ipam, socket, 2, F_STR),
	FIELD(struct cni_conf_ipam, timeout, 3, F_I64, .min = 1, .max = 600),
	FIELD(struct cni_conf_ipam, pools, 4, F_STR, .flags = FF_LIST),
};
static const SCHEMA(ipam_schema, "CNI ipam", struct cni_conf_ipam, ipam_fields);

static const struct field port_wish_fields[] = {
	FIELD(struct cni_port_wish, hostPort, 1, F_I64),
	FIELD(struct cni_port_wish, containerPort, 2, F_I64),
	FIELD(struct cni_port_wish, protocol, 3, F_STR),
	FIELD(struct cni_port_wish, hostIP, 4, F_STR),
};
static const SCHEMA(port_wish_schema, "CNI port mapping", struct cni_port_wish, port_wish_fields);

static const struct field wishes_fields[] = {
	FIELD(struct cni_wishes, ips, 1, F_STR, .flags = FF_LIST),
	FIELD(struct cni_wishes, mac, 2, F_STR),
	FIELD(struct cni_wishes, portMappings, 3, F_OBJ, .flags = FF_LIST,
	      .sub = &port_wish_schema),
};
static const SCHEMA(wishes_schema, "CNI wishes", struct cni_wishes, wishes_fields);

typedef TYPE_OF(struct cni_conf, args) conf_args;
static const struct field args_fields[] = {
	FIELD(conf_args, cni, 1, F_OBJ, .sub = &wishes_schema),
};
static const SCHEMA(args_schema, "CNI args", conf_args, args_fields);

static const struct field conf_fields[] = {
	FIELD(struct cni_conf, cniVersion, 1, F_STR),
	FIELD(struct cni_conf, name, 2, F_STR),
	FIELD(struct cni_conf, type, 3, F_STR),
	FIELD(struct cni_conf, socket, 4, F_STR),
	FIELD(struct cni_conf, bridge, 5, F_STR),
	FIELD(struct cni_conf, mtu, 6, F_I64),
	FIELD(struct cni_conf, timeout, 7, F_I64, .min = 1, .max = 600),
	FIELD(struct cni_conf, attachment, 8, F_STR),
	FIELD(struct cni_conf, pools, 9, F_STR, .flags = FF_LIST),
	FIELD(struct cni_conf, ipam, 10, F_PTR, .sub = &ipam_schema),
	FIELD(struct cni_conf, runtimeConfig, 11, F_PTR, .sub = &wishes_schema),
	FIELD(struct cni_conf, args, 12, F_OBJ, .sub = &args_schema),
	FIELD_KEY(struct cni_conf, valid, "cni.dev/valid-attachments", 13, F_OBJ, .flags = FF_LIST,
		  .sub = &cni_attachment_schema),
};
const SCHEMA(cni_conf_schema, "CNI configuration", struct cni_conf, conf_fields);

static enum cni_code fail(struct err *e, enum cni_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static enum cni_code fail(struct err *e, enum cni_code code, const char *fmt, ...)
{
	char text[ERR_TEXT];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	err_set(e, -EINVAL, "%s", text);
	return code;
}

const char *cni_version_name(unsigned version)
{
	return name_of(&versions, version);
}

int cni_version_find(const char *name)
{
	return name_find(&versions, name);
}

/* ---- environment */

static bool is_set(const char *s)
{
	return s && *s;
}

enum cni_code cni_check_env(const struct cni_env *env, uint8_t *verb, struct err *e)
{
	int v = is_set(env->command) ? name_find(&verbs, env->command) : CNI_NONE;
	bool attachment = v == CNI_ADD || v == CNI_DEL || v == CNI_CHECK;
	bool command = v == CNI_NONE;
	bool container = attachment && !is_set(env->containerID);
	bool netns = (v == CNI_ADD || v == CNI_CHECK) && !is_set(env->netns);
	bool ifname = attachment && !is_set(env->ifname);

	if (v < 0)
		return fail(e, CNI_ERR_ENV, "unknown CNI_COMMAND \"%.32s\"", env->command);
	if (command || container || netns || ifname)
		return fail(e, CNI_ERR_ENV, "required environment variables are missing:%s%s%s%s",
			    command ? " CNI_COMMAND" : "", container ? " CNI_CONTAINERID" : "",
			    netns ? " CNI_NETNS" : "", ifname ? " CNI_IFNAME" : "");
	*verb = (uint8_t)v;
	return CNI_OK;
}

/* The specification's alphabet of container ids and network names. */
static bool valid_id(const char *s)
{
	static const char alnum[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789";

	return strspn(s, alnum) && !s[strspn(s, "_.-abcdefghijklmnopqrstuvwxyz"
						"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")];
}

/* As the kernel's dev_valid_name(). */
static bool valid_ifname(const char *s)
{
	if (!*s || strlen(s) >= IFNAME_LEN || !strcmp(s, ".") || !strcmp(s, ".."))
		return false;
	for (; *s; s++)
		if (*s == '/' || *s == ':' || strchr(" \t\n\v\f\r", *s))
			return false;
	return true;
}

/* What CNI_ARGS says: "KEY=value;…". */
struct cni_args {
	const char *ns, *pod, *uid, *ip, *mac;
	const char *unknown;
	bool ignore_unknown;
};

static bool truth(const char *s, bool *out)
{
	*out = !strcmp(s, "1") || !strcasecmp(s, "true");
	return *out || !strcmp(s, "0") || !strcasecmp(s, "false");
}

static enum cni_code take_arg(struct cni_args *args, const char *key, const char *value,
			      struct err *e)
{
	const struct {
		const char *key, **at;
	} known[] = {
		{ "K8S_POD_NAMESPACE", &args->ns },
		{ "K8S_POD_NAME", &args->pod },
		{ "K8S_POD_UID", &args->uid },
		{ "K8S_POD_INFRA_CONTAINER_ID", &(const char *){ NULL } },
		{ "IP", &args->ip },
		{ "MAC", &args->mac },
	};

	if (!strcmp(key, "IgnoreUnknown")) {
		if (!truth(value, &args->ignore_unknown))
			return fail(e, CNI_ERR_ENV, "CNI_ARGS: IgnoreUnknown: must be 0 or 1");
		return CNI_OK;
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(key, known[i].key)) {
			*known[i].at = *value ? value : NULL;
			return CNI_OK;
		}
	if (!args->unknown)
		args->unknown = key;
	return CNI_OK;
}

static enum cni_code read_args(const char *text, struct arena *a, struct cni_args *args,
			       struct err *e)
{
	char *rest = arena_strdup(a, text ? text : ""), *pair;

	if (!rest)
		return fail(e, CNI_ERR_INTERNAL, "no memory");
	while ((pair = strsep(&rest, ";"))) {
		char *eq = strchr(pair, '=');
		enum cni_code r;

		if (!*pair)
			continue;
		if (!eq || eq == pair)
			return fail(e, CNI_ERR_ENV, "CNI_ARGS: \"%.64s\": must be KEY=VALUE", pair);
		*eq = '\0';
		r = take_arg(args, pair, eq + 1, e);
		if (r)
			return r;
	}
	if (args->unknown && !args->ignore_unknown)
		return fail(e, CNI_ERR_ENV,
			    "CNI_ARGS: unknown key %.64s (IgnoreUnknown=1 permits it)",
			    args->unknown);
	return CNI_OK;
}

/* ---- configuration */

static enum cni_code check_version(const struct cni_conf *conf, uint8_t verb, uint8_t *version,
				   struct err *e)
{
	/* Section 1: a configuration without one speaks 0.1.0. */
	const char *name = conf->cniVersion ? conf->cniVersion : "0.1.0";
	int v = cni_version_find(name);
	unsigned since = verb == CNI_CHECK                      ? CNI_0_4_0
			 : verb == CNI_GC || verb == CNI_STATUS ? CNI_1_1_0
								: CNI_0_3_0;

	if (v < 0)
		return fail(e, CNI_ERR_VERSION,
			    "cniVersion \"%.32s\" is not supported; supported are 0.3.0, 0.3.1, "
			    "0.4.0, 1.0.0 and 1.1.0",
			    name);
	if ((unsigned)v < since)
		return fail(e, CNI_ERR_VERSION, "cniVersion %s has no %s; it came with %s", name,
			    name_of(&verbs, verb), cni_version_name(since));
	*version = (uint8_t)v;
	return CNI_OK;
}

static enum cni_code check_names(const struct cni_env *env, const struct cni_conf *conf,
				 uint8_t verb, struct err *e)
{
	if (!is_set(conf->name))
		return fail(e, CNI_ERR_CONFIG, "name: the network's name is missing");
	if (!valid_id(conf->name))
		return fail(e, CNI_ERR_CONFIG,
			    "name: \"%.64s\": must begin with a letter or digit and hold only "
			    "these, '_', '.' and '-'",
			    conf->name);
	if (verb == CNI_GC || verb == CNI_STATUS)
		return CNI_OK;
	if (!valid_id(env->containerID))
		return fail(e, CNI_ERR_ENV,
			    "CNI_CONTAINERID: \"%.64s\": must begin with a letter or digit and "
			    "hold only these, '_', '.' and '-'",
			    env->containerID);
	if (!valid_ifname(env->ifname))
		return fail(e, CNI_ERR_ENV, "CNI_IFNAME: \"%.32s\": no name for an interface",
			    env->ifname);
	return CNI_OK;
}

static enum cni_code read_ips(const struct cni_wishes *w, const char *path, struct arena *a,
			      struct cni_request *q, struct err *e)
{
	q->ips.v = arena_array(a, w->ips.n, sizeof(*q->ips.v));
	if (!q->ips.v)
		return fail(e, CNI_ERR_INTERNAL, "no memory");
	for (uint32_t i = 0; i < w->ips.n; i++) {
		struct prefix p;

		if (prefix_parse_host(w->ips.v[i], &p))
			return fail(e, CNI_ERR_CONFIG, "%s.ips[%u]: \"%.64s\": no address", path, i,
				    w->ips.v[i]);
		q->ips.v[i] = p.addr;
	}
	q->ips.n = w->ips.n;
	return CNI_OK;
}

static enum cni_code read_mac(const char *text, const char *path, struct cni_request *q,
			      struct err *e)
{
	struct macaddr none = { { 0 } };

	if (mac_parse(text, &q->mac) || (q->mac.b[0] & 1) || !memcmp(&q->mac, &none, sizeof(none)))
		return fail(e, path[0] == 'M' ? CNI_ERR_ENV : CNI_ERR_CONFIG,
			    "%s: \"%.32s\": no MAC address that an interface may have", path, text);
	return CNI_OK;
}

/* The runtime's wish goes before the administrator's, that before CNI_ARGS. */
static enum cni_code read_wishes(const struct cni_conf *conf, const struct cni_args *args,
				 struct arena *a, struct cni_request *q, struct err *e)
{
	static const struct cni_wishes none;
	const struct cni_wishes *run = conf->runtimeConfig ? conf->runtimeConfig : &none;
	const struct cni_wishes *adm = &conf->args.cni;
	const struct cni_wishes env = { .ips = { (const char **)&args->ip, args->ip ? 1 : 0 } };
	enum cni_code r;

	if (run->ips.n)
		r = read_ips(run, "runtimeConfig", a, q, e);
	else if (adm->ips.n)
		r = read_ips(adm, "args.cni", a, q, e);
	else
		r = read_ips(&env, "CNI_ARGS", a, q, e);
	if (r)
		return r;
	if (is_set(run->mac))
		return read_mac(run->mac, "runtimeConfig.mac", q, e);
	if (is_set(adm->mac))
		return read_mac(adm->mac, "args.cni.mac", q, e);
	return args->mac ? read_mac(args->mac, "MAC of CNI_ARGS", q, e) : CNI_OK;
}

/* As IPAM plugin the interface is another's, and so are its ports. */
static enum cni_code read_ports(const struct cni_conf *conf, struct arena *a, struct cni_request *q,
				struct err *e)
{
	if (!conf->runtimeConfig || q->ipam_only || !cni_read_ports(conf->runtimeConfig, a, q, e))
		return CNI_OK;
	return e->code == -ENOMEM ? CNI_ERR_INTERNAL : CNI_ERR_CONFIG;
}

static enum cni_code read_interface(const struct cni_conf *conf, struct cni_request *q,
				    struct err *e)
{
	const char *kind = conf->attachment ? conf->attachment : "routed";

	if (conf->type && conf->ipam && conf->ipam->type &&
	    strcmp(conf->ipam->type, "fairlead-ipam") != 0)
		return fail(e, CNI_ERR_CONFIG,
			    "ipam.type: must be fairlead-ipam (or leave ipam out), not \"%.64s\"",
			    conf->ipam->type);
	if (!strcmp(kind, "bridge"))
		q->attach = CNI_BRIDGE;
	else if (strcmp(kind, "routed") != 0)
		return fail(e, CNI_ERR_CONFIG,
			    "attachment: must be routed or bridge, not \"%.32s\"", kind);
	if (conf->bridge && q->attach != CNI_BRIDGE)
		return fail(e, CNI_ERR_CONFIG, "bridge: needs attachment bridge");
	if (conf->bridge && !valid_ifname(conf->bridge))
		return fail(e, CNI_ERR_CONFIG, "bridge: \"%.32s\": no name for an interface",
			    conf->bridge);
	if (conf->mtu && (conf->mtu < 576 || conf->mtu > 65535))
		return fail(e, CNI_ERR_CONFIG, "mtu: must be from 576 to 65535, or 0");
	q->bridge = conf->bridge;
	q->mtu = conf->mtu;
	return CNI_OK;
}

static enum cni_code read_place(const struct cni_conf *conf, struct cni_call *call, struct err *e)
{
	static const struct cni_conf_ipam none;
	const struct cni_conf_ipam *ipam = conf->ipam ? conf->ipam : &none;
	struct cni_request *q = &call->request;
	int64_t seconds = conf->timeout;

	call->socket = is_set(conf->socket) ? conf->socket : CNI_SOCKET;
	if (is_set(ipam->socket) && (q->ipam_only || !is_set(conf->socket)))
		call->socket = ipam->socket;
	if (ipam->timeout && (q->ipam_only || !seconds))
		seconds = ipam->timeout;
	call->timeout_ms = seconds ? seconds * 1000 : CNI_TIMEOUT_MS;
	if (call->socket[0] != '/' || strlen(call->socket) > SUN_PATH)
		return fail(e, CNI_ERR_CONFIG,
			    "socket: \"%.128s\": must be an absolute path of at most %d bytes",
			    call->socket, SUN_PATH);
	q->pools.v = ipam->pools.n ? ipam->pools.v : conf->pools.v;
	q->pools.n = ipam->pools.n ? ipam->pools.n : conf->pools.n;
	return CNI_OK;
}

static enum cni_code read_valid(const struct cni_conf *conf, struct cni_request *q, struct err *e)
{
	/* Without the list everything would count as stale. */
	if (!conf->valid.v)
		return fail(e, CNI_ERR_CONFIG, "cni.dev/valid-attachments: is missing");
	for (uint32_t i = 0; i < conf->valid.n; i++)
		if (!is_set(conf->valid.v[i].containerID) || !is_set(conf->valid.v[i].ifname))
			return fail(e, CNI_ERR_CONFIG,
				    "cni.dev/valid-attachments[%u]: needs containerID and ifname",
				    i);
	q->valid.v = conf->valid.v;
	q->valid.n = conf->valid.n;
	return CNI_OK;
}

enum cni_code cni_judge(const struct cni_env *env, const struct cni_conf *conf, bool ipam_only,
			struct arena *a, struct cni_call *call, struct err *e)
{
	struct cni_call c = { .request.ipam_only = ipam_only };
	struct cni_request *q = &c.request;
	struct cni_args args = { .ns = NULL };
	enum cni_code r = cni_check_env(env, &q->verb, e);

	if (!r)
		r = check_version(conf, q->verb, &c.version, e);
	if (!r)
		r = check_names(env, conf, q->verb, e);
	if (!r)
		r = read_place(conf, &c, e);
	if (!r && q->verb != CNI_DEL)
		r = read_args(env->args, a, &args, e);
	if (!r && q->verb == CNI_ADD)
		r = read_wishes(conf, &args, a, q, e);
	if (!r && (q->verb == CNI_ADD || q->verb == CNI_CHECK))
		r = read_ports(conf, a, q, e);
	if (!r && q->verb == CNI_ADD && !ipam_only)
		r = read_interface(conf, q, e);
	if (!r && q->verb == CNI_GC)
		r = read_valid(conf, q, e);
	if (r)
		return r;
	q->network = conf->name;
	if (q->verb == CNI_ADD || q->verb == CNI_DEL || q->verb == CNI_CHECK) {
		q->containerID = env->containerID;
		q->ifname = env->ifname;
		q->netns = is_set(env->netns) ? env->netns : NULL;
	}
	/* podman gives a pod's name without a namespace: that is no pod of Kubernetes. */
	if (args.ns && args.pod) {
		q->pod_namespace = args.ns;
		q->pod_name = args.pod;
		q->pod_uid = args.uid;
	}
	*call = c;
	return CNI_OK;
}
