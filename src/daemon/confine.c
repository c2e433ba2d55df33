// SPDX-License-Identifier: Apache-2.0
/* confine: see confine.h; seccomp(2), capabilities(7). The filter is straight BPF: load the
 * call's number, compare with each of a list. */
#include "daemon/confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
/* cppcheck-suppress preprocessorErrorDirective */
#error "confine: name the audit architecture of this machine"
#endif

#define FILTER_MAX 512

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

/* What neither the keeper nor any role has a use for, and an intruder would. */
static const uint16_t forbidden[] = {
#ifndef __SANITIZE_ADDRESS__ /* whose leak checker traces its own process at exit */
	SYS_ptrace,
#endif
	SYS_process_vm_readv,
	SYS_process_vm_writev,
	SYS_init_module,
	SYS_finit_module,
	SYS_delete_module,
	SYS_kexec_load,
	SYS_reboot,
	SYS_swapon,
	SYS_swapoff,
	SYS_acct,
	SYS_settimeofday,
	SYS_clock_settime,
	SYS_adjtimex,
	SYS_clock_adjtime,
	SYS_add_key,
	SYS_request_key,
	SYS_keyctl,
	SYS_userfaultfd,
	SYS_open_by_handle_at,
	SYS_perf_event_open,
	SYS_vhangup,
	SYS_kcmp,
#ifdef SYS_kexec_file_load
	SYS_kexec_file_load,
#endif
#ifdef SYS_iopl
	SYS_iopl,
	SYS_ioperm,
	SYS_modify_ldt,
	SYS_uselib,
	SYS_ustat,
	SYS_sysfs,
#endif
};

/* Ports below 1024, and ending roles that run as other users. What it writes lies in its own
 * run directory; what roles need to start as they do, execve(2) gives them. */
static const uint8_t keeper_caps[] = { CAP_NET_BIND_SERVICE, CAP_KILL };

struct filter {
	struct sock_filter v[FILTER_MAX];
	unsigned short n;
	int overrun;
};

static void add(struct filter *f, struct sock_filter op)
{
	if (f->n < FILTER_MAX)
		f->v[f->n++] = op;
	else
		f->overrun = 1;
}

static void add_load(struct filter *f, unsigned offset)
{
	add(f, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset));
}

static void add_ret(struct filter *f, unsigned action)
{
	add(f, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

/* if (loaded == value) return action; */
static void add_case(struct filter *f, unsigned value, unsigned action)
{
	add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1));
	add_ret(f, action);
}

/* A foreign architecture's numbers (32 bit and x32 calls) would slip past the list. */
static void add_start(struct filter *f)
{
	add_load(f, offsetof(struct seccomp_data, arch));
	add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0));
	add_ret(f, SECCOMP_RET_KILL_PROCESS);
	add_load(f, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__
	add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000u, 0, 1));
	add_ret(f, SECCOMP_RET_KILL_PROCESS);
#endif
}

static int install(struct filter *f, struct err *e)
{
	struct sock_fprog prog = { .len = f->n, .filter = f->v };

	if (f->overrun)
		return err_set(e, -E2BIG, "seccomp: the filter has over %d steps", FILTER_MAX);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
		return err_sys(e, -errno, "seccomp");
	return 0;
}

int confine_keeper_filter(struct err *e)
{
	struct filter f = { .n = 0 };

	add_start(&f);
	for (size_t i = 0; i < N_OF(forbidden); i++)
		add_case(&f, forbidden[i], SECCOMP_RET_KILL_PROCESS);
	add_ret(&f, SECCOMP_RET_ALLOW);
	return install(&f, e);
}

/* Effective and permitted: `mask`, inheritable: none. */
static int set_caps(uint64_t mask, struct err *e)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ .effective = (uint32_t)mask, .permitted = (uint32_t)mask },
		{ .effective = (uint32_t)(mask >> 32), .permitted = (uint32_t)(mask >> 32) },
	};

	if (syscall(SYS_capset, &head, data) < 0)
		return err_sys(e, -errno, "capset");
	return 0;
}

int confine_keeper(struct err *e)
{
	uint64_t mask = 0;
	int rc;

	rc = confine_keeper_filter(e);
	for (size_t i = 0; i < N_OF(keeper_caps); i++)
		mask |= 1ull << keeper_caps[i];
	return rc ? rc : set_caps(mask, e);
}
