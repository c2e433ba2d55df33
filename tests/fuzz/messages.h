/* SPDX-License-Identifier: Apache-2.0 */
/* Input that is a row of netlink messages: each one is handed on in memory of its own, so that it is aligned
 * and its end is guarded. */
#pragma once
#include <linux/netlink.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline void each_message(const uint8_t *data, size_t size,
				void (*fn)(const struct nlmsghdr *nlh))
{
	struct nlmsghdr head;

	for (size_t off = 0; size - off >= sizeof(head);) {
		struct nlmsghdr *nlh;

		memcpy(&head, data + off, sizeof(head));
		if (head.nlmsg_len < sizeof(head) || head.nlmsg_len > size - off)
			break;
		nlh = malloc(head.nlmsg_len);
		memcpy(nlh, data + off, head.nlmsg_len);
		fn(nlh);
		free(nlh);
		off += NLMSG_ALIGN(head.nlmsg_len);
		if (off > size)
			break;
	}
}
