// SPDX-License-Identifier: Apache-2.0
/* place: see place.h. The search reads /proc/PID/mountinfo once per mount namespace of others,
 * and of each process that seems ours: the kernel gives the number of a namespace that ended to
 * the next one at once, and in the middle of a sweep that may be anybody's. A process is held by
 * its pidfd from before it is looked at, so that the one killed is the one seen. Killing repeats
 * until a whole pass finds nobody, because a process may fork between being seen and being
 * killed; the supervisor is killed first, lest it restart. */
#include "lab/place.h"

#include "base/names.h"
#include "lab/words.h"
#include "sys/file.h"
#include "sys/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define STATE_MAX (1u << 20)
#define KILL_MS   5000
#define NS_MAX    4096

static const char *const kind_text[] = { "supervisor", "router", "rack", "outside", "node" };
static const struct names kinds = NAMES(kind_text);

const char *lab_path(char buf[LAB_PATH], const char *name, const char *fmt, ...)
{
	int n = snprintf(buf, LAB_PATH, "%s/%s/", LAB_RUN, name);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf + n, LAB_PATH - (size_t)n, fmt, ap);
	va_end(ap);
	return buf;
}

/* ---- state */

int lab_state_write(const char *name, const struct lab_state *s, struct err *e)
{
	struct buf b = { 0 };
	char path[LAB_PATH];
	int rc;

	for (uint32_t i = 0; i < s->members.n; i++) {
		const struct member *m = &s->members.v[i];

		buf_printf(&b, "%s %s %d %llu\n", name_of(&kinds, m->kind), m->name, m->space.pid,
			   (unsigned long long)m->space.start);
	}
	if (b.failed)
		rc = err_set(e, -ENOMEM, "out of memory");
	else
		rc = file_write(lab_path(path, name, "state"), b.v, b.n, 0644, e);
	buf_fini(&b);
	return rc;
}

static int parse_state(struct lab_state *s, char *text, struct arena *a)
{
	char *save = NULL;
	uint32_t n = 0, cap = 0;

	for (char *c = text; *c; c++)
		cap += *c == '\n';
	s->members.v = arena_array(a, cap, sizeof(*s->members.v));
	for (char *line = strtok_r(text, "\n", &save); line && s->members.v;
	     line = strtok_r(NULL, "\n", &save)) {
		struct member *m = &s->members.v[n];
		int which = name_find(&kinds, words_next(&line));

		if (which < 0)
			continue;
		m->kind = (uint8_t)which;
		m->name = arena_strdup(a, words_next(&line));
		if (!line || space_parse(line, &m->space))
			return -EINVAL;
		n++;
	}
	s->members.n = n;
	return a->failed ? -ENOMEM : 0;
}

int lab_state_read(const char *name, struct lab_state *s, struct arena *a, struct err *e)
{
	struct buf text = { 0 };
	char path[LAB_PATH];
	int rc = file_read(lab_path(path, name, "state"), STATE_MAX, &text, NULL);

	if (rc == -ENOENT)
		rc = err_set(e, rc, "no lab \"%s\" is up", name);
	else if (rc)
		rc = err_sys(e, rc, "%s", path);
	else if (text.v && (rc = parse_state(s, text.v, a)) != 0)
		err_set(e, rc, "%s: not understood", path);
	buf_fini(&text);
	return rc;
}

const struct member *lab_state_find(const struct lab_state *s, unsigned kind, const char *name)
{
	for (uint32_t i = 0; i < s->members.n; i++)
		if (s->members.v[i].kind == kind && (!name || !strcmp(s->members.v[i].name, name)))
			return &s->members.v[i];
	return NULL;
}

/* ---- who belongs to it */

struct seen {
	uint64_t others[NS_MAX]; /* mount namespaces without the mark */
	size_t n;
};

static bool mount_marked(pid_t pid, const char *mark)
{
	char path[40], *text;
	struct buf b = { 0 };
	bool found;

	snprintf(path, sizeof(path), "/proc/%d/mountinfo", pid);
	found = !file_read(path, 16u << 20, &b, NULL) && (text = b.v) && strstr(text, mark);
	buf_fini(&b);
	return found;
}

static bool is_member(pid_t pid, const char *mark, struct seen *seen)
{
	char path[40];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", pid);
	if (stat(path, &st) < 0)
		return false; /* gone, or a kernel thread */
	for (size_t i = 0; i < seen->n; i++)
		if (seen->others[i] == st.st_ino)
			return false;
	if (mount_marked(pid, mark))
		return true;
	if (seen->n < NS_MAX)
		seen->others[seen->n++] = st.st_ino;
	return false;
}

int lab_mark(const char *name, char buf[LAB_MARK_MAX], struct err *e)
{
	char path[LAB_PATH];
	struct stat st;

	if (stat(lab_path(path, name, "%s", ""), &st) < 0)
		return err_sys(e, -errno, "%s", path);
	snprintf(buf, LAB_MARK_MAX, LAB_MARK "%s:%llx-%llx", name, (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	return 0;
}

/* Signals the process if it is one of the lab's; whether it is and lives. */
static bool signal_member(pid_t pid, int sig, const char *mark, struct seen *seen)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	uint64_t start;
	bool ours = fd >= 0 && is_member(pid, mark, seen) &&
		    !space_start_time(pid, &start); /* a zombie holds nothing */

	if (ours && sig)
		proc_signal(fd, sig, NULL);
	if (fd >= 0)
		close(fd);
	return ours;
}

/* One pass over all processes; `sig` 0 only counts. */
static int sweep(const char *name, int sig, size_t *n, struct err *e)
{
	char mark[LAB_MARK_MAX + 2] = " ";
	struct seen *seen = calloc(1, sizeof(*seen));
	DIR *d = opendir("/proc");
	struct dirent *de;
	int rc = !d || !seen ? err_sys(e, -errno, "/proc") : lab_mark(name, mark + 1, e);

	strcat(mark, " ");
	*n = 0;
	while (!rc && (de = readdir(d))) {
		uint64_t pid;

		if (!words_number(de->d_name, INT32_MAX, &pid) && (pid_t)pid != getpid())
			*n += signal_member((pid_t)pid, sig, mark, seen);
	}
	if (d)
		closedir(d);
	free(seen);
	return rc;
}

int lab_count(const char *name, size_t *n, struct err *e)
{
	return sweep(name, 0, n, e);
}

static void kill_supervisor(const char *name)
{
	struct lab_state s = { 0 };
	struct arena a;
	const struct member *m;

	arena_init(&a, 0);
	if (!lab_state_read(name, &s, &a, NULL) &&
	    (m = lab_state_find(&s, MEMBER_SUPERVISOR, NULL)) && space_alive(&m->space))
		kill(m->space.pid, SIGKILL);
	arena_fini(&a);
}

int lab_kill(const char *name, struct err *e)
{
	struct timespec pause = { .tv_nsec = 2000000 };
	size_t left = 0;
	int rc;

	kill_supervisor(name);
	for (int ms = 0; ms < KILL_MS; ms += 2) {
		rc = sweep(name, SIGKILL, &left, e);
		if (rc || !left)
			return rc;
		nanosleep(&pause, NULL);
	}
	return err_set(e, -ETIMEDOUT, "%zu processes of lab \"%s\" do not die", left, name);
}

static bool is_mounted(const char *root)
{
	struct stat here, above;

	return !stat(root, &here) && !stat(LAB_RUN, &above) && here.st_dev != above.st_dev;
}

int lab_make(const char *name, struct err *e)
{
	char root[LAB_PATH];
	struct statfs fs;
	int rc;

	snprintf(root, sizeof(root), "%s/%s", LAB_RUN, name);
	rc = dir_make(root, 0755, e);
	if (rc)
		return rc;
	if (statfs(root, &fs) < 0)
		return err_sys(e, -errno, "%s", root);
	if (fs.f_type != TMPFS_MAGIC &&
	    mount("fairlead-lab", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") < 0)
		return err_sys(e, -errno, "mounting %s", root);
	return 0;
}

int lab_clear(const char *name, struct err *e)
{
	char path[LAB_PATH + 256], root[LAB_PATH];
	DIR *d = opendir(lab_path(root, name, "%s", ""));
	struct dirent *de;
	int rc = d ? 0 : err_sys(e, -errno, "%s", root);

	while (!rc && d && (de = readdir(d))) {
		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, "..") ||
		    !strcmp(de->d_name, "lock"))
			continue;
		snprintf(path, sizeof(path), "%s%s", root, de->d_name);
		rc = unlink(path) < 0 ? dir_remove(path, e) : 0;
	}
	if (d)
		closedir(d);
	return rc;
}

int lab_remove(const char *name, struct err *e)
{
	char root[LAB_PATH];
	int rc;

	snprintf(root, sizeof(root), "%s/%s", LAB_RUN, name);
	while (is_mounted(root))
		if (umount2(root, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
			return err_sys(e, -errno, "unmounting %s", root);
	rc = dir_remove(root, e);
	if (!rc)
		rmdir(LAB_RUN); /* stays while another lab is in it */
	return rc;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int lab_names(const char *const **names, size_t *n, struct arena *a, struct err *e)
{
	DIR *d = opendir(LAB_RUN);
	const char **v = NULL;
	size_t got = 0, cap = 0;
	struct dirent *de;

	while (d && (de = readdir(d))) {
		if (!lab_name_ok(de->d_name))
			continue;
		if (got == cap) {
			const char **grown = arena_array(a, cap = cap ? 2 * cap : 8, sizeof(*v));

			if (!grown)
				break;
			if (got)
				memcpy(grown, v, got * sizeof(*v));
			v = grown;
		}
		v[got++] = arena_strdup(a, de->d_name);
	}
	if (d)
		closedir(d);
	if (a->failed)
		return err_set(e, -ENOMEM, "out of memory");
	if (v)
		qsort(v, got, sizeof(*v), by_name);
	*names = v;
	*n = got;
	return 0;
}
