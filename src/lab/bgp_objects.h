/* SPDX-License-Identifier: Apache-2.0 */
/* BGPConfiguration and BGPPeers of a lab whose nodes learn routes by BGP (lab/bgp.h). */
#pragma once
#include "lab/spec.h"

#include <jansson.h>

/* An array of them; NULL: no memory. */
json_t *lab_bgp_objects(const struct lab_spec *s);
