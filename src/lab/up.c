// SPDX-License-Identifier: Apache-2.0
/* up: see up.h. The store is filled before the first daemon runs, so that all of them begin
 * with one list instead of following each object. */
#include "lab/up.h"

#include "base/names.h"
#include "lab/bgp.h"
#include "lab/bgp_objects.h"
#include "lab/place.h"
#include "model/bgp.h"
#include "sys/file.h"
#include "sys/priv.h"
#include "sys/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define REPORT_FD  3
#define CLUSTER_ID "224.0.0.1" /* of all reflectors, as none of them is another one's client */

struct filling {
	const struct lab_spec *spec;
	const struct manifest *m;
	struct store *store;
};

/* ---- the objects */

static int put(const struct filling *f, json_t *j, struct err *e)
{
	int rc = j ? store_put_json(f->store, STORE_OP_APPLY, j, NULL, e)
		   : err_set(e, -ENOMEM, "out of memory");

	json_decref(j);
	return rc;
}

static const struct manifest_item *find_item(const struct manifest *m, unsigned kind,
					     const char *name)
{
	for (size_t i = 0; i < m->n_items; i++)
		if (m->items[i].obj->kind->id == kind &&
		    (!name || !strcmp(m->items[i].obj->meta->name, name)))
			return &m->items[i];
	return NULL;
}

static json_t *member(json_t *j, const char *key, bool array)
{
	json_t *v = json_object_get(j, key);

	if (!v) {
		v = array ? json_array() : json_object();
		json_object_set_new(j, key, v);
	}
	return v;
}

static void set_default(json_t *j, const char *key, const char *value)
{
	if (!json_object_get(j, key))
		json_object_set_new(j, key, json_string(value));
}

static bool names_address(const json_t *addresses, const char *text)
{
	json_t *a;
	size_t i;

	json_array_foreach(addresses, i, a)
	{
		const char *have = json_string_value(json_object_get(a, "address"));

		if (have && !strcmp(have, text))
			return true;
	}
	return false;
}

/* What the speaker is to know of a node. */
static void note_bgp(const struct lab_spec *s, const struct lab_node *node, json_t *meta)
{
	json_t *notes = member(meta, "annotations", false);
	char as[16];

	snprintf(as, sizeof(as), "%u", lab_as(s, node));
	set_default(notes, ANNOTATION_AS_NUMBER, as);
	if (!lab_is_reflector(s, node))
		return;
	set_default(member(meta, "labels", false), LAB_REFLECTOR_LABEL, "true");
	set_default(notes, ANNOTATION_CLUSTER_ID, CLUSTER_ID);
}

/* The Node as the kubelet and a cloud would have filled it in; what the manifest says stays. */
static int put_node(const struct filling *f, const struct lab_node *node, struct err *e)
{
	const struct manifest_item *item = find_item(f->m, KIND_NODE, node->name);
	json_t *j = item ? json_deep_copy(item->json)
			 : json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", "Node",
				     "metadata", "name", node->name);
	json_t *labels = member(member(j, "metadata", false), "labels", false);
	json_t *addresses = member(member(j, "status", false), "addresses", true);
	char text[ADDR_TEXT];

	set_default(labels, "kubernetes.io/hostname", node->name);
	snprintf(text, sizeof(text), "rack%u", node->rack);
	set_default(labels, LAB_ZONE_LABEL, text);
	if (lab_has_bgp(f->spec))
		note_bgp(f->spec, node, member(j, "metadata", false));
	for (uint32_t i = 0; i < node->addrs.n; i++) {
		addr_str(&node->addrs.v[i].addr, text);
		if (!names_address(addresses, text))
			json_array_append_new(addresses, json_pack("{s:s, s:s}", "type",
								   "InternalIP", "address", text));
	}
	return put(f, j, e);
}

static int put_namespace(const struct filling *f, const char *name, struct err *e)
{
	int rc = store_get(f->store, &(struct store_key){ kind_by_id(KIND_NAMESPACE), NULL, name },
			   NULL, NULL, NULL);

	if (!rc || find_item(f->m, KIND_NAMESPACE, name))
		return 0;
	return put(f,
		   json_pack("{s:s, s:s, s:{s:s, s:{s:s}}}", "apiVersion", "v1", "kind",
			     "Namespace", "metadata", "name", name, "labels",
			     "kubernetes.io/metadata.name", name),
		   e);
}

static int put_pool(const struct filling *f, uint32_t i, struct err *e)
{
	static const char *const modes[] = {
		[POOL_DIRECT] = "Direct", [POOL_VXLAN] = "VXLAN", [POOL_IPIP] = "IPIP"
	};
	const struct prefix *cidr = &f->spec->pod_cidrs.v[i];
	bool v6_in_ipip = f->spec->mode == POOL_IPIP && cidr->addr.family == AF_INET6;
	enum pool_mode mode = v6_in_ipip ? POOL_VXLAN : f->spec->mode;
	char text[PREFIX_TEXT], name[32];
	bool first = true; /* of its family */

	for (uint32_t k = 0; k < i; k++)
		first = first && f->spec->pod_cidrs.v[k].addr.family != cidr->addr.family;
	snprintf(name, sizeof(name), "default-ipv%d", cidr->addr.family == AF_INET ? 4 : 6);
	if (!first || find_item(f->m, KIND_IPPOOL, name))
		snprintf(name, sizeof(name), "pool-%u", i + 1);
	return put(f,
		   json_pack("{s:s, s:s, s:{s:s}, s:{s:s, s:s, s:s, s:b, s:b}}", "apiVersion",
			     "fairlead.io/v1", "kind", "IPPool", "metadata", "name", name, "spec",
			     "cidr", prefix_str(cidr, text), "mode", modes[mode], "routes",
			     lab_has_bgp(f->spec) ? "bgp" : "store", "crossSubnet",
			     f->spec->cross_subnet, "natOutgoing", 1),
		   e);
}

/* What the manifests say of BGP stays. */
static int put_bgp(const struct filling *f, struct err *e)
{
	json_t *v = lab_has_bgp(f->spec) ? lab_bgp_objects(f->spec) : json_array(), *j;
	int rc = v ? 0 : err_set(e, -ENOMEM, "out of memory");
	size_t i;

	json_array_foreach(v, i, j)
	{
		rc = rc ? rc : store_put_json(f->store, STORE_OP_APPLY, j, NULL, e);
	}
	json_decref(v);
	return rc;
}

static int fill(const struct filling *f, struct err *e)
{
	static const char *const always[] = { "default", "kube-system" };
	int rc = 0;

	for (uint32_t i = 0; !rc && i < f->spec->nodes.n; i++)
		rc = put_node(f, &f->spec->nodes.v[i], e);
	for (int i = 0; !rc && i < 2; i++)
		rc = put_namespace(f, always[i], e);
	for (size_t i = 0; !rc && i < f->m->n_items; i++)
		if (f->m->items[i].obj->meta->namespace)
			rc = put_namespace(f, f->m->items[i].obj->meta->namespace, e);
	for (uint32_t i = 0; !rc && i < f->spec->pod_cidrs.n; i++)
		rc = put_pool(f, i, e);
	if (!rc)
		rc = put_bgp(f, e);
	for (size_t i = 0; !rc && i < f->m->n_items; i++) {
		const struct manifest_item *item = &f->m->items[i];

		if (item->obj->kind->id == KIND_NODE)
			continue;
		rc = store_put_json(f->store, STORE_OP_APPLY, item->json, NULL, e);
		if (rc)
			err_wrap(e, "%s", item->where);
	}
	return rc;
}

/* ---- ROOT */

static int write_text(const char *lab, const char *file, struct buf *text, struct err *e)
{
	char path[LAB_PATH];
	int rc = text->failed
			 ? err_set(e, -ENOMEM, "out of memory")
			 : file_write(lab_path(path, lab, "%s", file), text->v, text->n, 0644, e);

	buf_fini(text);
	return rc;
}

/* The store belongs to the user that its daemon runs as. */
static int make_store(const struct lab_spec *s, const struct manifest *m, struct err *e)
{
	struct filling f = { .spec = s, .m = m };
	char path[LAB_PATH], url[LAB_PATH + 8];
	uid_t uid;
	gid_t gid;
	int rc = priv_user(NULL, &uid, &gid, e);

	if (!rc)
		rc = dir_make(lab_path(path, s->name, "store.d"), 0755, e);
	if (!rc && chown(path, uid, gid) < 0)
		rc = err_sys(e, -errno, "%s", path);
	if (rc)
		return rc;
	snprintf(url, sizeof(url), "dir:%s", path);
	rc = store_open(url, STORE_CREATE, &f.store, e);
	if (!rc)
		rc = fill(&f, e);
	store_close(f.store);
	return rc;
}

static int make_root(const struct lab_spec *s, const struct manifest *m, struct err *e)
{
	static const char *const dirs[] = { "log", "pods", "run" };
	char path[LAB_PATH];
	struct buf text = { 0 };
	int rc = 0;

	for (uint32_t i = 0; !rc && i < s->nodes.n; i++)
		for (int d = 0; !rc && d < 3; d++)
			rc = dir_make(
				lab_path(path, s->name, "nodes/%s/%s", s->nodes.v[i].name, dirs[d]),
				0755, e);
	lab_spec_print(s, &text);
	if (!rc)
		rc = write_text(s->name, "lab.conf", &text, e);
	if (!rc)
		rc = make_store(s, m, e);
	/* Last: this file is what other commands take a running lab by. */
	buf_printf(&text, "dir:%s\n", lab_path(path, s->name, "store.d"));
	if (!rc)
		rc = write_text(s->name, "store", &text, e);
	buf_fini(&text);
	return rc;
}

/* ---- the supervisor */

static int wait_report(int fd, struct err *e)
{
	char text[ERR_TEXT];
	size_t n = 0;
	ssize_t got;

	while (n < sizeof(text) - 1 && (got = read(fd, text + n, sizeof(text) - 1 - n)) != 0) {
		if (got < 0 && errno != EINTR)
			return err_sys(e, -errno, "lab-supervisor");
		n += got > 0 ? (size_t)got : 0;
	}
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (!strcmp(text, "ready"))
		return 0;
	return err_set(e, -EIO, "%s", *text ? text : "lab-supervisor died");
}

static int start_supervisor(const char *name, struct err *e)
{
	char libexec[PATH_MAX], program[PATH_MAX + 32], log[LAB_PATH];
	const char *argv[] = { "lab-supervisor", name, NULL };
	int report[2] = { -1, -1 }, out = -1, null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct proc_fd fds[4];
	struct proc_spec spec = {
		.path = program, .argv = argv, .fds = fds, .nfds = 4, .new_session = true
	};
	struct proc proc;
	int rc = proc_libexec(libexec, sizeof(libexec), e);

	if (rc)
		return rc;
	snprintf(program, sizeof(program), "%s/lab-supervisor", libexec);
	out = open(lab_path(log, name, "lab.log"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (null < 0 || out < 0 || pipe2(report, O_CLOEXEC) < 0) {
		rc = err_sys(e, -errno, "%s", log);
	} else {
		fds[0] = (struct proc_fd){ null, 0 };
		fds[1] = (struct proc_fd){ out, 1 };
		fds[2] = (struct proc_fd){ out, 2 };
		fds[3] = (struct proc_fd){ report[1], REPORT_FD };
		rc = proc_spawn(&spec, &proc, e);
	}
	if (report[1] >= 0)
		close(report[1]);
	if (!rc) {
		close(proc.pidfd);
		rc = wait_report(report[0], e);
	}
	if (report[0] >= 0)
		close(report[0]);
	if (out >= 0)
		close(out);
	if (null >= 0)
		close(null);
	return rc;
}

/* ---- public */

/* Takes the name: whoever holds the lock of its folder is making the lab. What is left of a
 * lab whose processes are all dead is no lab. Returns the descriptor that holds the lock. */
static int claim(const char *name, struct err *e)
{
	char path[LAB_PATH];
	size_t alive = 0;
	int fd, rc = lab_make(name, e);

	if (rc)
		return rc;
	fd = file_lock(lab_path(path, name, "lock"), 0, e);
	if (fd == -EWOULDBLOCK)
		return err_set(e, -EEXIST, "lab \"%s\" is being made by another command", name);
	if (fd < 0)
		return fd;
	rc = lab_count(name, &alive, e);
	if (!rc && alive)
		rc = err_set(e, -EEXIST,
			     "lab \"%s\" is up; take it down with: fairlead lab down --name %s",
			     name, name);
	if (!rc)
		rc = lab_clear(name, e);
	if (rc)
		close(fd);
	return rc ? rc : fd;
}

int lab_up(const struct lab_spec *spec, const struct manifest *m, struct err *e)
{
	int lock = claim(spec->name, e), rc;

	if (lock < 0)
		return lock;
	rc = make_root(spec, m, e);
	if (!rc)
		rc = start_supervisor(spec->name, e);
	if (rc)
		lab_down(spec->name, NULL);
	close(lock);
	return rc;
}

int lab_down(const char *name, struct err *e)
{
	char path[LAB_PATH];
	int rc;

	if (access(lab_path(path, name, "%s", ""), F_OK) < 0)
		return err_set(e, -ENOENT, "no lab \"%s\" is up", name);
	rc = lab_kill(name, e);
	return rc ? rc : lab_remove(name, e);
}
