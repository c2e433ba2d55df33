/* SPDX-License-Identifier: Apache-2.0 */
/* A story in words: per hop one line, a sentence for who learns, and the command that shows the same
 * fact on the node (in a pod: `nsenter` finds the way in); and the verdict in one sentence. Made of the
 * facts in the hops alone. */
#pragma once
#include "core/trace/story.h"

/* Sets text, explain and show of all hops, and the sentence. 0 or -ENOMEM. */
int story_words(struct story *s, struct arena *a);

/* sentence.c. Its hops have their text; NULL: no memory. */
const char *story_sentence(const struct story *s, struct arena *a);

/* "10.244.1.2:40000"; in `a`. */
const char *story_end_text(const struct ipaddr *ip, uint16_t port, struct arena *a);
/* "10.244.1.2:40000 > 10.96.0.10:80", with what is around it in front; in `a`. */
const char *story_head_text(const struct story_head *h, struct arena *a);
/* The first of the request's hops with the smallest MTU; NULL: none has one (size.c). */
const struct story_hop *story_narrowest(const struct story *s);
#define STORY_OWN_DEVICE "the device that it would leave by"
/* "1500 bytes, and eth0 takes 1450 at most"; 0 and NULL: not known. */
const char *story_too_big(uint32_t length, uint32_t mtu, const char *device, struct arena *a);
/* Why default deny drops it; `dns`: at the node's own DNS. */
const char *story_denied_why(bool egress, bool dns);
/* "n1", "pod shop/web on n1", "outside" */
const char *story_place_text(const struct story_hop *h, struct arena *a);
