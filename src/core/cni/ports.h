/* SPDX-License-Identifier: Apache-2.0 */
/* The capability portMappings (CNI conventions): what a runtime says, and when two mappings are for
 * the same packets. A port without protocol is TCP's; a hostIP of all zeros means every address of
 * its family, none every address of both. A mapping may be said twice. */
#pragma once
#include "base/err.h"
#include "core/cni/message.h"

struct cni_wishes;

#define CNI_PORTS_MAX 256 /* of one container: what fits into an entry of the journal */

/* Into `q->ports`. -EINVAL: the text names the entry. */
int cni_read_ports(const struct cni_wishes *w, struct arena *a, struct cni_request *q,
		   struct err *e);
bool port_mappings_overlap(const struct port_mapping *a, const struct port_mapping *b);
bool port_mapping_eq(const struct port_mapping *a, const struct port_mapping *b);

#define PORT_MAPPING_TEXT (ADDR_TEXT + 24)
/* "host port 53/UDP of 192.0.2.1" */
const char *port_mapping_str(const struct port_mapping *m, char buf[PORT_MAPPING_TEXT]);
