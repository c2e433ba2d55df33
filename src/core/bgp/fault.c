// SPDX-License-Identifier: Apache-2.0
/* fault: see fault.h and types.h. Names are those of the IANA registry of BGP error codes. */
#include "core/bgp/fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int bgp_fault(struct bgp_fault *f, uint8_t code, uint8_t sub, const char *fmt, ...)
{
	va_list ap;

	f->code = code;
	f->sub = sub;
	f->data_len = 0;
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	return -EBADMSG;
}

int bgp_fault_show(struct bgp_fault *f, const void *p, size_t n)
{
	if (n > sizeof(f->data))
		n = sizeof(f->data);
	if (n)
		memcpy(f->data, p, n);
	f->data_len = (uint16_t)n;
	return -EBADMSG;
}

struct names {
	const char *code;
	const char *sub[12];
};

static const struct names names[] = {
	[BGP_E_HEADER] = { "Message Header Error",
			   { [BGP_E_SYNC] = "Connection Not Synchronized",
			     [BGP_E_LENGTH] = "Bad Message Length",
			     [BGP_E_TYPE] = "Bad Message Type" } },
	[BGP_E_OPEN] = { "OPEN Message Error",
			 { [BGP_E_VERSION] = "Unsupported Version Number",
			   [BGP_E_PEER_AS] = "Bad Peer AS",
			   [BGP_E_BGP_ID] = "Bad BGP Identifier",
			   [BGP_E_OPTIONAL] = "Unsupported Optional Parameter",
			   [BGP_E_HOLD_TIME] = "Unacceptable Hold Time",
			   [BGP_E_CAPABILITY] = "Unsupported Capability" } },
	[BGP_E_UPDATE] = { "UPDATE Message Error",
			   { [BGP_E_ATTRIBUTES] = "Malformed Attribute List",
			     [BGP_E_WELL_KNOWN] = "Unrecognized Well-known Attribute",
			     [BGP_E_MISSING] = "Missing Well-known Attribute",
			     [BGP_E_FLAGS] = "Attribute Flags Error",
			     [BGP_E_ATTRIBUTE_LENGTH] = "Attribute Length Error",
			     [BGP_E_ORIGIN] = "Invalid ORIGIN Attribute",
			     [BGP_E_NEXT_HOP] = "Invalid NEXT_HOP Attribute",
			     [BGP_E_ATTRIBUTE] = "Optional Attribute Error",
			     [BGP_E_NETWORK] = "Invalid Network Field",
			     [BGP_E_AS_PATH] = "Malformed AS_PATH" } },
	[BGP_E_HOLD] = { "Hold Timer Expired", { NULL } },
	[BGP_E_FSM] = { "Finite State Machine Error",
			{ [BGP_E_IN_OPENSENT] = "Unexpected Message in OpenSent",
			  [BGP_E_IN_OPENCONFIRM] = "Unexpected Message in OpenConfirm",
			  [BGP_E_IN_ESTABLISHED] = "Unexpected Message in Established" } },
	[BGP_E_CEASE] = { "Cease",
			  { [BGP_E_PREFIXES] = "Maximum Number of Prefixes Reached",
			    [BGP_E_SHUTDOWN] = "Administrative Shutdown",
			    [BGP_E_DECONFIGURED] = "Peer De-configured",
			    [BGP_E_RESET] = "Administrative Reset",
			    [BGP_E_REJECTED] = "Connection Rejected",
			    [BGP_E_CHANGED] = "Other Configuration Change",
			    [BGP_E_COLLISION] = "Connection Collision Resolution",
			    [BGP_E_RESOURCES] = "Out of Resources",
			    [BGP_E_HARD_RESET] = "Hard Reset",
			    [BGP_E_BFD_DOWN] = "BFD Down" } },
	[BGP_E_REFRESH] = { "ROUTE-REFRESH Message Error",
			    { [BGP_E_REFRESH_LENGTH] = "Invalid Message Length" } },
};

static const struct names *of(uint8_t code)
{
	return code < sizeof(names) / sizeof(names[0]) && names[code].code ? &names[code] : NULL;
}

const char *bgp_code_name(uint8_t code)
{
	const struct names *n = of(code);

	return n ? n->code : "unknown error";
}

const char *bgp_sub_name(uint8_t code, uint8_t sub)
{
	const struct names *n = of(code);

	return n && sub < sizeof(n->sub) / sizeof(n->sub[0]) && n->sub[sub] ? n->sub[sub] : "";
}

const char *bgp_message_name(uint8_t type)
{
	static const char *const name[] = { [BGP_OPEN] = "OPEN",
					    [BGP_UPDATE] = "UPDATE",
					    [BGP_NOTIFICATION] = "NOTIFICATION",
					    [BGP_KEEPALIVE] = "KEEPALIVE",
					    [BGP_REFRESH] = "ROUTE-REFRESH" };

	return type >= BGP_OPEN && type <= BGP_REFRESH ? name[type] : "?";
}
