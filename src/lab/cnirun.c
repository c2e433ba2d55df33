// SPDX-License-Identifier: Apache-2.0
/* cnirun: see cnirun.h. One plugin at a time: its configuration is written into a pipe at once
 * (far below a pipe's 64 KiB), its answer gathered until it closes; the step is over when both
 * the answer's end and the exit status are there, in either order. */
#include "lab/cnirun.h"

#include "base/buf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTPUT_MAX (1u << 20)
#define STDIN_MAX  65000
#define STEP_LIMIT 60.0 /* seconds */

struct cnirun {
	struct ev_loop *loop;
	bool del;
	json_t *list, *result; /* own references */
	size_t at;
	char *path;
	char *env[7]; /* CNI_*, and the end */
	json_t *port_mappings;
	pid_t pid; /* 0: ended */
	int status;
	bool eof;
	struct buf out;
	ev_io io;
	ev_timer limit;
	cnirun_done_fn done;
	void *arg;
};

static json_t *plugin_of(const struct cnirun *r)
{
	return json_array_get(json_object_get(r->list, "plugins"), r->at);
}

static void release(struct cnirun *r)
{
	if (r->io.fd >= 0) {
		ev_io_stop(r->loop, &r->io);
		close(r->io.fd);
	}
	ev_timer_stop(r->loop, &r->limit);
	json_decref(r->list);
	json_decref(r->result);
	json_decref(r->port_mappings);
	for (size_t i = 0; r->env[i]; i++)
		free(r->env[i]);
	free(r->path);
	buf_fini(&r->out);
	free(r);
}

static void finish(struct cnirun *r, int code, const struct err *e)
{
	r->done(r->arg, r->del ? NULL : r->result, code, e);
	release(r);
}

/* What the plugin reads: its part of the list, plus what the runtime adds. */
static char *plugin_config(const struct cnirun *r)
{
	json_t *conf = json_deep_copy(plugin_of(r)), *caps;
	char *text;

	json_object_set(conf, "name", json_object_get(r->list, "name"));
	json_object_set(conf, "cniVersion", json_object_get(r->list, "cniVersion"));
	caps = json_object_get(conf, "capabilities");
	if (json_is_true(json_object_get(caps, "portMappings")) &&
	    json_array_size(r->port_mappings)) {
		json_t *rc = json_object();

		json_object_set(rc, "portMappings", r->port_mappings);
		json_object_set_new(conf, "runtimeConfig", rc);
	}
	json_object_del(conf, "capabilities");
	if (r->result)
		json_object_set(conf, "prevResult", r->result);
	text = json_dumps(conf, JSON_COMPACT);
	json_decref(conf);
	return text;
}

static int find_program(const struct cnirun *r, const char *type, char *out, size_t n)
{
	char *dirs = strdup(r->path), *save = NULL;
	int rc = -ENOENT;

	for (char *d = dirs ? strtok_r(dirs, ":", &save) : NULL; d && rc;
	     d = strtok_r(NULL, ":", &save)) {
		snprintf(out, n, "%s/%s", d, type);
		if (!access(out, X_OK))
			rc = 0;
	}
	free(dirs);
	return rc;
}

static int spawn(struct cnirun *r, const char *program, int in, int out, struct err *e)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	char *argv[] = { (char *)program, NULL };
	sigset_t none;
	int rc;

	sigemptyset(&none);
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, in, 0);
	posix_spawn_file_actions_adddup2(&fa, out, 1);
	posix_spawnattr_init(&at);
	posix_spawnattr_setsigmask(&at, &none);
	posix_spawnattr_setflags(&at, POSIX_SPAWN_SETSIGMASK);
	rc = posix_spawn(&r->pid, program, &fa, &at, argv, r->env);
	posix_spawn_file_actions_destroy(&fa);
	posix_spawnattr_destroy(&at);
	if (rc) {
		r->pid = 0;
		return err_sys(e, -rc, "%s", program);
	}
	return 0;
}

static int start_step(struct cnirun *r, struct err *e)
{
	const char *type = json_string_value(json_object_get(plugin_of(r), "type"));
	char program[512], *text = plugin_config(r);
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, rc = 0;

	if (!type || strchr(type, '/') || find_program(r, type, program, sizeof(program)))
		rc = err_set(e, -EIO, "no CNI plugin \"%s\" in %s", type ? type : "?", r->path);
	else if (!text || strlen(text) > STDIN_MAX)
		rc = err_set(e, -EIO, "%s: configuration too long", type);
	else if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		rc = err_sys(e, -errno, "pipe");
	else if (write(in[1], text, strlen(text)) < 0)
		rc = err_sys(e, -errno, "%s", type);
	else
		rc = spawn(r, program, in[0], out[1], e);
	free(text);
	for (int i = 0; i < 2; i++)
		if (in[i] >= 0)
			close(in[i]);
	if (out[1] >= 0)
		close(out[1]);
	if (rc) {
		if (out[0] >= 0)
			close(out[0]);
		return rc;
	}
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	buf_clear(&r->out);
	r->eof = false;
	ev_io_set(&r->io, out[0], EV_READ);
	ev_io_start(r->loop, &r->io);
	ev_timer_set(&r->limit, STEP_LIMIT, 0);
	ev_timer_start(r->loop, &r->limit);
	return 0;
}

/* Of a plugin that failed: its error object, or what else it said. */
static int plugin_error(const struct cnirun *r, struct err *e)
{
	json_t *j = r->out.v ? json_loads(r->out.v, 0, NULL) : NULL;
	const char *type = json_string_value(json_object_get(plugin_of(r), "type"));
	const char *msg = json_string_value(json_object_get(j, "msg"));
	const char *details = json_string_value(json_object_get(j, "details"));
	int code = (int)json_integer_value(json_object_get(j, "code"));

	if (msg)
		err_set(e, -EIO, "%s: %s%s%s (code %d)", type, msg, details && *details ? ": " : "",
			details ? details : "", code);
	else if (WIFSIGNALED(r->status))
		err_set(e, -EIO, "%s: killed by signal %d", type, WTERMSIG(r->status));
	else
		err_set(e, -EIO, "%s: exit %d: %.200s", type, WEXITSTATUS(r->status),
			r->out.v ? r->out.v : "");
	json_decref(j);
	return code;
}

static void step_over(struct cnirun *r)
{
	struct err e = { 0 };
	json_t *j;

	ev_timer_stop(r->loop, &r->limit);
	if (r->status) {
		finish(r, plugin_error(r, &e), &e);
		return;
	}
	if (!r->del) {
		j = r->out.v ? json_loads(r->out.v, 0, NULL) : NULL;
		if (!json_is_object(j)) {
			err_set(&e, -EIO, "%s: its answer is no JSON object",
				json_string_value(json_object_get(plugin_of(r), "type")));
			json_decref(j);
			finish(r, 0, &e);
			return;
		}
		json_decref(r->result);
		r->result = j;
	}
	if (r->del ? r->at == 0
		   : r->at + 1 == json_array_size(json_object_get(r->list, "plugins"))) {
		finish(r, 0, NULL);
		return;
	}
	r->at += r->del ? (size_t)-1 : 1;
	if (start_step(r, &e))
		finish(r, 0, &e);
}

static void on_output(struct ev_loop *loop, ev_io *w, int revents)
{
	struct cnirun *r = w->data;
	char chunk[4096];
	ssize_t n;

	while ((n = read(w->fd, chunk, sizeof(chunk))) > 0)
		if (r->out.n < OUTPUT_MAX)
			buf_put(&r->out, chunk, (size_t)n);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	ev_io_stop(loop, w);
	close(w->fd);
	w->fd = -1;
	r->eof = true;
	if (!r->pid)
		step_over(r);
}

static void on_limit(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct cnirun *r = w->data;

	if (r->pid)
		kill(r->pid, SIGKILL);
}

bool cnirun_child(struct cnirun *r, pid_t pid, int status)
{
	if (!r || !r->pid || r->pid != pid)
		return false;
	r->pid = 0;
	r->status = status;
	if (r->eof)
		step_over(r);
	return true;
}

void cnirun_cancel(struct cnirun *r)
{
	if (!r)
		return;
	if (r->pid)
		kill(r->pid, SIGKILL);
	release(r);
}

/* ---- start */

static char *env_of(const char *key, const char *value)
{
	char *s;

	return asprintf(&s, "%s=%s", key, value) < 0 ? NULL : s;
}

static json_t *ports_json(const struct cnirun_args *a)
{
	json_t *v = json_array();

	for (uint32_t i = 0; i < a->ports.n; i++) {
		const struct cni_port_mapping *p = &a->ports.v[i];
		json_t *m = json_pack("{s:i, s:i, s:s}", "hostPort", p->host_port, "containerPort",
				      p->container_port, "protocol", p->protocol);

		if (p->host_ip)
			json_object_set_new(m, "hostIP", json_string(p->host_ip));
		json_array_append_new(v, m);
	}
	return v;
}

struct cnirun *cnirun_start(struct ev_loop *loop, const json_t *list, const json_t *result,
			    const struct cnirun_args *a, cnirun_done_fn done, void *arg,
			    struct err *e)
{
	size_t n = json_array_size(json_object_get(list, "plugins"));
	struct cnirun *r = calloc(1, sizeof(*r));

	if (!r || !n) {
		free(r);
		err_set(e, -EIO, n ? "out of memory" : "the CNI configuration has no plugins");
		return NULL;
	}
	r->loop = loop;
	r->del = a->del;
	r->done = done;
	r->arg = arg;
	r->at = a->del ? n - 1 : 0;
	r->list = json_deep_copy(list);
	r->result = a->del && result ? json_deep_copy(result) : NULL;
	r->path = strdup(a->path);
	r->env[0] = env_of("CNI_COMMAND", a->del ? "DEL" : "ADD");
	r->env[1] = env_of("CNI_CONTAINERID", a->id);
	r->env[2] = env_of("CNI_NETNS", a->netns);
	r->env[3] = env_of("CNI_IFNAME", a->ifname);
	r->env[4] = env_of("CNI_ARGS", a->args);
	r->env[5] = env_of("CNI_PATH", a->path);
	r->port_mappings = ports_json(a);
	ev_io_init(&r->io, on_output, -1, EV_READ);
	r->io.data = r;
	ev_timer_init(&r->limit, on_limit, STEP_LIMIT, 0);
	r->limit.data = r;
	if (start_step(r, e)) {
		release(r);
		return NULL;
	}
	return r;
}

/* ---- configuration and results */

static int is_config(const struct dirent *d)
{
	const char *dot = strrchr(d->d_name, '.');

	return *d->d_name != '.' && dot && (!strcmp(dot, ".conflist") || !strcmp(dot, ".conf"));
}

json_t *cnirun_load(const char *dir, struct err *e)
{
	struct dirent **names = NULL;
	char path[PATH_MAX];
	json_error_t why;
	json_t *j = NULL, *list;
	int n = scandir(dir, &names, is_config, alphasort);

	if (n > 0)
		snprintf(path, sizeof(path), "%s/%s", dir, names[0]->d_name);
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
	if (n <= 0) {
		err_set(e, -ENOENT, "%s: no network configuration", dir);
		return NULL;
	}
	j = json_load_file(path, 0, &why);
	if (!json_is_object(j)) {
		err_set(e, -EINVAL, "%s:%d: %s", path, why.line, j ? "no object" : why.text);
		json_decref(j);
		return NULL;
	}
	if (json_is_array(json_object_get(j, "plugins")))
		return j;
	/* A .conf is one plugin: a list of one. */
	list = json_pack("{s:O?, s:O?, s:[o]}", "name", json_object_get(j, "name"), "cniVersion",
			 json_object_get(j, "cniVersion"), "plugins", j);
	return list;
}

size_t cnirun_ips(const json_t *result, struct prefix *out, size_t max)
{
	json_t *ips = json_object_get(result, "ips"), *ip;
	size_t i, n = 0;

	json_array_foreach(ips, i, ip)
	{
		const char *text = json_string_value(json_object_get(ip, "address"));

		if (n < max && text && !prefix_parse(text, &out[n]))
			n++;
	}
	return n;
}
