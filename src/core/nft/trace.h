/* SPDX-License-Identifier: Apache-2.0 */
/* What nftables tells about single packets: which rule was met, what it said, and the packet's
 * headers where a hook begins. Decided here and carried by sys/nftrace: the rules that make the
 * kernel tell (nft_trace_table), and its words as data (nft_trace_decode).
 *
 * The kernel tells of a rule only where all of it matched; of the end of a chain that has no
 * more rules (RETURN), and of a base chain's policy. A packet's id is made of its buffer and the
 * device it came in by, so it stays from hook to hook within a node, and may come again for a later
 * packet. Headers and devices stand in the first event of each base chain, that is: as the packet
 * was when that chain began. */
#pragma once
#include "core/nft/ir.h"

struct nlmsghdr;

#define NFT_TRACE_NAME  256               /* of the kernel's names, with the end */
#define NFT_TRACE_TABLE "fairlead-trace-" /* then what tells one from the others */

/* nf_ct's bits as NFTA_TRACE_CT_STATE has them, those of `ct state`. */
enum { NFT_CT_INVALID = 1, NFT_CT_ESTABLISHED = 2, NFT_CT_RELATED = 4, NFT_CT_NEW = 8 };

struct nft_trace {
	uint32_t id;     /* of the packet */
	uint8_t type;    /* NFT_TRACETYPE_RULE, _RETURN, _POLICY */
	uint8_t family;  /* the table's: NFPROTO_INET … */
	uint8_t nfproto; /* the packet's: NFPROTO_IPV4 …; 0: not told */
	char table[NFT_TRACE_NAME], chain[NFT_TRACE_NAME];
	uint64_t rule;                          /* its handle; 0 where type is not RULE */
	int32_t verdict;                        /* RULE, RETURN: as in struct nft_verdict */
	char to[NFT_TRACE_NAME];                /* of a jump or goto, else "" */
	uint32_t policy;                        /* POLICY: NF_ACCEPT or NF_DROP */
	uint32_t mark, iif, oif;                /* 0: none, or not told */
	uint16_t iiftype, oiftype;              /* ARPHRD_* */
	uint8_t n_link, n_network, n_transport; /* bytes of headers; all 0: not told */
	uint8_t link[20], network[40], transport[20];
	bool has_ct; /* Linux 6.16: the next four hold */
	uint8_t ct_reply;
	uint32_t ct_id, ct_status, ct_state; /* id as in struct ct_entry; IPS_*; NFT_CT_* */
};

/* *out is what the message says; 0, or -EBADMSG for what is none of NFT_MSG_TRACE. */
int nft_trace_decode(const struct nlmsghdr *nlh, struct nft_trace *out, struct err *e);

/* One direction of a flow. AF_UNSPEC and 0 stand for any. */
struct nft_trace_flow {
	struct ipaddr src, dst;
	uint8_t proto; /* IPPROTO_*; ports of the others are 0 */
	uint16_t sport, dport;
};

bool nft_trace_has_ports(
	uint8_t proto); /* IPPROTO_*, in the first four bytes of the transport header */
/* What the event's headers say; false where it has none. */
bool nft_trace_packet(const struct nft_trace *t, struct nft_trace_flow *out);
/* Is what `packet` says all that `wanted` asks for? */
bool nft_trace_matches(const struct nft_trace_flow *wanted, const struct nft_trace_flow *packet);

/* The event's chain and rule in what was dumped; NULL where it is not there (any more). */
const struct nft_chain *nft_trace_chain(const struct nft_ruleset *rs, const struct nft_trace *t);
const struct nft_rule *nft_trace_rule(const struct nft_ruleset *rs, const struct nft_trace *t);

/* Table `inet name` that makes the kernel tell of packets of these flows, and only of them, from
 * before conntrack on. It has no other rules, so that it decides nothing. Its chains stand where the
 * packet has just been changed or sent on, and show it there where nobody else has a chain: */
#define NFT_TRACE_PREROUTING  "prerouting"  /* as it came in */
#define NFT_TRACE_TRANSLATED  "translated"  /* behind dstnat */
#define NFT_TRACE_INPUT       "input"       /* the node's own */
#define NFT_TRACE_FORWARD     "forward"     /* somebody else's */
#define NFT_TRACE_OUTPUT      "output"      /* as the node sends it */
#define NFT_TRACE_REDIRECTED  "redirected"  /* behind dstnat there */
#define NFT_TRACE_POSTROUTING "postrouting" /* as it leaves, behind srcnat */
/* The table goes with the socket that made it (NFT_TABLE_F_OWNER). */
struct nft_table *nft_trace_table(struct nft_ruleset *rs, const char *name,
				  const struct nft_trace_flow *v, size_t n);
/* One of these chains. */
struct nft_chain *nft_trace_base(struct nft_table *t, const char *name);

/* What one traced flow bears, so that it is known on any node, through translation and tunnels. TCP: the
 * client's first sequence number; packets count whose sequence or acknowledgement lies less than
 * NFT_TRACE_SEQS behind it, which costs others least where it is a multiple of that. UDP, and echo of ICMP
 * and ICMPv6: eight bytes of data, the first ones if no place is said. SCTP: the client's tag. Also errors of ICMP that quote such
 * a packet. */
#define NFT_TRACE_SEQS 64
struct nft_trace_signature {
	uint8_t proto;  /* IPPROTO_TCP, UDP, SCTP, ICMP, ICMPV6 */
	uint64_t value; /* most significant byte first on the wire; TCP, SCTP: its low 32 bits */
	uint8_t at; /* of UDP: bytes from its header on to them, 200 at most; 0: where data begins */
};

/* A table as above for the packets that bear it, and for answers over UDP that do not. It has no chains that only
 * show the packet, as each costs everybody's packets: devices show it, and others' chains. */
struct nft_table *nft_trace_signature_table(struct nft_ruleset *rs, const char *name,
					    const struct nft_trace_signature *s);

/* The kernel tells every listener of a namespace of each packet that any table marks. In a signature's table
 * a rule that goes on has matched the signature, or a learned answer; all others of it lead away. So known
 * are the packets that are followed by `table`; the last NFT_TRACE_OWN of them. */
#define NFT_TRACE_OWN 64
struct nft_trace_own {
	uint32_t ids[NFT_TRACE_OWN];
	uint32_t n, oldest;
};
/* Is the event, one of them all in their order, about one of those? */
bool nft_trace_is_own(struct nft_trace_own *o, const char *table, const struct nft_trace *x);
