// SPDX-License-Identifier: Apache-2.0
#include "cmd/interrupt.h"

/* One that is ignored, as SIGINT is behind nohup, would wait all the same if it were blocked. */
static void add_unless_ignored(sigset_t *set, int sig)
{
	struct sigaction now;

	if (!sigaction(sig, NULL, &now) && now.sa_handler != SIG_IGN)
		sigaddset(set, sig);
}

void cmd_block_interrupts(sigset_t *old)
{
	sigset_t set;

	sigemptyset(&set);
	add_unless_ignored(&set, SIGINT);
	add_unless_ignored(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, old);
}

bool cmd_interrupted(void)
{
	sigset_t set;

	sigpending(&set);
	return sigismember(&set, SIGINT) || sigismember(&set, SIGTERM);
}
