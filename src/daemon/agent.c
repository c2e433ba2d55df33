// SPDX-License-Identifier: Apache-2.0
/* Role agent: the one that writes the node's kernel. This file starts and ends its parts in order
 * and wires the streams; what each does is in its own (agent.h lists them).
 *
 * Privileges: root, as opening namespaces and sysctls needs it, but with the capabilities of a
 * network administrator only, and no_new_privs, under a filter of its own (agent_calls.c). It
 * parses nothing but records. */
#include "daemon/agent.h"
#include "daemon/agent_bgp.h"
#include "daemon/agent_cni.h"
#include "daemon/agent_conntrack.h"
#include "daemon/agent_ctl.h"
#include "daemon/agent_dns.h"
#include "daemon/agent_gc.h"
#include "daemon/agent_health.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_ipip.h"
#include "daemon/agent_kernel.h"
#include "daemon/agent_nft.h"
#include "daemon/agent_plan.h"
#include "daemon/agent_pod.h"
#include "daemon/agent_policy.h"
#include "daemon/agent_policy_count.h"
#include "daemon/agent_policy_log.h"
#include "daemon/agent_reap.h"
#include "daemon/agent_report.h"
#include "daemon/agent_service.h"
#include "daemon/agent_store.h"
#include "daemon/agent_trace.h"
#include "sys/rtnl.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int64_t agent_now_ms(const struct agent *a)
{
	return (int64_t)(ev_time() * 1000.);
}

void agent_wake(struct agent *a)
{
	agent_cni_wake(a);
}

/* Everything else that root could do is given up, for this process and whatever it could start. */
static int limit_capabilities(struct err *e)
{
	static const unsigned keep[] = { CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN /* setns */,
					 CAP_SYS_PTRACE /* /proc/PID/ns, where runtimes name
							 * namespaces so; ptrace(2) is barred */
					 ,
					 CAP_DAC_OVERRIDE /* a state folder of another user's */ };
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++) {
		bool kept = false;

		for (size_t i = 0; i < sizeof(keep) / sizeof(keep[0]); i++)
			kept |= keep[i] == cap;
		if (!kept && prctl(PR_CAPBSET_DROP, cap) && errno != EINVAL)
			return err_sys(e, -errno, "capability %u", cap);
		if (kept) {
			data[CAP_TO_INDEX(cap)].permitted |= CAP_TO_MASK(cap);
			data[CAP_TO_INDEX(cap)].effective |= CAP_TO_MASK(cap);
		}
	}
	if (syscall(SYS_capset, &head, data))
		return err_sys(e, -errno, "capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return err_sys(e, -errno, "no_new_privs");
	return 0;
}

static int open_agent(struct role *r, struct err *e)
{
	int rc = limit_capabilities(e);

	return rc ? rc : rtnl_check_kernel(e);
}

static int start(struct role *r, struct err *e)
{
	static int (*const parts[])(struct agent * a, struct err * e) = {
		agent_store_open, agent_ipip_open,       agent_kernel_open,
		agent_nft_open,   agent_conntrack_open,  agent_health_open,
		agent_bgp_open,   agent_service_open,    agent_policy_open,
		agent_ipam_open,  agent_plan_open,       agent_reap_open,
		agent_gc_open,    agent_policy_log_open, agent_policy_count_open,
		agent_trace_open, agent_report_open,     agent_dns_open,
	};
	struct agent *a = r->state;
	int rc = 0;

	a->role = r;
	for (size_t i = 0; !rc && i < sizeof(parts) / sizeof(parts[0]); i++)
		rc = parts[i](a, e);
	if (rc)
		return rc;

	/* What the journal tells is in force before anybody can ask for more; and what others made
	 * is known before anything is changed. */
	agent_kernel_look(a);
	agent_gc_boot(a);
	agent_ipam_note_boot(a);
	agent_pod_restore(a);
	agent_plan_start(a);
	rc = agent_nft_start(a, e); /* first: it brings conntrack, one of whose sysctls is wanted */
	agent_kernel_start(a);
	agent_gc_start(a);
	if (!rc)
		rc = agent_cni_open(a, e);
	return rc ? rc : agent_ctl_open(a, e);
}

static void join(struct role *r, const char *peer, int fd)
{
	struct agent *a = r->state;

	if (!strcmp(peer, "watch"))
		agent_store_join(a, fd);
	else if (!strcmp(peer, "health"))
		agent_report_join(a, fd);
	else if (!strcmp(peer, "bgp"))
		agent_bgp_join(a, fd);
	else if (!strcmp(peer, "dns"))
		agent_dns_join(a, fd);
	else
		close(fd);
}

/* In the reverse order of start(), but that the store's writes under way are answered (with an
 * error) while those who asked are there; the kernel keeps everything. */
static void stop(struct role *r)
{
	struct agent *a = r->state;

	agent_ctl_close(a);
	agent_cni_close(a);
	agent_store_close(a);
	agent_dns_close(a);
	agent_trace_close(a);
	agent_report_close(a);
	agent_policy_count_close(a);
	agent_policy_log_close(a);
	agent_gc_close(a);
	agent_reap_close(a);
	agent_plan_close(a);
	agent_ipam_close(a);
	agent_policy_close(a);
	agent_service_close(a);
	agent_conntrack_close(a);
	agent_bgp_close(a);
	agent_health_close(a);
	agent_nft_close(a);
	agent_kernel_close(a);
	agent_ipip_close(a);
}

int main(int argc, char **argv)
{
	static const struct role_ops ops = { .name = "agent",
					     .privileged = true,
					     .calls = agent_calls,
					     .open = open_agent,
					     .start = start,
					     .join = join,
					     .stop = stop };
	struct agent a = { 0 };

	return role_main(&ops, &a, argc, argv);
}
