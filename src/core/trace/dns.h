/* SPDX-License-Identifier: Apache-2.0 */
/* Of the trace of a DNS query: what was answered, from where, by which object, and in words. What the server made of it it says itself
 * (struct trace_dns); whose name it is follows from the objects, as they are when the story is told. */
#pragma once
#include "core/trace/decide.h"
#include "model/trace.h"

/* Sets what of `h`, at which the query is answered or was last seen, the query has to say: dns, by, behind, why. */
void story_dns_tell(const struct story_view *view, const struct packet_trace *t,
		    struct story_hop *h, struct arena *a);

/* "NOERROR, web.shop.svc.cluster.local. 5 A 10.110.0.149 and 1 more", "NXDOMAIN for a.b. A" */
const char *story_dns_answer_text(const struct story_dns *d, struct arena *a);
/* "from the cluster's names"; NULL: nobody says. */
const char *story_dns_from_text(const struct story_dns *d, struct arena *a);
/* "Service shop/web": the object that decided; NULL: none did. */
const char *story_dns_object_text(const struct story_hop *h, struct arena *a);
/* "the DNS of Node n1", "Pod kube-system/coredns" */
const char *story_dns_server_text(const struct story_hop *h, struct arena *a);
/* NULL: it is as it should be. */
const char *story_dns_advice(const struct story_view *view, const struct story_hop *h,
			     struct arena *a);
