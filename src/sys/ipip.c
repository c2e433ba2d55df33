// SPDX-License-Identifier: Apache-2.0
/* ipip: loads src/bpf/ipip.bpf.c and writes its maps; see ipip.h. As sys/tracer_bpf.c it links nothing but
 * bpf(2): the programs come as a light skeleton. */
#include "sys/ipip.h"

#include "bpf/abi.h"
#include "sys/ipip_tc.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ipip.skel.h>

#define CPUS_PATH "/sys/devices/system/cpu/possible"

_Static_assert(IPIP_SUMS == IPIP_COUNTERS, "one sum per counter");

struct ipip {
	struct ipip_bpf *skel;
	unsigned cpus;
	struct ipip_count *percpu;
};

/* Per-CPU maps are read as one value for each processor that there may ever be. */
static unsigned possible_cpus(void)
{
	char text[4096] = "", *at = text, *end;
	FILE *f = fopen(CPUS_PATH, "re");
	unsigned n = 0;

	if (f && !fgets(text, sizeof(text), f))
		text[0] = 0;
	if (f)
		fclose(f);
	for (;; at = end + 1) { /* "0-3,8" */
		unsigned long from = strtoul(at, &end, 10), last = from;

		if (end == at)
			return n;
		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		n += (unsigned)(last - from) + 1;
		if (*end != ',')
			return n;
	}
}

int ipip_open(struct ipip **out, struct err *e)
{
	struct ipip *p = calloc(1, sizeof(*p));
	int rc = 0, code;

	if (!p)
		return err_sys(e, -ENOMEM, "IP-in-IP");
	p->cpus = possible_cpus();
	p->percpu = calloc(p->cpus ? p->cpus : 1, sizeof(*p->percpu));
	p->skel = ipip_bpf__open();
	if (!p->skel || !p->percpu)
		rc = err_sys(e, -ENOMEM, "IP-in-IP");
	else if (!p->cpus)
		rc = err_set(e, -EIO, "IP-in-IP: %s says no number of processors", CPUS_PATH);
	code = rc ? 0 : ipip_bpf__load(p->skel);
	if (code)
		rc = err_set(e, code < 0 ? code : -EIO, "IP-in-IP: programs were not loaded: %s",
			     strerror(abs(code)));
	if (rc)
		ipip_close(p);
	else
		*out = p;
	return rc;
}

void ipip_close(struct ipip *p)
{
	if (!p)
		return;
	ipip_bpf__destroy(p->skel);
	free(p->percpu);
	free(p);
}

/* ---- maps */

int ipip_set(struct ipip *p, const struct ipip_ends *ends, struct err *e)
{
	struct ipip_conf c = { .uplink = (uint32_t)ends->uplink,
			       .tunnel = (uint32_t)ends->tunnel,
			       .driver = ends->driver };
	uint32_t first = 0;

	memcpy(&c.node, ends->node.b, sizeof(c.node));
	memcpy(c.mac, ends->mac.b, sizeof(c.mac));
	if (skel_map_update_elem(p->skel->maps.conf.map_fd, &first, &c, BPF_ANY) < 0)
		return err_sys(e, -errno, "IP-in-IP");
	return 0;
}

int ipip_node(struct ipip *p, const struct ipaddr *node, bool there, struct err *e)
{
	int fd = p->skel->maps.nodes.map_fd;
	const uint8_t yes = 1;

	if (there ? skel_map_update_elem(fd, node->b, &yes, BPF_ANY) < 0
		  : skel_map_delete_elem(fd, node->b) < 0 && errno != ENOENT)
		return err_sys(e, -errno, "IP-in-IP: nodes");
	return 0;
}

static int look_up(int map, const uint32_t *key, void *value)
{
	union bpf_attr attr = { 0 };

	attr.map_fd = (uint32_t)map;
	attr.key = (uintptr_t)key;
	attr.value = (uintptr_t)value;
	return skel_sys_bpf(BPF_MAP_LOOKUP_ELEM, &attr, sizeof(attr));
}

int ipip_sums(const struct ipip *p, struct ipip_sum out[IPIP_SUMS], struct err *e)
{
	static const char *const names[] = {
		[IPIP_SENT] = "sent",           [IPIP_RECEIVED] = "received",
		[IPIP_TOO_LONG] = "too-long",   [IPIP_STRANGER] = "stranger",
		[IPIP_FRAGMENT] = "fragment",   [IPIP_NO_ROUTE] = "no-route",
		[IPIP_MALFORMED] = "malformed",
	};

	for (uint32_t i = 0; i < IPIP_SUMS; i++) {
		out[i] = (struct ipip_sum){ .name = names[i] };
		if (look_up(p->skel->maps.counts.map_fd, &i, p->percpu) < 0)
			return err_sys(e, -errno, "IP-in-IP: counters");
		for (unsigned cpu = 0; cpu < p->cpus; cpu++) {
			out[i].packets += p->percpu[cpu].packets;
			out[i].bytes += p->percpu[cpu].bytes;
		}
	}
	return 0;
}

/* ---- devices */

static int program_of(const struct ipip *p, enum ipip_hook hook)
{
	return hook == IPIP_ON_TUNNEL ? p->skel->progs.ipip_send.prog_fd
				      : p->skel->progs.ipip_receive.prog_fd;
}

static int program_id(int fd, uint32_t *id, struct err *e)
{
	struct bpf_prog_info info = { 0 };
	union bpf_attr attr = { 0 };

	attr.info.bpf_fd = (uint32_t)fd;
	attr.info.info_len = sizeof(info);
	attr.info.info = (uintptr_t)&info;
	if (skel_sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)) < 0)
		return err_sys(e, -errno, "IP-in-IP: program");
	*id = info.id;
	return 0;
}

int ipip_look(const struct ipip *p, struct nl *nl, enum ipip_hook hook, int ifindex,
	      enum ipip_there *out, struct err *e)
{
	uint32_t there = 0, mine = 0;
	unsigned others;
	int rc = ipip_tc_look(nl, hook, ifindex, &there, &others, e);

	if (rc == -EINVAL) { /* no clsact */
		*out = IPIP_NONE;
		return 0;
	}
	if (!rc)
		rc = program_id(program_of(p, hook), &mine, e);
	if (!rc)
		*out = !there ? IPIP_NONE : there == mine ? IPIP_OURS : IPIP_OLD;
	return rc;
}

int ipip_attach(const struct ipip *p, struct nl *nl, enum ipip_hook hook, int ifindex,
		struct err *e)
{
	return ipip_tc_put(nl, hook, ifindex, program_of(p, hook), e);
}
