// SPDX-License-Identifier: Apache-2.0
/* sandbox: see sandbox.h. Lines of "key value"; lists repeat their key. */
#include "lab/sandbox.h"

#include "base/names.h"
#include "sys/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_LIMIT (1u << 20)

static const char *const phase_text[] = { "adding", "running", "done" };
static const struct names phases = NAMES(phase_text);

const char *sandbox_dir(char buf[LAB_PATH], const char *lab, const char *node, const char *uid)
{
	return lab_path(buf, lab, "nodes/%s/pods/%s", node, uid);
}

int sandbox_write(const struct sandbox *s, const char *dir, struct err *e)
{
	char path[LAB_PATH + 16], text[PREFIX_TEXT];
	struct buf b = { 0 };
	int rc;

	buf_printf(&b, "phase %s\nnamespace %s\nname %s\nuid %s\nnode %s\nid %s\nhost-network %d\n",
		   name_of(&phases, s->phase), s->ns, s->name, s->uid, s->node, s->id,
		   s->host_network);
	buf_printf(&b, "pause %d %llu\n", s->pause.pid, (unsigned long long)s->pause.start);
	for (uint32_t i = 0; i < s->ips.n; i++)
		buf_printf(&b, "ip %s\n", prefix_str(&s->ips.v[i], text));
	for (uint32_t i = 0; i < s->containers.n; i++)
		buf_printf(&b, "container %d %llu %s\n", s->containers.v[i].proc.pid,
			   (unsigned long long)s->containers.v[i].proc.start,
			   s->containers.v[i].name);
	snprintf(path, sizeof(path), "%s/record", dir);
	rc = b.failed ? err_set(e, -ENOMEM, "out of memory") : file_write(path, b.v, b.n, 0644, e);
	buf_fini(&b);
	return rc;
}

static void *grown(struct arena *a, const void *v, uint32_t n, size_t size)
{
	void *p = arena_array(a, n + 1u, size);

	if (p && n)
		memcpy(p, v, n * size);
	return p;
}

static int read_ip(struct sandbox *s, const char *value, struct arena *a)
{
	struct prefix p, *v;

	if (prefix_parse(value, &p) || !(v = grown(a, s->ips.v, s->ips.n, sizeof(*v))))
		return -EINVAL;
	v[s->ips.n++] = p;
	s->ips.v = v;
	return 0;
}

static int read_container(struct sandbox *s, char *value, struct arena *a)
{
	struct sandbox_container *v, c = { 0 };
	char *name = strchr(value, ' ');

	name = name ? strchr(name + 1, ' ') : NULL;
	if (name)
		*name++ = '\0';
	if (!name || space_parse(value, &c.proc) ||
	    !(v = grown(a, s->containers.v, s->containers.n, sizeof(*v))))
		return -EINVAL;
	c.name = arena_strdup(a, name);
	v[s->containers.n++] = c;
	s->containers.v = v;
	return 0;
}

static int read_line(struct sandbox *s, const char *key, char *value, struct arena *a)
{
	int which;

	if (!strcmp(key, "phase")) {
		which = name_find(&phases, value);
		s->phase = (uint8_t)which;
		return which < 0 ? -EINVAL : 0;
	}
	if (!strcmp(key, "pause"))
		return space_parse(value, &s->pause);
	if (!strcmp(key, "ip"))
		return read_ip(s, value, a);
	if (!strcmp(key, "container"))
		return read_container(s, value, a);
	if (!strcmp(key, "host-network"))
		s->host_network = *value == '1';
	else if (!strcmp(key, "namespace"))
		s->ns = arena_strdup(a, value);
	else if (!strcmp(key, "name"))
		s->name = arena_strdup(a, value);
	else if (!strcmp(key, "uid"))
		s->uid = arena_strdup(a, value);
	else if (!strcmp(key, "node"))
		s->node = arena_strdup(a, value);
	else if (!strcmp(key, "id"))
		s->id = arena_strdup(a, value);
	return 0;
}

int sandbox_read(const char *dir, struct sandbox *s, struct arena *a, struct err *e)
{
	char path[LAB_PATH + 16], *save = NULL;
	struct buf text = { 0 };
	struct sandbox got = { 0 };
	int rc;

	snprintf(path, sizeof(path), "%s/record", dir);
	rc = file_read(path, RECORD_LIMIT, &text, e);
	for (char *line = rc || !text.v ? NULL : strtok_r(text.v, "\n", &save); !rc && line;
	     line = strtok_r(NULL, "\n", &save)) {
		char *value = strchr(line, ' ');

		if (value)
			*value++ = '\0';
		if (!value || read_line(&got, line, value, a))
			rc = err_set(e, -EINVAL, "%s: bad line \"%s\"", path, line);
	}
	buf_fini(&text);
	if (!rc && (!got.ns || !got.name || !got.uid || !got.node || !got.id))
		rc = err_set(e, -EINVAL, "%s: incomplete", path);
	if (!rc)
		*s = got;
	return rc;
}

static int by_name(const void *x, const void *y)
{
	const struct sandbox *a = x, *b = y;
	int c = strcmp(a->ns, b->ns);

	return c ? c : strcmp(a->name, b->name);
}

int sandbox_list(const char *lab, const char *node, struct sandbox_list *out, struct arena *a,
		 struct err *e)
{
	char path[LAB_PATH], dir[2 * LAB_PATH];
	DIR *d = opendir(lab_path(path, lab, "nodes/%s/pods", node));
	struct sandbox_list got = { 0 };
	struct dirent *de;
	uint32_t cap = 0;

	if (!d && errno != ENOENT)
		return err_sys(e, -errno, "%s", path);
	while (d && (de = readdir(d))) {
		struct sandbox s, *v;

		snprintf(dir, sizeof(dir), "%s/%s", path, de->d_name);
		if (*de->d_name == '.' || sandbox_read(dir, &s, a, NULL))
			continue;
		if (got.pods.n == cap) {
			v = arena_array(a, cap = cap ? 2 * cap : 16, sizeof(*v));
			if (!v)
				break;
			if (got.pods.n)
				memcpy(v, got.pods.v, got.pods.n * sizeof(*v));
			got.pods.v = v;
		}
		got.pods.v[got.pods.n++] = s;
	}
	if (d)
		closedir(d);
	if (a->failed)
		return err_set(e, -ENOMEM, "out of memory");
	if (got.pods.n)
		qsort(got.pods.v, got.pods.n, sizeof(*got.pods.v), by_name);
	*out = got;
	return 0;
}
