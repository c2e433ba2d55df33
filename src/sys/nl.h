/* SPDX-License-Identifier: Apache-2.0 */
/* Netlink transport over libmnl's builders: one request and its answer, pipelined batches with
 * a result each, dumps that start over when the kernel says they were torn, and multicast.
 *
 * The socket belongs to the network namespace in which it was opened, for good: a process works
 * inside of another namespace through a socket, without living there. Errors carry the kernel's
 * own words (extended acknowledgement) where it says any. */
#pragma once
#include "base/buf.h"
#include "base/err.h"

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stdint.h>

struct nl;

/* `bus` is NETLINK_ROUTE, NETLINK_NETFILTER, … */
struct nl *nl_open(int bus, struct err *e);
/* In the namespace behind `netns`; the calling thread is back in its own afterwards. */
struct nl *nl_open_in(int netns, int bus, struct err *e);
void nl_close(struct nl *nl); /* NULL is fine */
int nl_fd(const struct nl *nl);
uint32_t nl_portid(const struct nl *nl); /* what nlmsg_pid says in notices that we caused */

/* ---- requests. A batch holds any number; it is sent in chunks whose answers fit the socket's
 * buffer, and the kernel works on all of them even where one fails. */

#define NL_MSG_ROOM 4096 /* what one message may take, header included */

struct nl_batch {
	struct buf b;
	unsigned n;
	size_t last; /* offset of the message being built; its end is taken from nlmsg_len */
};

void nl_batch_init(struct nl_batch *b);
void nl_batch_fini(struct nl_batch *b);
void nl_batch_clear(struct nl_batch *b);
/* A new message with `extra` zeroed bytes of family header, NLM_F_REQUEST | flags; fill it with
 * libmnl's mnl_attr_put_*() up to NL_MSG_ROOM. Valid until the next call. NULL: no memory. */
struct nlmsghdr *nl_batch_add(struct nl_batch *b, uint16_t type, uint16_t flags, size_t extra);

/* `code` is 0 or the kernel's -errno for request `i` (counted from 0), `text` its words or "". */
typedef void (*nl_result_fn)(void *arg, unsigned i, int code, const char *text);
/* Returns 0 when every request was answered (whatever the answers were), else the transport's
 * error. Without `fn` the first negative answer is the error. Empties the batch. */
int nl_batch_run(struct nl *nl, struct nl_batch *b, nl_result_fn fn, void *arg, struct err *e);

/* One request built by nl_batch_add() in a fresh batch, its answer's messages appended to
 * `reply` (NULL: dropped). For gets, dumps (NLM_F_DUMP; begun anew up to 16 times where the
 * kernel reports NLM_F_DUMP_INTR or an overrun) and echoes. */
int nl_talk(struct nl *nl, struct nl_batch *b, struct buf *reply, struct err *e);

/* A dump too large to be kept: each message goes to `fn` as it comes, and where the dump was torn
 * and begins anew, again. -errno of `fn`, which then sets `e`, ends it at once; the kernel may still
 * hold the rest then, so that all that is left to do with the socket is to close it. */
typedef int (*nl_message_fn)(void *arg, const struct nlmsghdr *nlh, struct err *e);
int nl_dump(struct nl *nl, struct nl_batch *b, nl_message_fn fn, void *arg, struct err *e);

/* Walks messages in a buffer without trusting it: the next one at *off, or NULL at the end or
 * where the rest is no message. */
const struct nlmsghdr *nl_walk(const void *p, size_t n, size_t *off);

/* ---- multicast */

int nl_join(struct nl *nl, unsigned group, struct err *e);
typedef void (*nl_notice_fn)(void *arg, const struct nlmsghdr *nlh);
/* Delivers what is there without blocking, at most 1024 datagrams. *lost is set when the kernel
 * dropped notices (ENOBUFS): whoever mirrors state must dump anew. */
int nl_notices(struct nl *nl, nl_notice_fn fn, void *arg, bool *lost, struct err *e);
