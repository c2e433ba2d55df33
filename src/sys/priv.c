// SPDX-License-Identifier: Apache-2.0
/* priv: see priv.h.
 *
 * Order matters: the bounding set needs CAP_SETPCAP, setgroups(2) needs CAP_SETGID, so the user
 * id goes last, and the filter after everything that it would forbid. "No way back" is checked
 * by trying. */
#include "sys/priv.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int priv_user(const char *name, uid_t *uid, gid_t *gid, struct err *e)
{
	const struct passwd *pw = getpwnam(name ? name : "fairlead");

	if (!pw && !name)
		pw = getpwnam("nobody");
	if (!pw)
		return err_set(e, -ENOENT, "user %s: no such account", name ? name : "nobody");
	*uid = pw->pw_uid;
	*gid = pw->pw_gid;
	return 0;
}

static int drop_caps(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return -errno;
	return syscall(SYS_capset, &head, none) < 0 ? -errno : 0;
}

static int drop_bounding(void)
{
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		if (prctl(PR_CAPBSET_DROP, cap) < 0)
			return -errno;
	return 0;
}

int priv_drop(uid_t uid, gid_t gid, struct err *e)
{
	uid_t r, ef, sv;
	int rc;

	if (uid == 0 || gid == 0)
		return err_set(e, -EINVAL, "dropping privileges: user %u, group %u is root",
			       (unsigned)uid, (unsigned)gid);
	rc = drop_bounding();
	if (rc)
		return err_sys(e, rc, "dropping privileges: bounding set");
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return err_sys(e, -errno, "dropping privileges: become user %u", (unsigned)uid);
	rc = drop_caps();
	if (rc)
		return err_sys(e, rc, "dropping privileges: capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, -errno, "dropping privileges: no_new_privs");
	if (setuid(0) == 0 || setgid(0) == 0 || getresuid(&r, &ef, &sv) < 0 || r != uid ||
	    ef != uid || sv != uid)
		return err_set(e, -EPERM, "dropping privileges: the way back is open");
	/* Changing the user made the process undumpable, which hides it from `ls -l /proc/PID`
	 * and core dumps; it holds no secret that its user may not see. */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	return 0;
}

/* What every role needs once it runs: event loop, descriptors it has, memory, log, exit. */
static const char *const base_calls[] = {
	/* event loop */
	"epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll",
	"eventfd2", "timerfd_create", "timerfd_settime", "pselect6", "signalfd4",
	/* descriptors that are open or handed over */
	"read", "write", "readv", "writev", "pread64", "pwrite64", "recvfrom", "recvmsg", "sendto",
	"sendmsg", "recvmmsg", "sendmmsg", "shutdown", "close", "dup", "fcntl", "fstat",
	"newfstatat", "lseek", "getsockname", "getpeername", "getsockopt", "setsockopt", "accept4",
	"socketpair", "pipe2", "ioctl",
	/* memory; glibc's qsort() asks how much there is */
	"brk", "munmap", "mremap", "madvise", "sysinfo",
	/* clocks, signals, locks */
	"clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time",
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall", "futex",
	"rseq", "sched_yield", "getrandom", "membarrier", "set_robust_list",
	/* who am I; the end */
	"getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "uname", "tgkill",
	"exit", "exit_group",
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	/* what the sanitizers' runtime does by itself */
	"open", "openat", "readlink", "readlinkat", "clone", "clone3", "wait4", "ptrace", "prctl",
	"sched_getaffinity", "getdents", "getdents64", "process_vm_readv", "prlimit64", "getrlimit",
	"arch_prctl", "kill",
#endif
	NULL
};

/* Calls that are allowed with one first argument only. */
static const struct {
	const char *name;
	int nr, arg;
} narrow[] = { { "socket:netlink", SCMP_SYS(socket), AF_NETLINK },
	       { "socket:inet", SCMP_SYS(socket), AF_INET },
	       { "socket:inet6", SCMP_SYS(socket), AF_INET6 },
	       { "socket:packet", SCMP_SYS(socket), AF_PACKET } };

static int allow_narrow(scmp_filter_ctx f, const char *name)
{
	for (size_t i = 0; i < sizeof(narrow) / sizeof(narrow[0]); i++)
		if (!strcmp(name, narrow[i].name))
			return seccomp_rule_add(f, SCMP_ACT_ALLOW, narrow[i].nr, 1,
						SCMP_A0(SCMP_CMP_EQ, (unsigned)narrow[i].arg));
	return -ENOENT;
}

static int allow(scmp_filter_ctx f, const char *const *calls, struct err *e)
{
	for (; calls && *calls; calls++) {
		int nr = seccomp_syscall_resolve_name(*calls), rc;

		if (nr == __NR_SCMP_ERROR && !allow_narrow(f, *calls))
			continue;
		if (nr == __NR_SCMP_ERROR)
			return err_set(e, -EINVAL, "seccomp: no system call \"%s\"", *calls);
		if (nr < 0)
			continue; /* of another architecture */
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, nr, 0);
		/* Twice the same name is no harm. */
		if (rc && rc != -EEXIST)
			return err_sys(e, rc, "seccomp: allow %s", *calls);
	}
	return 0;
}

/* Memory, but never memory that runs. */
static int allow_memory(scmp_filter_ctx f, struct err *e)
{
	static const int calls[] = { SCMP_SYS(mmap), SCMP_SYS(mprotect) };

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		int rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 1,
					  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));

		if (rc)
			return err_sys(e, rc, "seccomp: allow memory");
	}
	return 0;
}

int priv_seccomp(const char *const *calls, struct err *e)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int rc;

	if (!f)
		return err_set(e, -ENOMEM, "seccomp: cannot make a filter");
	rc = allow(f, base_calls, e);
	if (!rc)
		rc = allow_memory(f, e);
	if (!rc)
		rc = allow(f, calls, e);
	if (!rc) {
		seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
		rc = seccomp_load(f);
		if (rc)
			err_sys(e, rc, "seccomp: load");
	}
	seccomp_release(f);
	return rc;
}

int priv_die_with_parent(int sig, pid_t parent, struct err *e)
{
	if (prctl(PR_SET_PDEATHSIG, sig, 0, 0, 0) < 0)
		return err_sys(e, -errno, "death signal");
	if (getppid() != parent)
		return err_set(e, -ESRCH, "death signal: the parent is gone");
	return 0;
}
