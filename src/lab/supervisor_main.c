// SPDX-License-Identifier: Apache-2.0
/* lab-supervisor: one per lab. Makes the namespaces and the wires, starts what runs in them, as
 * an init system would, and starts it again when it dies.
 *
 *     lab-supervisor NAME        descriptor 3: one line, "ready" or why it cannot
 *
 * ROOT, lab.conf and the store are there before. It holds no state that a killed supervisor
 * would take along: `lab down` finds the lab's processes by the mark of their mount namespace
 * (lab/place.h). When it dies, what it started dies with it (PDEATHSIG, and the lifeline for
 * those that outlive a lab-node); a keeper that took over was started by somebody else. */
#include "base/log.h"
#include "lab/bgp.h"
#include "lab/fabric.h"
#include "lab/nodeconf.h"
#include "lab/place.h"
#include "lab/service.h"
#include "lab/view.h"
#include "sys/file.h"
#include "sys/proc.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

#define REPORT_FD 3

struct supervisor {
	const char *name;
	struct arena arena;
	struct lab_spec spec;
	struct lab_state state;
	char store[LAB_PATH], libexec[LAB_PATH];
	int life[2]; /* nobody writes; its end is the lab's */
	int pause;
	struct lab_service *services;
	size_t n_services;
};

static void report(const char *text)
{
	if (dprintf(REPORT_FD, "%s\n", text) < 0)
		log_warn("nobody waits for this lab any more");
	close(REPORT_FD);
}

/* ---- spaces */

struct node_setup {
	struct supervisor *sv;
	const struct lab_node *node;
};

static int put_file(const char *path, struct buf *text, struct err *e)
{
	int rc = text->failed ? err_set(e, -ENOMEM, "out of memory")
			      : file_write(path, text->v, text->n, 0644, e);

	buf_fini(text);
	return rc;
}

/* The programs are linked, not copied: a new build is what the next pod gets. */
static int install_plugins(const struct supervisor *sv, struct err *e)
{
	static const char *const names[] = { "fairlead-cni", "fairlead-ipam" };
	static const char *const dirs[] = { "../../bin", "../../lib/cni", "." };
	char path[LAB_PATH + 300], at[64], real[PATH_MAX];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		bool found = false;

		for (size_t d = 0; d < sizeof(dirs) / sizeof(*dirs) && !found; d++) {
			snprintf(path, sizeof(path), "%s/%s/%s", sv->libexec, dirs[d], names[i]);
			found = access(path, X_OK) == 0 && realpath(path, real);
		}
		if (!found)
			return err_set(e, -ENOENT, "%s is not installed beside %s", names[i],
				       sv->libexec);
		snprintf(at, sizeof(at), "/opt/cni/bin/%s", names[i]);
		if (symlink(real, at) < 0 && errno != EEXIST)
			return err_sys(e, -errno, "%s", at);
	}
	return 0;
}

static int setup_node(void *arg, struct err *e)
{
	struct node_setup *n = arg;
	const struct lab_spec *s = &n->sv->spec;
	struct view_node v = { .lab = n->sv->name, .node = n->node->name };
	struct buf text = { 0 };
	int rc;

	nodeconf_hosts(s, &text);
	v.hosts = text.v;
	rc = text.failed ? err_set(e, -ENOMEM, "out of memory") : view_node(&v, e);
	buf_fini(&text);
	if (!rc)
		rc = dir_make("/etc/fairlead", 0755, e);
	if (rc)
		return rc;
	nodeconf_fairleadd(s, n->node, n->sv->store, &text);
	rc = put_file("/etc/fairlead/fairleadd.conf", &text, e);
	if (rc)
		return rc;
	nodeconf_conflist(s, &text);
	rc = put_file("/etc/cni/net.d/10-fairlead.conflist", &text, e);
	return rc ? rc : install_plugins(n->sv, e);
}

static int setup_plain(void *arg, struct err *e)
{
	return view_plain(e);
}

static struct member *add_member(struct supervisor *sv, enum member_kind kind, const char *name)
{
	struct member *m = &sv->state.members.v[sv->state.members.n++];

	*m = (struct member){ .kind = (uint8_t)kind, .name = name };
	return m;
}

static void list_members(struct supervisor *sv)
{
	sv->state.members.v = arena_array(&sv->arena, 3u + sv->spec.racks + sv->spec.nodes.n,
					  sizeof(struct member));
	add_member(sv, MEMBER_SUPERVISOR, sv->name)->space.pid = getpid();
	add_member(sv, MEMBER_ROUTER, "router");
	add_member(sv, MEMBER_OUTSIDE, "outside");
	for (unsigned r = 1; r <= sv->spec.racks; r++)
		add_member(sv, MEMBER_RACK, arena_printf(&sv->arena, "rack%u", r));
	for (uint32_t i = 0; i < sv->spec.nodes.n; i++)
		add_member(sv, MEMBER_NODE, sv->spec.nodes.v[i].name);
}

static const struct lab_node *node_of(const struct supervisor *sv, const char *name)
{
	for (uint32_t i = 0; i < sv->spec.nodes.n; i++)
		if (!strcmp(sv->spec.nodes.v[i].name, name))
			return &sv->spec.nodes.v[i];
	return NULL;
}

static int make_spaces(struct supervisor *sv, struct err *e)
{
	size_t n = sv->state.members.n, begun = 1;
	struct space_birth *births = arena_array(&sv->arena, n, sizeof(*births));
	struct node_setup *setups = arena_array(&sv->arena, n, sizeof(*setups));
	int rc = births && setups ? 0 : err_set(e, -ENOMEM, "out of memory");

	for (; !rc && begun < n; begun++) {
		struct member *m = &sv->state.members.v[begun];
		struct space_new s = { .hostname = m->name,
				       .lifeline = sv->life[0],
				       .pause = sv->pause,
				       .setup = setup_plain };

		if (m->kind == MEMBER_NODE) {
			setups[begun] = (struct node_setup){ sv, node_of(sv, m->name) };
			s.setup = setup_node;
			s.arg = &setups[begun];
		}
		rc = space_begin(&s, &births[begun], e);
		if (rc)
			break;
	}
	for (size_t i = 1; i < begun; i++) {
		struct err mine = { 0 };

		if (space_finish(&births[i], &sv->state.members.v[i].space, &mine) && !rc)
			rc = err_set(e, mine.code, "%s: %s", sv->state.members.v[i].name,
				     mine.text);
	}
	return rc;
}

static int build_fabric(struct supervisor *sv, struct err *e)
{
	size_t n = sv->state.members.n;
	int *fds = arena_array(&sv->arena, n, sizeof(*fds)), rc = fds ? 0 : -ENOMEM;
	struct fabric f = { .spec = &sv->spec };

	if (rc)
		return err_set(e, rc, "out of memory");
	for (size_t i = 0; i < n; i++)
		fds[i] = -1;
	for (size_t i = 1; !rc && i < n; i++) {
		fds[i] = space_open(sv->state.members.v[i].space.pid, SPACE_NET, e);
		rc = fds[i] < 0 ? fds[i] : 0;
	}
	f.router = fds[1];
	f.outside = fds[2];
	f.racks = fds + 3;
	f.nodes = fds + 3 + sv->spec.racks;
	if (!rc)
		rc = fabric_build(&f, e);
	for (size_t i = 0; i < n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return rc;
}

/* ---- services */

static void on_child(struct ev_loop *loop, ev_child *w, int revents)
{
	struct supervisor *sv = w->data;

	for (size_t i = 0; i < sv->n_services; i++)
		if (sv->services[i].pid == w->rpid) {
			service_ended(&sv->services[i], w->rstatus);
			return;
		}
	for (uint32_t i = 1; i < sv->state.members.n; i++)
		if (sv->state.members.v[i].space.pid == w->rpid)
			log_error(
				"%s lost the process that holds its namespaces; take the lab down "
				"with: fairlead lab down --name %s",
				sv->state.members.v[i].name, sv->name);
}

static struct lab_service *add_service(struct supervisor *sv, const char *member,
				       const char *program)
{
	struct lab_service *s = &sv->services[sv->n_services++];

	s->input = -1;
	snprintf(s->name, sizeof(s->name), "%s/%s", member, program);
	snprintf(s->path, sizeof(s->path), "%s/%s", sv->libexec, program);
	s->argv[0] = program;
	return s;
}

static void add_node_services(struct supervisor *sv, const struct member *m)
{
	static const char *const dirs[] = { "../../sbin", "../../bin", "." };
	struct lab_service *s = add_service(sv, m->name, "fairleadd");

	for (size_t d = 0; d < sizeof(dirs) / sizeof(*dirs); d++) {
		snprintf(s->path, sizeof(s->path), "%s/%s/fairleadd", sv->libexec, dirs[d]);
		if (!access(s->path, X_OK))
			break;
	}
	s->argv[1] = "--config";
	s->argv[2] = "/etc/fairlead/fairleadd.conf";
	s->home = m->space.pid;
	lab_path(s->log, sv->name, "nodes/%s/log/fairleadd.log", m->name);
	lab_path(s->pidfile, sv->name, "nodes/%s/run/fairlead/fairleadd.pid", m->name);

	s = add_service(sv, m->name, "lab-node");
	s->argv[1] = sv->name;
	s->argv[2] = m->name;
	s->home = m->space.pid;
	s->input = sv->life[0];
	lab_path(s->log, sv->name, "nodes/%s/log/lab-node.log", m->name);
}

/* The router's own folder: its mounts are the supervisor's. */
static int add_bird(struct supervisor *sv, pid_t router, struct err *e)
{
	const char *program = lab_bird();
	struct lab_service *s = add_service(sv, "router", "bird");
	char path[LAB_PATH];
	struct buf text = { 0 };

	if (!program)
		return err_set(e, -ENOENT, "bird is not installed any more");
	lab_bird_conf(&sv->spec, &text);
	s->argv[1] = "-f";
	s->argv[2] = "-c";
	s->argv[3] = arena_strdup(&sv->arena, lab_path(path, sv->name, "bird.conf"));
	s->argv[4] = "-s";
	s->argv[5] = arena_printf(&sv->arena, "%s/bird.ctl", lab_path(path, sv->name, "%s", ""));
	s->net = router;
	snprintf(s->path, sizeof(s->path), "%s", program);
	lab_path(s->log, sv->name, "lab.log");
	return put_file(s->argv[3], &text, e);
}

static int list_services(struct supervisor *sv, struct err *e)
{
	const struct member *outside = lab_state_find(&sv->state, MEMBER_OUTSIDE, NULL);
	struct lab_service *s;
	int rc;

	sv->services = arena_array(&sv->arena, 3u + 2u * sv->spec.nodes.n, sizeof(*sv->services));
	if (!sv->services)
		return err_set(e, -ENOMEM, "out of memory");
	s = add_service(sv, "router", "lab-router");
	s->argv[1] = sv->name;
	s->net = lab_state_find(&sv->state, MEMBER_ROUTER, NULL)->space.pid;
	lab_path(s->log, sv->name, "lab.log");
	if (sv->spec.bird && (rc = add_bird(sv, s->net, e)) != 0)
		return rc;
	s = add_service(sv, "outside", "lab-responder");
	s->argv[1] = "outside";
	s->argv[2] = "tcp:8080";
	s->argv[3] = "udp:8080";
	s->home = outside->space.pid;
	s->input = sv->life[0];
	lab_path(s->log, sv->name, "lab.log");
	for (uint32_t i = 0; i < sv->state.members.n; i++)
		if (sv->state.members.v[i].kind == MEMBER_NODE)
			add_node_services(sv, &sv->state.members.v[i]);
	return 0;
}

/* ---- start */

static int prepare(struct supervisor *sv, struct err *e)
{
	char path[LAB_PATH + 32];
	struct buf url = { 0 };
	int rc = lab_spec_load(&sv->spec, lab_path(path, sv->name, "lab.conf"), &sv->arena, e);

	if (!rc)
		rc = file_read(lab_path(path, sv->name, "store"), LAB_PATH - 1, &url, e);
	if (!rc)
		snprintf(sv->store, sizeof(sv->store), "%.*s", (int)strcspn(url.v, "\n"), url.v);
	buf_fini(&url);
	if (!rc)
		rc = proc_libexec(sv->libexec, sizeof(sv->libexec), e);
	if (rc)
		return rc;
	snprintf(path, sizeof(path), "%s/lab-pause", sv->libexec);
	sv->pause = open(path, O_RDONLY | O_CLOEXEC);
	if (sv->pause < 0)
		return err_sys(e, -errno, "%s", path);
	if (pipe2(sv->life, O_CLOEXEC) < 0)
		return err_sys(e, -errno, "pipe");
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(e, -errno, "own mount namespace");
	rc = dir_make(lab_path(path, sv->name, "private"), 0755, e);
	return rc ? rc : view_mark(sv->name, e);
}

static int build(struct supervisor *sv, struct err *e)
{
	int rc = prepare(sv, e);

	if (rc)
		return rc;
	list_members(sv);
	if (sv->arena.failed)
		return err_set(e, -ENOMEM, "out of memory");
	rc = space_start_time(getpid(), &sv->state.members.v[0].space.start);
	if (!rc)
		rc = make_spaces(sv, e);
	if (!rc)
		rc = build_fabric(sv, e);
	if (!rc)
		rc = lab_state_write(sv->name, &sv->state, e);
	return rc ? rc : list_services(sv, e);
}

int main(int argc, char **argv)
{
	static struct supervisor sv;
	struct err e = { 0 };
	ev_child child;

	log_init("lab", LOG_INFO);
	if (argc != 2 || !lab_name_ok(argv[1])) {
		fprintf(stderr, "usage: lab-supervisor NAME\n");
		return 2;
	}
	fcntl(REPORT_FD, F_SETFD, FD_CLOEXEC);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sv.name = argv[1];
	arena_init(&sv.arena, 0);
	ev_default_loop(0);
	if (build(&sv, &e)) {
		log_error("%s", e.text);
		report(e.text);
		return 1;
	}
	ev_child_init(&child, on_child, 0, 0);
	child.data = &sv;
	ev_child_start(EV_DEFAULT, &child);
	for (size_t i = 0; i < sv.n_services; i++)
		service_start(&sv.services[i]);
	report("ready");
	ev_run(EV_DEFAULT, 0);
	return 0;
}
