// SPDX-License-Identifier: Apache-2.0
/* The reader of `log group` rules in the current namespace, for tests that send the packets.
 *
 *   nflog GROUP         says "ready", then a JSON object per packet, until standard input ends; then
 *                       {"lost": N}. Exit 1 where the group is another's
 *   nflog deaf GROUP    reads nothing until standard input ends, then all that is left
 *   nflog bytes GROUP   the kernel's messages (the fuzz corpus is made of them)
 */
#include "sys/nflog.h"
#include "base/buf.h"

#include <libmnl/libmnl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_packet(void *arg, const struct nft_logged *p)
{
	char src[ADDR_TEXT], dst[ADDR_TEXT];
	struct buf b = { 0 };

	(void)arg;
	buf_puts(&b, "{\"prefix\": ");
	buf_json_str(&b, p->prefix);
	buf_printf(&b,
		   ", \"group\": %u, \"hook\": %u, \"seq\": %u, \"mark\": %u, \"iif\": %u, "
		   "\"oif\": %u",
		   p->group, p->hook, p->seq, p->mark, p->iif, p->oif);
	if (p->flow.src.family)
		buf_printf(&b, ", \"src\": \"%s\", \"dst\": \"%s\"", addr_str(&p->flow.src, src),
			   addr_str(&p->flow.dst, dst));
	buf_printf(&b, ", \"proto\": %u, \"sport\": %u, \"dport\": %u, \"fragment\": %d",
		   p->flow.proto, p->flow.sport, p->flow.dport, p->fragment);
	if (p->has_icmp)
		buf_printf(&b, ", \"icmp\": [%u, %u]", p->icmp_type, p->icmp_code);
	printf("%s}\n", b.v);
	buf_fini(&b);
}

/* Until standard input ends; what came before that is still read. */
static int follow(struct nflog *l, bool deaf, struct err *e)
{
	struct pollfd p[] = { { .fd = 0, .events = POLLIN },
			      { .fd = deaf ? -1 : nflog_fd(l), .events = POLLIN } };
	int rc = 1;

	while (rc >= 0 && !p[0].revents && poll(p, 2, -1) > 0) {
		rc = deaf ? 0 : nflog_read(l, on_packet, NULL, e);
		fflush(stdout);
	}
	while (rc > 0 || (rc == 0 && deaf)) {
		deaf = false;
		rc = nflog_read(l, on_packet, NULL, e);
	}
	return rc;
}

static int write_bytes(struct nflog *l)
{
	char datagram[65536];
	ssize_t n;

	while (getchar() != EOF)
		;
	while ((n = recv(nflog_fd(l), datagram, sizeof(datagram), MSG_DONTWAIT)) > 0)
		fwrite(datagram, 1, (size_t)n, stdout);
	return 0;
}

int main(int argc, char **argv)
{
	bool deaf = argc > 1 && !strcmp(argv[1], "deaf"),
	     bytes = argc > 1 && !strcmp(argv[1], "bytes");
	struct err e = { 0 };
	struct nflog *l;
	int rc;

	argv += 1 + (deaf || bytes);
	if (!argv[0])
		return fprintf(stderr, "see the first lines of nflog.c\n"), 2;
	rc = nflog_open((uint16_t)atoi(argv[0]), &l, &e);
	if (!rc) {
		fprintf(bytes ? stderr : stdout, "ready\n");
		fflush(stdout);
		rc = bytes ? write_bytes(l) : follow(l, deaf, &e);
		if (!bytes)
			printf("{\"lost\": %llu}\n", (unsigned long long)nflog_lost(l));
		nflog_close(l);
	}
	if (rc < 0)
		fprintf(stderr, "nflog: %s\n", e.text);
	return rc < 0;
}
