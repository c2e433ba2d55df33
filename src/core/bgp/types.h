/* SPDX-License-Identifier: Apache-2.0 */
/* Words of BGP that every file of this room uses: families, messages, and the fault that a NOTIFICATION tells.
 *
 * Numbers are those of the wire and of the IANA registries; AS numbers and BGP identifiers are host order. */
#pragma once
#include "base/addr.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h> /* AF_INET */

/* Unicast of one address family: the index of everything that is kept per family. */
enum bgp_family { BGP_IPV4, BGP_IPV6, BGP_FAMILIES };

#define BGP_AFI_IPV4     1
#define BGP_AFI_IPV6     2
#define BGP_SAFI_UNICAST 1

/* -1 for what this speaker does not speak. */
static inline int bgp_family_of(uint16_t afi, uint8_t safi)
{
	if (safi != BGP_SAFI_UNICAST || (afi != BGP_AFI_IPV4 && afi != BGP_AFI_IPV6))
		return -1;
	return afi == BGP_AFI_IPV6 ? BGP_IPV6 : BGP_IPV4;
}

static inline uint16_t bgp_afi(enum bgp_family f)
{
	return f == BGP_IPV6 ? BGP_AFI_IPV6 : BGP_AFI_IPV4;
}

static inline enum bgp_family bgp_family_of_addr(const struct ipaddr *a)
{
	return a->family == AF_INET6 ? BGP_IPV6 : BGP_IPV4;
}

#define BGP_PORT     179
#define BGP_VERSION  4
#define BGP_HEADER   19
#define BGP_MESSAGE  4096 /* RFC 4271 4.1, with the header */
#define BGP_AS_TRANS 23456u

enum bgp_message {
	BGP_OPEN = 1,
	BGP_UPDATE = 2,
	BGP_NOTIFICATION = 3,
	BGP_KEEPALIVE = 4,
	BGP_REFRESH = 5, /* RFC 2918 */
};

/* Codes of a NOTIFICATION (RFC 4271 4.5, 6; RFC 7313 5) and their subcodes. */
enum bgp_code {
	BGP_E_HEADER = 1,
	BGP_E_OPEN = 2,
	BGP_E_UPDATE = 3,
	BGP_E_HOLD = 4,
	BGP_E_FSM = 5,
	BGP_E_CEASE = 6,
	BGP_E_REFRESH = 7,
};

enum bgp_header_sub { BGP_E_SYNC = 1, BGP_E_LENGTH = 2, BGP_E_TYPE = 3 };

enum bgp_open_sub {
	BGP_E_VERSION = 1,
	BGP_E_PEER_AS = 2,
	BGP_E_BGP_ID = 3,
	BGP_E_OPTIONAL = 4,
	BGP_E_HOLD_TIME = 6,
	BGP_E_CAPABILITY = 7, /* RFC 5492: one is missing */
};

enum bgp_update_sub {
	BGP_E_ATTRIBUTES = 1,
	BGP_E_WELL_KNOWN = 2, /* not recognised */
	BGP_E_MISSING = 3,
	BGP_E_FLAGS = 4,
	BGP_E_ATTRIBUTE_LENGTH = 5,
	BGP_E_ORIGIN = 6,
	BGP_E_NEXT_HOP = 8,
	BGP_E_ATTRIBUTE = 9,
	BGP_E_NETWORK = 10,
	BGP_E_AS_PATH = 11,
};

enum bgp_fsm_sub {
	BGP_E_IN_OPENSENT = 1,
	BGP_E_IN_OPENCONFIRM = 2,
	BGP_E_IN_ESTABLISHED = 3
}; /* RFC 6608 */

enum bgp_refresh_sub { BGP_E_REFRESH_LENGTH = 1 }; /* RFC 7313 5 */

enum bgp_cease_sub { /* RFC 4486, 8538, 9384 */
		     BGP_E_PREFIXES = 1,
		     BGP_E_SHUTDOWN = 2,
		     BGP_E_DECONFIGURED = 3,
		     BGP_E_RESET = 4,
		     BGP_E_REJECTED = 5,
		     BGP_E_CHANGED = 6,
		     BGP_E_COLLISION = 7,
		     BGP_E_RESOURCES = 8,
		     BGP_E_HARD_RESET = 9,
		     BGP_E_BFD_DOWN = 10,
};

#define BGP_FAULT_DATA 256 /* a shutdown communication fits (RFC 9003 2) */
#define BGP_FAULT_TEXT 128

/* What ends a session, as its NOTIFICATION says it. */
struct bgp_fault {
	uint8_t code, sub;
	uint16_t data_len;
	uint8_t data[BGP_FAULT_DATA]; /* what the RFC wants to be shown of the fault, cut to fit */
	char text[BGP_FAULT_TEXT];    /* the same for people: "attribute ORIGIN: value 7" */
};

/* "UPDATE Message Error", "Malformed AS_PATH", as the registry has them; static texts. */
const char *bgp_code_name(uint8_t code);
const char *bgp_sub_name(uint8_t code, uint8_t sub); /* "" where it has none */
const char *bgp_message_name(uint8_t type);          /* "ROUTE-REFRESH"; "?" for none of ours */
