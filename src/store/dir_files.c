// SPDX-License-Identifier: Apache-2.0
/* Folder store: where objects lie, and what is in their files. */
#include "store/dir.h"

#include "model/validate.h"
#include "store/json.h"
#include "sys/file.h"

#include <dirent.h>
#include <errno.h>
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

/* Gives to the root folder's owner what root made: the store may be a daemon's. */
void dir_give(const struct dir_store *d, const char *path)
{
	if (geteuid() == 0 && (d->uid || d->gid) && lchown(path, d->uid, d->gid) < 0)
		return; /* a file system without owners has no use for it */
}

static int make_folder(const struct dir_store *d, const char *path, struct err *e)
{
	if (!mkdir(path, 0755))
		dir_give(d, path);
	else if (errno != EEXIST)
		return err_sys(e, -errno, "%s", path);
	return 0;
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

int dir_read(const struct dir_store *d, const struct store_key *key, json_t **json,
	     struct object **o, struct err *e)
{
	struct buf text = { .v = NULL };
	char path[PATH_MAX];
	int rc = dir_path(d, path, key, e);

	if (rc)
		return rc;
	rc = file_read(path, DIR_OBJECT_MAX, &text, e);
	if (rc == -ENOENT)
		rc = err_set(e, -ENOENT, "%s %s%s%s: does not exist", key->k->name,
			     key->ns ? key->ns : "", key->ns ? "/" : "", key->name);
	else if (!rc)
		rc = dir_decode(key, path, &text, json, o, e);
	buf_fini(&text);
	return rc;
}

int dir_write(const struct dir_store *d, const struct store_key *key, const json_t *j,
	      struct err *e)
{
	char path[PATH_MAX];
	char *text;
	size_t n;
	int rc = dir_folder(d, path, key->k->name, NULL, e);

	if (!rc)
		rc = make_folder(d, path, e);
	if (!rc)
		rc = dir_folder(d, path, key->k->name, key->ns ? key->ns : DIR_NO_NS, e);
	if (!rc)
		rc = make_folder(d, path, e);
	if (!rc)
		rc = dir_path(d, path, key, e);
	if (rc)
		return rc;
	text = json_dumps(j, JSON_INDENT(2));
	if (!text)
		return err_set(e, -ENOMEM, "no memory");
	n = strlen(text);
	text[n] = '\n'; /* in the place of the terminating zero */
	rc = n > DIR_OBJECT_MAX ? err_set(e, -EFBIG, "%s %s: larger than %u bytes", key->k->name,
					  key->name, DIR_OBJECT_MAX)
				: file_write(path, text, n + 1, 0644, e);
	free(text);
	return rc;
}

struct dirent *dir_next(DIR *dir)
{
	errno = 0;
	return readdir(dir);
}

static int walk_namespace(const struct dir_store *d, const struct kind *k, const char *ns,
			  dir_file_fn *file, void *arg, struct err *e)
{
	char path[PATH_MAX], name[NAME_MAX + 1];
	struct store_key key = { k, strcmp(ns, DIR_NO_NS) ? ns : NULL, name };
	struct dirent *de;
	DIR *dir;
	int rc = dir_folder(d, path, k->name, ns, e);

	if (rc)
		return rc;
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT || errno == ENOTDIR ? 0 : err_sys(e, -errno, "%s", path);
	while (!rc && (de = dir_next(dir)))
		if (dir_object_name(de->d_name, name))
			rc = file(arg, &key, e);
	if (!rc && errno)
		rc = err_sys(e, -errno, "%s", path);
	closedir(dir);
	return rc;
}

int dir_walk(const struct dir_store *d, const struct kind *k, const char *ns, dir_file_fn *file,
	     void *arg, struct err *e)
{
	char path[PATH_MAX];
	struct dirent *de;
	DIR *dir;
	int rc;

	if (ns || !k->namespaced)
		return walk_namespace(d, k, ns ? ns : DIR_NO_NS, file, arg, e);
	rc = dir_folder(d, path, k->name, NULL, e);
	if (rc)
		return rc;
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? 0 : err_sys(e, -errno, "%s", path);
	while (!rc && (de = dir_next(dir)))
		if (is_dns_label(de->d_name))
			rc = walk_namespace(d, k, de->d_name, file, arg, e);
	if (!rc && errno)
		rc = err_sys(e, -errno, "%s", path);
	closedir(dir);
	return rc;
}
