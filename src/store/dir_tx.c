// SPDX-License-Identifier: Apache-2.0
/* Folder store: transactions and revisions, as dir.c's opening says. */
#include "store/dir.h"

#include "sys/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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
	char path[PATH_MAX], *end = NULL;
	uint64_t a = 0, b = 0;

	if (!root_path(d, path, file, NULL) && !file_read(path, 256, &text, NULL) && text.v) {
		a = strtoull(text.v, &end, 10);
		b = strtoull(end, NULL, 10);
	}
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

static int publish(const struct dir_store *d, const struct dir_revs *r, struct err *e)
{
	char path[PATH_MAX], tmp[PATH_MAX], text[64];
	int n = snprintf(text, sizeof(text), "%llu %llu\n", (unsigned long long)r->committed,
			 (unsigned long long)r->spec);
	int fd;

	if (root_path(d, path, DIR_COMMITTED, e) || root_path(d, tmp, "." DIR_COMMITTED ".tmp", e))
		return -ENAMETOOLONG;
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_sys(e, -errno, "%s", tmp);
	if (write(fd, text, (size_t)n) != n || rename(tmp, path) < 0) {
		int rc = errno ? -errno : -EIO;

		close(fd);
		return err_sys(e, rc, "%s", path);
	}
	close(fd);
	return 0;
}

struct recovery {
	const struct dir_store *d;
	uint64_t highest;
};

static int note_revision(void *arg, const struct store_key *key, struct err *e)
{
	struct recovery *r = arg;
	struct buf text = { .v = NULL };
	char path[PATH_MAX];
	json_t *j = NULL;
	uint64_t rev;

	if (!dir_path(r->d, path, key, NULL) && !file_read(path, DIR_OBJECT_MAX, &text, NULL))
		j = json_loadb(text.v ? text.v : "", text.n, 0, NULL);
	rev = json_revision(j);
	if (rev > r->highest)
		r->highest = rev;
	json_decref(j);
	buf_fini(&text);
	return 0;
}

static void remove_temporary(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *de;

	while (dir && (de = readdir(dir))) {
		size_t n = strlen(de->d_name);

		if (de->d_name[0] == '.' && n > 4 && !strcmp(de->d_name + n - 4, ".tmp"))
			unlinkat(dirfd(dir), de->d_name, 0);
	}
	if (dir)
		closedir(dir);
}

static void clean_kind(const struct dir_store *d, const struct kind *k)
{
	char path[PATH_MAX];
	DIR *dir;
	struct dirent *de;

	if (dir_folder(d, path, k->name, NULL, NULL))
		return;
	dir = opendir(path);
	while (dir && (de = readdir(dir)))
		if (de->d_name[0] != '.' && !dir_folder(d, path, k->name, de->d_name, NULL))
			remove_temporary(path);
	if (dir)
		closedir(dir);
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
	remove_temporary(d->root);
	if (tx->revs.committed > r.highest)
		r.highest = tx->revs.committed;
	if (r.highest != tx->revs.reserved) {
		tx->revs.reserved = r.highest - 1;
		rc = dir_reserve(d, tx, e);
		if (rc)
			return rc;
	}
	tx->revs.committed = tx->revs.reserved;
	/* Whatever was in flight may have been a change that nodes have to follow. */
	tx->revs.spec = tx->revs.reserved;
	return publish(d, &tx->revs, e);
}

int dir_begin(struct dir_store *d, struct dir_tx *tx, struct err *e)
{
	char path[PATH_MAX];
	struct stat st;
	int rc = root_path(d, path, DIR_LOCK, e);

	if (rc)
		return rc;
	tx->lock = file_lock(path, true, e);
	if (tx->lock < 0)
		return tx->lock;
	/* The folder may have been given to a daemon's user since it was opened. */
	if (!stat(d->root, &st)) {
		d->uid = st.st_uid;
		d->gid = st.st_gid;
	}
	if (!fstat(tx->lock, &st) && st.st_uid != d->uid)
		dir_give(d, path);
	dir_committed(d, &tx->revs);
	tx->revs.reserved = dir_reserved(d);
	if (tx->revs.reserved && tx->revs.reserved == tx->revs.committed)
		return 0;
	rc = recover(d, tx, e);
	if (rc)
		close(tx->lock);
	return rc;
}

int dir_reserve(struct dir_store *d, struct dir_tx *tx, struct err *e)
{
	char path[PATH_MAX], text[32];
	int n = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)tx->revs.reserved + 1);
	int rc = root_path(d, path, DIR_REV, e);

	if (!rc)
		rc = file_write(path, text, (size_t)n, 0644, e);
	if (!rc)
		tx->revs.reserved++;
	return rc;
}

void dir_end(struct dir_store *d, struct dir_tx *tx, bool spec)
{
	if (tx->revs.committed != tx->revs.reserved) {
		tx->revs.committed = tx->revs.reserved;
		if (spec)
			tx->revs.spec = tx->revs.reserved;
		/* A failure is as if we had died here: the next writer recovers. */
		publish(d, &tx->revs, NULL);
	}
	close(tx->lock);
}
