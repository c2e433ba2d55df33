// SPDX-License-Identifier: Apache-2.0
/* pause: the process that holds the namespaces of a lab node or of a pod, and does nothing.
 *
 * Standard input is the lab's lifeline, the read end of a pipe whose only writer is the
 * supervisor: end of file means that the lab is gone, whoever of it died in which order.
 * Static, so that thirty of them cost next to nothing. */
#include <errno.h>
#include <signal.h>
#include <unistd.h>

static void leave(int sig)
{
	_exit(0);
}

int main(void)
{
	struct sigaction sa = { .sa_handler = leave };
	char c;

	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	for (;;) {
		ssize_t n = read(STDIN_FILENO, &c, 1);

		if (n == 0 || (n < 0 && errno != EINTR))
			return 0;
	}
}
