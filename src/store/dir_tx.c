// SPDX-License-Identifier: Apache-2.0
/* Folder store: transactions and revisions, as dir.c's opening says.
 *
 * What a transaction costs is its syncs: two for the revisions that it reserves (file and
 * folder), one for each object, one for each folder that it touched. So many changes in one
 * transaction cost little more than a sync each, and count as done only when it ended. */
#include "store/dir.h"

#include "sys/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIR_LOCK ".lock"
#define DIR_REV  "revision"

static int root_path(const struct dir_store *d, char path[PATH_MAX], const char *name,
		     struct err *e)
{
	if ((size_t)snprintf(path, PATH_MAX, "%s/%s", d->root, name) >= PATH_MAX)
		return err_set(e, -ENAMETOOLONG, "dir:%s: path too long", d->root);
	return 0;
}

/* "A B": A, and B into *second (may be NULL); 0 for what cannot be read. */
static uint64_t read_numbers(const struct dir_store *d, const char *file, uint64_t *second)
{
	struct buf text = { .v = NULL };
	int root = dir_open_root(d, NULL);
	uint64_t a = 0, b = 0;
	char *end = NULL;

	if (root >= 0 && !file_read_at(root, file, 256, &text) && text.v) {
		a = strtoull(text.v, &end, 10);
		b = strtoull(end, NULL, 10);
	}
	if (root >= 0)
		close(root);
	buf_fini(&text);
	if (second)
		*second = b;
	return a;
}

uint64_t dir_reserved(const struct dir_store *d)
{
	return read_numbers(d, DIR_REV, NULL);
}

void dir_committed(const struct dir_store *d, struct dir_revs *revs)
{
	revs->committed = read_numbers(d, DIR_COMMITTED, &revs->spec);
}

static int publish(const struct dir_tx *tx, struct err *e)
{
	static const char tmp[] = "." DIR_COMMITTED ".tmp";
	char text[64];
	int n = snprintf(text, sizeof(text), "%llu %llu\n", (unsigned long long)tx->revs.committed,
			 (unsigned long long)tx->revs.spec);
	int fd, rc = 0;

	fd = openat(tx->root, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_sys(e, -errno, "%s", tmp);
	errno = 0;
	if (write(fd, text, (size_t)n) != n || renameat(tx->root, tmp, tx->root, DIR_COMMITTED) < 0)
		rc = err_sys(e, errno ? -errno : -EIO, "%s", DIR_COMMITTED);
	close(fd);
	return rc;
}

struct recovery {
	const struct dir_store *d;
	uint64_t highest;
};

static int note_revision(void *arg, const struct store_key *key, struct err *e)
{
	struct recovery *r = arg;
	struct buf text = { .v = NULL };
	json_t *j = NULL;
	uint64_t rev;

	if (!dir_text(r->d, key, &text, NULL))
		j = json_loadb(text.v ? text.v : "", text.n, 0, NULL);
	rev = json_revision(j);
	if (rev > r->highest)
		r->highest = rev;
	json_decref(j);
	buf_fini(&text);
	return 0;
}

/* `fd` is closed. */
static void remove_temporary(int fd)
{
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;

	while (dir && (de = readdir(dir))) {
		size_t n = strlen(de->d_name);

		if (de->d_name[0] == '.' && n > 4 && !strcmp(de->d_name + n - 4, ".tmp"))
			unlinkat(dirfd(dir), de->d_name, 0);
	}
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
}

static void clean_kind(const struct dir_store *d, const struct kind *k)
{
	int fd = dir_open_folder(d, k->name, NULL, false, NULL);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;

	while (dir && (de = readdir(dir)))
		if (de->d_name[0] != '.')
			remove_temporary(dir_open_folder(d, k->name, de->d_name, false, NULL));
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
}

static int reserve_to(struct dir_tx *tx, uint64_t highest, struct err *e)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)highest);
	const struct file_attrs all = { .mode = 0644 };
	int rc = file_write_at(tx->root, DIR_REV, text, (size_t)n, &all);

	if (!rc && fsync(tx->root) < 0)
		rc = -errno;
	if (rc)
		return err_sys(e, rc, "%s: write", DIR_REV);
	tx->revs.reserved = highest;
	return 0;
}

/* The last writer died, or `revision` was lost, or this is a new store. */
static int recover(struct dir_store *d, struct dir_tx *tx, struct err *e)
{
	struct recovery r = { d, tx->revs.reserved };
	int rc = 0;

	for (unsigned i = 0; i < KIND_COUNT; i++) {
		const struct kind *k = kind_by_id(i);

		if (!k)
			continue;
		clean_kind(d, k);
		if (!tx->revs.reserved)
			rc = dir_walk(d, k, NULL, note_revision, &r, e);
		if (rc)
			return rc;
	}
	remove_temporary(dir_open_root(d, NULL));
	if (tx->revs.committed > r.highest)
		r.highest = tx->revs.committed;
	if (r.highest != tx->revs.reserved) {
		rc = reserve_to(tx, r.highest, e);
		if (rc)
			return rc;
	}
	tx->revs.committed = tx->revs.reserved;
	/* Whatever was in flight may have been a change that nodes have to follow. */
	tx->revs.spec = tx->revs.reserved;
	return publish(tx, e);
}

/* Under the lock: where the last writer left things. */
static int look(struct dir_store *d, struct dir_tx *tx, struct err *e)
{
	struct stat st;
	int rc = 0;

	/* The folder may have been given to a daemon's user since it was opened. */
	if (!fstat(tx->root, &st)) {
		d->uid = st.st_uid;
		d->gid = st.st_gid;
	}
	if (!fstat(tx->lock, &st) && st.st_uid != d->uid)
		dir_give(d, tx->lock);
	dir_committed(d, &tx->revs);
	tx->revs.reserved = dir_reserved(d);
	if (!tx->revs.reserved || tx->revs.reserved != tx->revs.committed)
		rc = recover(d, tx, e);
	tx->given = tx->revs.reserved;
	return rc;
}

int dir_begin(struct dir_store *d, struct dir_tx *tx, unsigned writes, unsigned wait_ms,
	      struct err *e)
{
	struct err why;
	char path[PATH_MAX];
	int rc = root_path(d, path, DIR_LOCK, e);

	if (rc)
		return rc;
	*tx = (struct dir_tx){ .ahead = writes, .yield = d->lock_ms > 0 };
	tx->lock = file_lock(path, wait_ms, &why);
	if (tx->lock == -EAGAIN && !wait_ms && d->wants < 0)
		d->wants = file_lock_want(path);
	if (tx->lock < 0)
		return err_set(e, tx->lock, "store dir:%s", why.text);
	if (d->wants >= 0)
		close(d->wants);
	d->wants = -1;
	tx->root = dir_open_root(d, e);
	rc = tx->root < 0 ? tx->root : look(d, tx, e);
	if (!rc)
		return 0;
	if (tx->root >= 0)
		close(tx->root);
	close(tx->lock);
	return rc;
}

int dir_reserve(struct dir_tx *tx, struct err *e)
{
	int rc = 0;

	if (tx->given == tx->revs.reserved)
		rc = reserve_to(tx, tx->given + tx->ahead, e);
	if (!rc)
		tx->given++;
	return rc;
}

int dir_touched(struct dir_tx *tx, int fd)
{
	struct stat now, then;
	int rc = 0;

	if (fstat(fd, &now) < 0)
		rc = -errno;
	for (unsigned i = 0; !rc && i < tx->n_folders; i++)
		if (!fstat(tx->folders[i], &then) && then.st_ino == now.st_ino &&
		    then.st_dev == now.st_dev) {
			close(fd);
			return 0;
		}
	if (!rc && tx->n_folders < DIR_FOLDERS) {
		tx->folders[tx->n_folders++] = fd;
		return 0;
	}
	if (!rc && fsync(fd) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

int dir_end(struct dir_tx *tx, struct err *e)
{
	int rc = 0;

	for (unsigned i = 0; i < tx->n_folders; i++) {
		if (fsync(tx->folders[i]) < 0 && !rc)
			rc = err_sys(e, -errno, "store: syncing a folder");
		close(tx->folders[i]);
	}
	if (tx->revs.committed != tx->revs.reserved) {
		tx->revs.committed = tx->revs.reserved;
		if (tx->spec)
			tx->revs.spec = tx->revs.reserved;
		/* A failure is as if we had died here: the next writer recovers. */
		publish(tx, NULL);
	}
	close(tx->root);
	tx->yield = tx->yield && file_lock_wanted(tx->lock);
	close(tx->lock);
	if (tx->yield)
		poll(NULL, 0, FILE_LOCK_YIELD_MS);
	return rc;
}
