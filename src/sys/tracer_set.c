// SPDX-License-Identifier: Apache-2.0
/* tracer_set: see tracer_set.h. Nobody owns a set: each that shares it has descriptors of its links and maps, and
 * it is gone when the last of them is, in whatever way it ended. Who loads it writes down the kernel's numbers of
 * all that it consists of, and then takes it by them as any other.
 *
 * Found by what cannot be pretended without being its user already: a link to a program of that user, whose
 * constants, which the kernel has frozen, name this very build and signature. Who looks and loads has a lock
 * meanwhile, as a lab's agents all begin at once. It is on what processes of one kernel have in common, whatever their
 * network and files: their user namespace. Anybody may have that lock, so it is waited for only so long; without it a
 * set may be loaded twice, which costs others more and is right otherwise.
 *
 * A namespace is one taker's in a set. Who asks for one that is taken, be it by somebody who was killed,
 * gets a set of its own. */
#include "sys/tracer_set.h"

#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <trace.build.h>
#include <trace.skel.h>

#define LOCK          "/proc/self/ns/user"
#define LOCK_MS       2000
#define MAPS_MAX      16 /* of one program */
#define CONSTANTS_MAX 512

_Static_assert(sizeof(struct trace_config) == 24, "compared as bytes: no gaps");
_Static_assert(offsetof(struct trace_bpf__rodata, config) == 0, "the first of the constants");

/* ---- the kernel's numbers */

static int ask(enum bpf_cmd cmd, union bpf_attr *a)
{
	int rc = skel_sys_bpf(cmd, a, sizeof(*a));

	return rc < 0 ? -errno : rc;
}

static int by_id(enum bpf_cmd cmd, uint32_t id)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.prog_id = id; /* in one place with the others' */
	return ask(cmd, &a);
}

static int info_of(int fd, void *info, size_t n)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.info.bpf_fd = (uint32_t)fd;
	a.info.info_len = (uint32_t)n;
	a.info.info = (uintptr_t)info;
	return ask(BPF_OBJ_GET_INFO_BY_FD, &a);
}

/* What each of the kernel's three structures begins with. 0: none. */
static uint32_t id_of(int fd)
{
	struct {
		uint32_t type, id;
	} info = { 0 };

	return info_of(fd, &info, sizeof(info)) ? 0 : info.id;
}

/* 0: that was the last. */
static uint32_t next_link(uint32_t id)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.start_id = id;
	return ask(BPF_LINK_GET_NEXT_ID, &a) ? 0 : a.next_id;
}

static void close_fd(int *fd)
{
	if (*fd > 0)
		close(*fd);
	*fd = 0;
}

/* ---- taking one by its numbers */

/* What of a set this process holds. */
static void let_go(struct tracer_set *s)
{
	for (int i = 0; i < 4; i++)
		close_fd(&s->links[i]);
	close_fd(&s->rule);
	close_fd(&s->rings);
	close_fd(&s->spaces);
	close_fd(&s->listeners);
	close_fd(&s->ring);
	if (s->shared)
		munmap(s->shared, sizeof(*s->shared));
	s->shared = NULL;
}

static bool get(enum bpf_cmd cmd, uint32_t id, int *fd)
{
	int rc = id ? by_id(cmd, id) : -ENOENT;

	*fd = rc > 0 ? rc : 0;
	return rc > 0;
}

static int take_all(int bss, struct tracer_set *s)
{
	const struct trace_ids *ids;
	void *p = mmap(NULL, sizeof(*s->shared), PROT_READ | PROT_WRITE, MAP_SHARED, bss, 0);
	bool all;

	if (p == MAP_FAILED)
		return -errno;
	s->shared = p;
	ids = &s->shared->ids;
	all = get(BPF_PROG_GET_FD_BY_ID, __atomic_load_n(&ids->rule, __ATOMIC_ACQUIRE), &s->rule) &&
	      get(BPF_MAP_GET_FD_BY_ID, ids->rings, &s->rings) &&
	      get(BPF_MAP_GET_FD_BY_ID, ids->spaces, &s->spaces) &&
	      get(BPF_MAP_GET_FD_BY_ID, ids->listeners, &s->listeners);
	for (int i = 0; i < 4 && all; i++)
		all = get(BPF_LINK_GET_FD_BY_ID, ids->links[i], &s->links[i]);
	return all ? 0 : -ENOENT;
}

/* A ring of our own there, that all in these namespaces is told in. */
static int take_place(struct tracer_set *s, const uint32_t *inums, uint32_t n)
{
	struct trace_space at = { .taker = __atomic_fetch_add(&s->shared->n_takers, 1,
							      __ATOMIC_RELAXED) };

	if (at.taker >= TRACE_TAKERS_MAX)
		return -ENOSPC;
	s->taker = at.taker;
	s->ring = skel_map_create(BPF_MAP_TYPE_RINGBUF, "ring", 0, 0, TRACE_RING);
	if (s->ring < 0 || skel_map_update_elem(s->rings, &at.taker, &s->ring, BPF_ANY) < 0)
		return -errno;
	for (; at.space < n; at.space++) {
		uint32_t inum = inums[at.space], bit = inum % TRACE_INUM_BITS;

		if (skel_map_update_elem(s->spaces, &inum, &at, BPF_NOEXIST) < 0)
			return -errno;
		s->inums[s->n_inums++] = inum;
		__atomic_fetch_or(&s->shared->inums[bit / 64], 1ull << bit % 64, __ATOMIC_RELAXED);
	}
	return 0;
}

/* `bss`: where the set has what is shared. */
static int join(int bss, const uint32_t *inums, uint32_t n, struct tracer_set *out)
{
	struct tracer_set s = { 0 };
	int rc = take_all(bss, &s);

	if (!rc)
		rc = take_place(&s, inums, n);
	if (rc)
		tracer_set_close(&s);
	else
		*out = s;
	return rc;
}

/* ---- one that is there */

static bool ends_with(const char *name, const char *end)
{
	size_t n = strnlen(name, BPF_OBJ_NAME_LEN), k = strlen(end);

	return n >= k && !memcmp(name + n - k, end, k);
}

/* The configuration is followed by what the compiler has put there. */
static bool is_like(int rodata, const struct bpf_map_info *m, const struct trace_config *like)
{
	uint8_t v[CONSTANTS_MAX];
	union bpf_attr a;
	uint32_t zero = 0;

	if (!ends_with(m->name, ".rodata") || m->value_size < sizeof(*like) ||
	    m->value_size > sizeof(v))
		return false;
	memset(&a, 0, sizeof(a));
	a.map_fd = (uint32_t)rodata;
	a.key = (uintptr_t)&zero;
	a.value = (uintptr_t)v;
	return !ask(BPF_MAP_LOOKUP_ELEM, &a) && !memcmp(v, like, sizeof(*like));
}

/* The map that is shared, of a program whose constants are like these. */
static int shared_of(const uint32_t *maps, uint32_t n, const struct trace_config *like)
{
	bool found = false;
	int shared = 0;

	for (uint32_t i = 0; i < n && i < MAPS_MAX; i++) {
		int fd = by_id(BPF_MAP_GET_FD_BY_ID, maps[i]);
		struct bpf_map_info m = { 0 };

		if (fd > 0 && !info_of(fd, &m, sizeof(m))) {
			found = found || is_like(fd, &m, like);
			if (ends_with(m.name, ".bss") &&
			    m.value_size == sizeof(struct trace_shared)) {
				close_fd(&shared);
				shared = fd;
				continue;
			}
		}
		close_fd(&fd);
	}
	if (!found)
		close_fd(&shared);
	return shared;
}

/* Behind that link; 0: it is another's. */
static int shared_behind(uint32_t link_id, const struct trace_config *like)
{
	uint32_t maps[MAPS_MAX];
	struct bpf_prog_info p = { .nr_map_ids = MAPS_MAX, .map_ids = (uintptr_t)maps };
	struct bpf_link_info l = { 0 };
	int link = by_id(BPF_LINK_GET_FD_BY_ID, link_id), prog = 0, bss = 0;

	if (link > 0 && !info_of(link, &l, sizeof(l)) && l.type == BPF_LINK_TYPE_RAW_TRACEPOINT)
		prog = by_id(BPF_PROG_GET_FD_BY_ID, l.prog_id);
	if (prog > 0 && !info_of(prog, &p, sizeof(p)) && !strcmp(p.name, "trace_in") &&
	    p.created_by_uid == geteuid())
		bss = shared_of(maps, p.nr_map_ids, like);
	close_fd(&link);
	close_fd(&prog);
	return bss;
}

static int join_any(const struct trace_config *like, const uint32_t *inums, uint32_t n,
		    struct tracer_set *out)
{
	int rc = -ENOENT;

	for (uint32_t id = next_link(0); id && rc; id = next_link(id)) {
		int bss = shared_behind(id, like);

		if (bss > 0)
			rc = join(bss, inums, n, out);
		close_fd(&bss);
	}
	return rc;
}

/* ---- one of our own */

/* Not trace_rule, which goes on sockets. */
static int attach(struct trace_bpf *b)
{
	int rc = trace_bpf__trace_in__attach(b);

	if (rc > 0)
		rc = trace_bpf__trace_out__attach(b);
	if (rc > 0)
		rc = trace_bpf__trace_drop__attach(b);
	if (rc > 0)
		rc = trace_bpf__trace_consume__attach(b);
	return rc > 0 ? 0 : -errno;
}

static void publish(struct trace_bpf *b)
{
	const int links[] = { b->links.trace_in_fd, b->links.trace_out_fd, b->links.trace_drop_fd,
			      b->links.trace_consume_fd };
	struct trace_ids *ids = &b->bss->shared.ids;

	for (int i = 0; i < 4; i++)
		ids->links[i] = id_of(links[i]);
	ids->rings = id_of(b->maps.rings.map_fd);
	ids->spaces = id_of(b->maps.spaces.map_fd);
	ids->listeners = id_of(b->maps.listeners.map_fd);
	__atomic_store_n(&ids->rule, id_of(b->progs.trace_rule.prog_fd), __ATOMIC_RELEASE);
}

static int load(const struct trace_config *like, const uint32_t *inums, uint32_t n,
		struct tracer_set *out, struct err *e)
{
	struct trace_bpf *b = trace_bpf__open();
	int rc;

	if (!b)
		return err_sys(e, -ENOMEM, "eBPF");
	b->rodata->config = *like;
	rc = trace_bpf__load(b);
	if (rc)
		rc = err_set(e, rc < 0 ? rc : -EIO, "eBPF: programs were not loaded: %s",
			     strerror(abs(rc)));
	else if ((rc = attach(b)))
		err_sys(e, rc, "eBPF: attach");
	if (!rc) {
		publish(b);
		rc = join(b->maps.bss.map_fd, inums, n, out);
		if (rc)
			err_sys(e, rc, "eBPF");
	}
	trace_bpf__destroy(b);
	return rc;
}

/* ---- interface */

/* None where somebody has it for too long. */
static int lock(void)
{
	int fd = open(LOCK, O_RDONLY | O_CLOEXEC);

	if (fd >= 0 && file_lock_fd(fd, LOCK_MS))
		close_fd(&fd);
	return fd;
}

int tracer_set_open(const struct trace_config *like, const uint32_t *inums, uint32_t n,
		    struct tracer_set *out, struct err *e)
{
	struct trace_config c = *like;
	int held = lock(), rc;

	c.build = TRACE_BUILD;
	rc = held <= 0 ? -EBUSY : join_any(&c, inums, n, out);
	if (rc)
		rc = load(&c, inums, n, out, e);
	close_fd(&held);
	return rc;
}

/* The socket's cookie never comes again, so that it may stay there when the socket is gone. */
int tracer_set_listen(const struct tracer_set *s, int socket, uint32_t space, struct err *e)
{
	struct trace_space at = { s->taker, space };
	uint64_t cookie;
	socklen_t n = sizeof(cookie);

	if (getsockopt(socket, SOL_SOCKET, SO_COOKIE, &cookie, &n) ||
	    skel_map_update_elem(s->listeners, &cookie, &at, BPF_ANY) < 0 ||
	    setsockopt(socket, SOL_SOCKET, SO_ATTACH_BPF, &s->rule, sizeof(s->rule)))
		return err_sys(e, -errno, "eBPF: nftables");
	return 0;
}

void tracer_set_close(struct tracer_set *s)
{
	for (uint32_t i = 0; i < s->n_inums; i++)
		skel_map_delete_elem(s->spaces, &s->inums[i]);
	if (s->ring > 0)
		skel_map_delete_elem(s->rings, &s->taker);
	s->n_inums = 0;
	let_go(s);
}
