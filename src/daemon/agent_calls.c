// SPDX-License-Identifier: Apache-2.0
/* What the agent calls beyond every role's base: namespaces and netlink sockets in them, sysctls
 * and the files of its state folder, and threads, the reaper's and of traces. It starts no program. Of sockets
 * that are not handed to it those of traces alone lead out of the machine (sys/trace_probe.h). */
#include "daemon/agent.h"

const char *const agent_calls[] = {
	/* the kernel's network */
	"setns", "socket:netlink", "bind",
	/* traces: the probe, and what is seen of it */
	"socket:inet", "socket:inet6", "socket:packet", "connect", "bpf",
	/* sysctls and state */
	"openat", "open", "stat", "lstat", "statx", "getdents64", "mkdir", "mkdirat", "rename",
	"renameat", "renameat2", "unlink", "unlinkat", "fsync", "fdatasync", "ftruncate", "fchmod",
	"flock",
	/* the table of names for role dns */
	"memfd_create", "fallocate",
	/* a thread; its first malloc() counts processors */
	"clone", "clone3", "sched_getaffinity", NULL
};
