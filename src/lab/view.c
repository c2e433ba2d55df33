// SPDX-License-Identifier: Apache-2.0
/* view: see view.h. Nothing of the machine is written: /etc, /opt and /var/lib are overlays
 * whose upper layers live in the lab's private tmpfs, so that a machine without /etc/cni gets
 * none. The machine's own CNI and fairlead state is covered, not shared. */
#include "lab/view.h"

#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int mounted(const char *source, const char *at, const char *type, unsigned long flags,
		   const char *data, struct err *e)
{
	return mount(source, at, type, flags, data) < 0 ? err_sys(e, -errno, "mounting %s", at) : 0;
}

static int bind(const char *from, const char *at, struct err *e)
{
	return mounted(from, at, NULL, MS_BIND, NULL, e);
}

/* /sys shows the devices of the network namespace that mounted it; cgroups are kept. */
static int own_sys(struct err *e)
{
	int cgroups = open_tree(AT_FDCWD, "/sys/fs/cgroup",
				OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	int rc = mounted("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, e);

	if (cgroups >= 0) {
		if (!rc && move_mount(cgroups, "", AT_FDCWD, "/sys/fs/cgroup",
				      MOVE_MOUNT_F_EMPTY_PATH) < 0)
			rc = err_sys(e, -errno, "/sys/fs/cgroup");
		close(cgroups);
	}
	/* Not in every kernel; who needs it says so. */
	if (!rc && access("/sys/fs/bpf", F_OK) == 0)
		mount("bpf", "/sys/fs/bpf", "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	return rc;
}

int view_plain(struct err *e)
{
	return own_sys(e);
}

int view_mark(const char *lab, struct err *e)
{
	char path[LAB_PATH], source[LAB_MARK_MAX];
	int rc = lab_mark(lab, source, e);

	return rc ? rc
		  : mounted(source, lab_path(path, lab, "private"), "tmpfs", 0, "mode=0755", e);
}

/* `path` of the machine below, what the node writes in the private tmpfs above. */
static int overlay(const struct view_node *v, const char *path, const char *label, struct err *e)
{
	char upper[LAB_PATH], work[LAB_PATH], data[3 * LAB_PATH];
	int rc;

	if (access(path, F_OK) < 0)
		return 0;
	lab_path(upper, v->lab, "private/%s/%s", v->node, label);
	lab_path(work, v->lab, "private/%s/%s.work", v->node, label);
	rc = dir_make(upper, 0755, e);
	if (!rc)
		rc = dir_make(work, 0755, e);
	if (rc)
		return rc;
	snprintf(data, sizeof(data), "lowerdir=%s,upperdir=%s,workdir=%s", path, upper, work);
	return mounted("overlay", path, "overlay", 0, data, e);
}

static int cover(const struct view_node *v, const char *own, const char *at, struct err *e)
{
	char from[LAB_PATH];
	int rc = dir_make(lab_path(from, v->lab, "nodes/%s/%s", v->node, own), 0755, e);

	if (!rc)
		rc = dir_make(at, 0755, e);
	return rc ? rc : bind(from, at, e);
}

static int write_etc(const char *path, const char *text, struct err *e)
{
	int fd, rc = 0;
	size_t n = strlen(text);

	if (unlink(path) < 0 && errno != ENOENT) /* a link into the machine's /run, often */
		return err_sys(e, -errno, "%s", path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_sys(e, -errno, "%s", path);
	if (write(fd, text, n) != (ssize_t)n)
		rc = err_sys(e, -errno, "%s", path);
	close(fd);
	return rc;
}

/* The node's /run in the place of the machine's, with ROOT put back at its path: store and
 * configuration have the same name everywhere. */
static int own_run(const struct view_node *v, struct err *e)
{
	char root[LAB_PATH];
	int rc, tree;

	lab_path(root, v->lab, "%s", "");
	tree = open_tree(AT_FDCWD, root, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		return err_sys(e, -errno, "%s", root);
	rc = cover(v, "run", "/run", e);
	if (!rc)
		rc = dir_make(root, 0755, e);
	if (!rc && move_mount(tree, "", AT_FDCWD, root, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		rc = err_sys(e, -errno, "%s", root);
	close(tree);
	return rc;
}

int view_node(const struct view_node *v, struct err *e)
{
	char line[300];
	int rc = own_sys(e);

	snprintf(line, sizeof(line), "%s\n", v->node);
	if (!rc)
		rc = overlay(v, "/etc", "etc", e);
	if (!rc)
		rc = overlay(v, "/opt", "opt", e);
	if (!rc)
		rc = overlay(v, "/var/lib", "lib", e);
	if (!rc)
		rc = cover(v, "cni.d", "/etc/cni/net.d", e);
	if (!rc)
		rc = cover(v, "bin", "/opt/cni/bin", e);
	if (!rc)
		rc = cover(v, "lib", "/var/lib/fairlead", e);
	if (!rc)
		rc = cover(v, "lib-cni", "/var/lib/cni", e);
	if (!rc)
		rc = write_etc("/etc/hostname", line, e);
	if (!rc)
		rc = write_etc("/etc/hosts", v->hosts, e);
	if (!rc)
		rc = write_etc("/etc/resolv.conf", "# A lab node asks nobody.\n", e);
	return rc ? rc : own_run(v, e);
}

int view_pod(const char *dir, bool host_network, struct err *e)
{
	static const char *const files[] = { "hosts", "hostname", "resolv.conf" };
	char from[LAB_PATH], at[64];
	int rc = host_network ? 0 : own_sys(e);

	for (int i = 0; !rc && i < 3; i++) {
		snprintf(from, sizeof(from), "%s/%s", dir, files[i]);
		snprintf(at, sizeof(at), "/etc/%s", files[i]);
		rc = bind(from, at, e);
	}
	return rc ? rc : mounted("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755", e);
}
