/* SPDX-License-Identifier: Apache-2.0 */
/* The only program of a container image: on TCP port 80 it tells every caller the caller's own
 * address, until SIGTERM (as process 1 it has to ask for that signal). Static. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void leave(int sig)
{
	_exit(0);
}

int main(void)
{
	struct sockaddr_in6 here = { .sin6_family = AF_INET6, .sin6_port = htons(80) };
	int s = socket(AF_INET6, SOCK_STREAM, 0), off = 0;

	signal(SIGTERM, leave);
	signal(SIGPIPE, SIG_IGN);
	setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (s < 0 || bind(s, (struct sockaddr *)&here, sizeof(here)) || listen(s, 16)) {
		perror("port 80");
		return 1;
	}
	puts("up");
	fflush(stdout);
	for (;;) {
		struct sockaddr_in6 peer;
		socklen_t len = sizeof(peer);
		char text[INET6_ADDRSTRLEN] = "";
		int c = accept(s, (struct sockaddr *)&peer, &len);

		if (c < 0)
			continue;
		inet_ntop(AF_INET6, &peer.sin6_addr, text, sizeof(text));
		if (write(c, text, strlen(text)) < 0)
			perror("write");
		close(c);
	}
}
