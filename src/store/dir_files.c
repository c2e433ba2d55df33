// SPDX-License-Identifier: Apache-2.0
/* Folder store: where objects lie, and what is in their files.
 *
 * The folders belong to the user of role watch, and root writes in them (`fairlead apply`). So
 * below the root everything is opened step by step without following links, and what is no
 * regular file is not read. */
#include "store/dir.h"

#include "model/validate.h"
#include "store/json.h"
#include "sys/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int dir_folder(const struct dir_store *d, char path[PATH_MAX], const char *kind, const char *ns,
	       struct err *e)
{
	int n = snprintf(path, PATH_MAX, "%s/%s%s%s", d->root, kind, ns ? "/" : "", ns ? ns : "");

	return n < PATH_MAX ? 0 : err_set(e, -ENAMETOOLONG, "dir:%s: path too long", d->root);
}

/* The longest name whose temporary file (".NAME.json.tmp") is still a file's name. */
#define NAME_LIMIT (NAME_MAX - 10)

int dir_path(const struct dir_store *d, char path[PATH_MAX], const struct store_key *key,
	     struct err *e)
{
	int n;

	/* Names that no valid object has must not lead out of the folder. */
	if (!is_dns_subdomain(key->name) || (key->ns && !is_dns_label(key->ns)))
		return err_set(e, -EINVAL, "%s %s%s%s: is no valid name", key->k->name,
			       key->ns ? key->ns : "", key->ns ? "/" : "", key->name);
	if (strlen(key->name) > NAME_LIMIT)
		return err_set(e, -ENAMETOOLONG,
			       "%s %s: a dir: store takes names of up to %d characters",
			       key->k->name, key->name, NAME_LIMIT);
	n = snprintf(path, PATH_MAX, "%s/%s/%s/%s" DIR_EXT, d->root, key->k->name,
		     key->ns ? key->ns : DIR_NO_NS, key->name);
	return n < PATH_MAX ? 0 : err_set(e, -ENAMETOOLONG, "dir:%s: path too long", d->root);
}

bool dir_object_name(const char *file, char name[NAME_MAX + 1])
{
	size_t n = strlen(file), ext = strlen(DIR_EXT);

	if (file[0] == '.' || n <= ext || n > NAME_MAX || strcmp(file + n - ext, DIR_EXT) != 0)
		return false;
	memcpy(name, file, n - ext);
	name[n - ext] = 0;
	return is_dns_subdomain(name);
}

void dir_give(const struct dir_store *d, int fd)
{
	if (geteuid() == 0 && (d->uid || d->gid) && fchown(fd, d->uid, d->gid) < 0)
		return; /* a file system without owners has no use for it */
}

int dir_open_root(const struct dir_store *d, struct err *e)
{
	int fd = open(d->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? err_sys(e, -errno, "%s", d->root) : fd;
}

static int open_below(const struct dir_store *d, int parent, const char *name, bool make)
{
	bool made = make && mkdirat(parent, name, 0755) == 0;
	struct stat st;
	int fd;

	if (make && !made && errno != EEXIST)
		return -errno;
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOTDIR && fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISLNK(st.st_mode))
		return -ELOOP;
	if (fd < 0)
		return -errno;
	if (made)
		dir_give(d, fd);
	return fd;
}

int dir_open_folder(const struct dir_store *d, const char *kind, const char *ns, bool make,
		    struct err *e)
{
	int root = dir_open_root(d, e), fd, parent;

	if (root < 0)
		return root;
	fd = open_below(d, root, kind, make);
	close(root);
	if (fd >= 0 && ns) {
		parent = fd;
		fd = open_below(d, parent, ns, make);
		close(parent);
	}
	if (fd == -ELOOP)
		return err_set(e, fd, "%s/%s%s%s: a store follows no symbolic links", d->root, kind,
			       ns ? "/" : "", ns ? ns : "");
	return fd < 0 ? err_sys(e, fd, "%s/%s%s%s", d->root, kind, ns ? "/" : "", ns ? ns : "")
		      : fd;
}

int dir_decode(const struct store_key *key, const char *path, const struct buf *text, json_t **json,
	       struct object **o, struct err *e)
{
	json_error_t je;
	json_t *j = json_loadb(text->v ? text->v : "", text->n, JSON_REJECT_DUPLICATES, &je);
	struct object *obj;
	int rc = 0;

	if (!j)
		return err_set(e, -EBADMSG, "%s:%d: %s", path, je.line, je.text);
	obj = object_from_json(j, e);
	if (!obj)
		rc = err_wrap(e, "%s", path);
	else if (obj->kind != key->k || strcmp(obj->meta->name, key->name) != 0 ||
		 strcmp(obj->meta->namespace ? obj->meta->namespace : DIR_NO_NS,
			key->ns ? key->ns : DIR_NO_NS) != 0)
		rc = err_set(e, -EBADMSG, "%s: kind, namespace or name inside differ from the path",
			     path);
	if (rc) {
		object_free(obj);
		json_decref(j);
		return rc == -ENOTSUP ? -EBADMSG : rc;
	}
	obj->rev = json_revision(j);
	*o = obj;
	*json = j;
	return 0;
}

/* The file's name in its folder, out of dir_path()'s. */
static const char *name_in(const char *path)
{
	return strrchr(path, '/') + 1;
}

int dir_text(const struct dir_store *d, const struct store_key *key, struct buf *text,
	     struct err *e)
{
	char path[PATH_MAX];
	int rc = dir_path(d, path, key, e), fd;

	if (rc)
		return rc;
	fd = dir_open_folder(d, key->k->name, key->ns ? key->ns : DIR_NO_NS, false, e);
	if (fd < 0 && fd != -ENOENT && fd != -ENOTDIR)
		return fd;
	rc = fd < 0 ? -ENOENT : file_read_at(fd, name_in(path), DIR_OBJECT_MAX, text);
	if (fd >= 0)
		close(fd);
	if (rc == -ENOENT)
		return err_set(e, -ENOENT, "%s %s%s%s: does not exist", key->k->name,
			       key->ns ? key->ns : "", key->ns ? "/" : "", key->name);
	if (rc == -EINVAL || rc == -ELOOP || rc == -ENXIO)
		return err_set(e, rc, "%s: is no regular file", path);
	if (rc == -EFBIG)
		return err_set(e, rc, "%s: larger than %u bytes", path, DIR_OBJECT_MAX);
	return rc ? err_sys(e, rc, "%s", path) : 0;
}

int dir_read(const struct dir_store *d, const struct store_key *key, json_t **json,
	     struct object **o, struct err *e)
{
	struct buf text = { .v = NULL };
	char path[PATH_MAX];
	int rc = dir_path(d, path, key, e);

	if (!rc)
		rc = dir_text(d, key, &text, e);
	if (!rc)
		rc = dir_decode(key, path, &text, json, o, e);
	buf_fini(&text);
	return rc;
}

/* Of a Secret nobody but the folder's owner reads anything, so it must be theirs when it appears. */
static struct file_attrs attrs_of(const struct dir_store *d, const struct store_key *key)
{
	bool secret = key->k->id == KIND_SECRET;

	return (struct file_attrs){ .mode = secret ? 0600 : 0644,
				    .given = secret && geteuid() == 0 && (d->uid || d->gid),
				    .uid = d->uid,
				    .gid = d->gid };
}

int dir_write(const struct dir_store *d, struct dir_tx *tx, const struct store_key *key,
	      const json_t *j, struct err *e)
{
	const struct file_attrs attrs = attrs_of(d, key);
	char path[PATH_MAX];
	char *text;
	size_t n;
	int rc = dir_path(d, path, key, e), fd;

	if (rc)
		return rc;
	text = json_dumps(j, JSON_INDENT(2));
	if (!text)
		return err_set(e, -ENOMEM, "no memory");
	n = strlen(text);
	if (n > DIR_OBJECT_MAX) {
		free(text);
		return err_set(e, -EFBIG, "%s %s: larger than %u bytes", key->k->name, key->name,
			       DIR_OBJECT_MAX);
	}
	text[n] = '\n'; /* in the place of the terminating zero */
	fd = dir_open_folder(d, key->k->name, key->ns ? key->ns : DIR_NO_NS, true, e);
	rc = fd < 0 ? fd : file_write_at(fd, name_in(path), text, n + 1, &attrs);
	free(text);
	if (fd < 0)
		return fd;
	if (rc) {
		close(fd);
		return err_sys(e, rc, "%s: write", path);
	}
	rc = dir_touched(tx, fd);
	return rc ? err_sys(e, rc, "%s: write", path) : 0;
}

int dir_unlink(const struct dir_store *d, struct dir_tx *tx, const struct store_key *key,
	       struct err *e)
{
	char path[PATH_MAX];
	int rc = dir_path(d, path, key, e), fd;

	if (rc)
		return rc;
	fd = dir_open_folder(d, key->k->name, key->ns ? key->ns : DIR_NO_NS, false, e);
	if (fd < 0)
		return fd == -ENOENT || fd == -ENOTDIR ? 0 : fd;
	if (unlinkat(fd, name_in(path), 0) < 0) {
		rc = errno == ENOENT ? 0 : -errno;
		close(fd);
	} else {
		rc = dir_touched(tx, fd);
	}
	return rc ? err_sys(e, rc, "%s: remove", path) : 0;
}

/* The folder's entries, or NULL with *rc: 0 where there is no such folder. */
static DIR *open_entries(const struct dir_store *d, const char *kind, const char *ns, int *rc,
			 struct err *e)
{
	struct err why = { .code = 0 };
	int fd = dir_open_folder(d, kind, ns, false, &why);
	DIR *dir;

	*rc = 0;
	if (fd == -ENOENT || (fd == -ENOTDIR && ns))
		return NULL;
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (dir)
		return dir;
	if (fd < 0) {
		*rc = err_set(e, fd, "%s", why.text);
	} else {
		*rc = err_sys(e, -errno, "%s/%s", d->root, kind);
		close(fd);
	}
	return NULL;
}

struct dirent *dir_next(DIR *dir)
{
	errno = 0;
	return readdir(dir);
}

static int walk_namespace(const struct dir_store *d, const struct kind *k, const char *ns,
			  dir_file_fn *file, void *arg, struct err *e)
{
	char name[NAME_MAX + 1];
	struct store_key key = { k, strcmp(ns, DIR_NO_NS) ? ns : NULL, name };
	struct dirent *de;
	int rc;
	DIR *dir = open_entries(d, k->name, ns, &rc, e);

	if (!dir)
		return rc;
	while (!rc && (de = dir_next(dir)))
		if (dir_object_name(de->d_name, name))
			rc = file(arg, &key, e);
	if (!rc && errno)
		rc = err_sys(e, -errno, "%s/%s/%s", d->root, k->name, ns);
	closedir(dir);
	return rc;
}

int dir_walk(const struct dir_store *d, const struct kind *k, const char *ns, dir_file_fn *file,
	     void *arg, struct err *e)
{
	struct dirent *de;
	DIR *dir;
	int rc;

	if (ns || !k->namespaced)
		return walk_namespace(d, k, ns ? ns : DIR_NO_NS, file, arg, e);
	dir = open_entries(d, k->name, NULL, &rc, e);
	if (!dir)
		return rc;
	while (!rc && (de = dir_next(dir)))
		if (is_dns_label(de->d_name))
			rc = walk_namespace(d, k, de->d_name, file, arg, e);
	if (!rc && errno)
		rc = err_sys(e, -errno, "%s/%s", d->root, k->name);
	closedir(dir);
	return rc;
}
