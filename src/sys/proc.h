/* SPDX-License-Identifier: Apache-2.0 */
/* Child processes: spawn with chosen descriptors, and reach them by pidfd, which cannot name
 * anybody else. */
#pragma once
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct proc_fd {
	int from; /* ours */
	int to;   /* the child's number */
};

struct proc_spec {
	const char *path;          /* program, absolute */
	const char *const *argv;   /* NULL-terminated */
	const char *const *envp;   /* NULL: ours */
	const struct proc_fd *fds; /* besides 0, 1, 2; everything else is closed */
	size_t nfds;
	bool new_session; /* setsid() */
	int death_signal; /* sent when we die; 0: none */
	int netns;        /* > 0: network namespace to start in */
};

struct proc {
	pid_t pid;
	int pidfd; /* readable once the process ended; close-on-exec; the owner closes it */
};

/* Returns after the exec succeeded, or with its error (-ENOENT, -EACCES, …). Signal mask and
 * dispositions are the defaults in the child. */
int proc_spawn(const struct proc_spec *s, struct proc *out, struct err *e);
int proc_signal(int pidfd, int sig, struct err *e); /* ended already is success */
/* Waits at most timeout_ms (negative: for ever) and collects the status as of waitpid(2);
 * -ETIMEDOUT. */
int proc_wait(int pidfd, int timeout_ms, int *status, struct err *e);
/* "exit 3", "signal 9 (Killed)" */
const char *proc_status_str(int status, char *buf, size_t n);

/* "PID\n", replaced atomically. */
int proc_pidfile(const char *path, pid_t pid, struct err *e);

/* The folder of the running program, and libexec/fairlead as seen from it: beside the programs
 * of an installation (../libexec/fairlead) or, in a build tree, the folder itself. */
int proc_exe_dir(char *buf, size_t n, struct err *e);
int proc_libexec(char *buf, size_t n, struct err *e);
