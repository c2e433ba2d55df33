/* SPDX-License-Identifier: Apache-2.0 */
/* nftables as data: what a ruleset says, before and after it is netlink bytes or text.
 *
 * A rule is a list of statements; a statement compares or looks up one or several selectors
 * (what a packet or its conntrack entry carries), or acts. That is one step above the kernel's
 * register machine: registers and the matches which a header implies (`ip saddr` in an inet
 * table needs `meta nfproto ipv4`) are made by encode.c and removed by decode.c, as the nft
 * program does, so that IR, text and bytes say the same thing in one way only.
 *
 * Values are bytes as the kernel compares them: addresses, ports, protocols and ether types in
 * network order; marks, ct states, lengths and other kernel numbers in host
 * order. Keys of several parts are the parts one after the other, each padded to 4 bytes.
 *
 * Everything lives in the ruleset's arena; strings given to builders are copied. Builders
 * return NULL and do nothing once the arena has failed, and take NULL: one nft_check() at the
 * end finds both that and what nft would refuse (names, sizes, types).
 *
 * What a later selector of the rule implies is not stated: nft_check() refuses a redundant
 * `meta l4proto tcp` before `tcp dport`, so that equal rules are equal bytes.
 *
 * Limits: no anonymous sets or chains (their number is quadratic in the kernel), no stateful
 * objects, no flowtables. Constants (families, hooks, verdicts, set and table flags, NAT kinds)
 * are the kernel's own from <linux/netfilter.h> and <linux/netfilter/nf_tables.h>. */
#pragma once
#include "base/addr.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#include <netinet/in.h> /* before the kernel's own <linux/in.h> */

#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>

#define NFT_COMMENT_MAX 128 /* nft 1.0.6 refuses longer ones */
#define NFT_KEY_MAX     64  /* bytes of a concatenated key: the kernel's 16 registers */
#define NFT_BURST       5   /* nft's default of `limit`, in packets */
#define NFT_PARTS_MAX   5   /* what fits into nft's 32-bit type number */
#define NFT_TYPEOF_MAX  4   /* what nft 1.0.6 reads back of a typeof declaration */

/* Data types of set keys and data; the kernel keeps the numbers for nft's listing. */
enum nft_type {
	NFTY_NONE,
	NFTY_VERDICT, /* data only */
	NFTY_IPV4_ADDR,
	NFTY_IPV6_ADDR,
	NFTY_ETHER_ADDR,
	NFTY_ETHER_TYPE,
	NFTY_INET_PROTO,
	NFTY_INET_SERVICE,
	NFTY_ICMP_TYPE,
	NFTY_ICMP_CODE,
	NFTY_ICMPV6_TYPE,
	NFTY_ICMPV6_CODE,
	NFTY_TCP_FLAG,
	NFTY_MARK,
	NFTY_IFNAME,
	NFTY_CT_STATE,
	NFTY_CT_STATUS,
	NFTY_CT_DIR,
	NFTY_FIB_ADDRTYPE,
	NFTY_PKT_TYPE,
	NFTY_NFPROTO,
	NFTY_UID,
	NFTY_GID,
	NFTY_ARP_OP,
	NFTY_BOOLEAN,
	NFTY_CLASSID, /* major:minor of traffic control: skb->priority */
	NFTY_INTEGER, /* length by the selector: the set is declared with typeof */
	NFTY_COUNT
};

/* What a statement reads. */
enum nft_key {
	NFK_NONE,
	NFK_META_IIFNAME,
	NFK_META_OIFNAME,
	NFK_META_L4PROTO,
	NFK_META_NFPROTO,
	NFK_META_PROTOCOL,
	NFK_META_MARK,
	NFK_META_PRIORITY,
	NFK_META_SKUID,
	NFK_META_SKGID,
	NFK_META_PKTTYPE,
	NFK_META_LENGTH,
	NFK_ETHER_SADDR,
	NFK_ETHER_DADDR,
	NFK_ETHER_TYPE,
	NFK_ARP_OP,
	NFK_ARP_SADDR_ETHER,
	NFK_ARP_SADDR_IP,
	NFK_ARP_DADDR_ETHER,
	NFK_ARP_DADDR_IP,
	NFK_IP_SADDR,
	NFK_IP_DADDR,
	NFK_IP_PROTOCOL,
	NFK_IP_TTL,
	NFK_IP_LENGTH,
	NFK_IP6_SADDR,
	NFK_IP6_DADDR,
	NFK_IP6_NEXTHDR,
	NFK_IP6_HOPLIMIT,
	NFK_TH_SPORT, /* any transport: says nothing about the protocol */
	NFK_TH_DPORT,
	NFK_TCP_SPORT,
	NFK_TCP_DPORT,
	NFK_TCP_FLAGS,
	NFK_UDP_SPORT,
	NFK_UDP_DPORT,
	NFK_SCTP_SPORT,
	NFK_SCTP_DPORT,
	NFK_ICMP_TYPE,
	NFK_ICMP_CODE,
	NFK_ICMPV6_TYPE,
	NFK_ICMPV6_CODE,
	NFK_PAYLOAD, /* raw: base, offset, len of the selector */
	NFK_CT_STATE,
	NFK_CT_STATUS,
	NFK_CT_MARK,
	NFK_CT_DIRECTION,
	NFK_CT_ORIG_SADDR4,
	NFK_CT_ORIG_DADDR4,
	NFK_CT_ORIG_SADDR6,
	NFK_CT_ORIG_DADDR6,
	NFK_CT_REPLY_SADDR4,
	NFK_CT_REPLY_SADDR6,
	NFK_CT_ORIG_SPORT, /* only where the rule knows tcp, udp or sctp by then */
	NFK_CT_ORIG_DPORT,
	NFK_FIB_SADDR_TYPE,    /* fib saddr type */
	NFK_FIB_DADDR_TYPE,    /* fib daddr type */
	NFK_FIB_SADDR_IIF_OIF, /* fib saddr . iif oif: 0 missing, 1 exists */
	NFK_RT_TCPMSS,
	NFK_NUMGEN_INC,
	NFK_NUMGEN_RANDOM,
	NFK_JHASH,
	NFK_COUNT
};

struct nft_sel {
	uint8_t key;                 /* enum nft_key */
	uint8_t base;                /* NFK_PAYLOAD: NFT_PAYLOAD_LL_HEADER … */
	uint8_t n_of;                /* NFK_JHASH: parts that are hashed */
	uint16_t offset, len;        /* NFK_PAYLOAD: bytes, 1 ≤ len ≤ 16 */
	uint32_t modulus, add, seed; /* NFK_NUMGEN_*, NFK_JHASH: 0 … modulus-1, plus add */
	uint32_t mask;               /* in a key of one part of 4 bytes: its bits; 0: all */
	const struct nft_sel *of;    /* NFK_JHASH */
};

struct nft_val {
	uint8_t len; /* 0: absent */
	uint8_t b[16];
};

enum nft_cmp {
	NFC_EQ,
	NFC_NE,
	NFC_LT,
	NFC_GT,
	NFC_LE,
	NFC_GE,
	NFC_RANGE, /* a ≤ x ≤ b */
	NFC_NOT_RANGE,
	NFC_ANY,  /* x & a ≠ 0: one of the flags (ct state established,related) */
	NFC_NONE, /* x & a = 0; both only for ct state, ct status and tcp flags */
};

enum nft_stmt_kind {
	NFS_OPAQUE, /* something that decode.c does not know; never encoded */
	NFS_MATCH,
	NFS_LOOKUP, /* key in set, or not */
	NFS_VMAP,
	NFS_VERDICT,
	NFS_COUNTER,
	NFS_LIMIT,
	NFS_LOG,
	NFS_REJECT,
	NFS_NAT,
	NFS_MASQUERADE,
	NFS_REDIRECT,
	NFS_NOTRACK,
	NFS_SET,    /* meta or ct field := source */
	NFS_DYNSET, /* add or update an element from the packet */
	NFS_KIND_COUNT
};

struct nft_verdict {
	int32_t code;      /* NF_ACCEPT, NF_DROP, NFT_RETURN, NFT_CONTINUE, NFT_JUMP, NFT_GOTO */
	const char *chain; /* jump and goto */
};

struct nft_keys {
	const struct nft_sel *v;
	uint32_t n;
};

enum nft_target { NFTT_MARK, NFTT_CTMARK, NFTT_NFTRACE, NFTT_PKTTYPE, NFTT_PRIORITY };

/* Where NFS_SET takes its value from: an immediate, a map, or a selector with bits changed:
 * (x & mask) ^ xor. */
struct nft_src {
	struct nft_val imm;   /* when keys.n == 0 */
	struct nft_keys keys; /* one selector, or a map's key */
	const char *map;
	uint32_t mask, xor; /* one 4-byte selector without map; mask 0 with xor 0: unchanged */
};

/* dnat, snat, redirect and masquerade. Address and port are immediates, or come out of `map`
 * whose data is an address, an address and a port (map_port), or a port alone (redirect). */
struct nft_nat {
	uint8_t type;   /* NFT_NAT_SNAT or NFT_NAT_DNAT */
	uint8_t family; /* NFPROTO_IPV4 or NFPROTO_IPV6 */
	uint8_t map_port;
	uint32_t flags; /* NF_NAT_RANGE_PROTO_RANDOM, _PROTO_RANDOM_FULLY, _PERSISTENT */
	struct nft_val addr, addr_max, port, port_max;
	struct nft_keys keys;
	const char *map;
};

struct nft_stmt {
	uint8_t kind; /* enum nft_stmt_kind */
	union {
		struct {
			const char *name; /* the kernel's expression name */
		} opaque;
		struct {
			struct nft_sel sel;
			uint8_t op;          /* enum nft_cmp */
			struct nft_val mask; /* (x & mask) op a; only with NFC_EQ, NFC_NE */
			struct nft_val a, b; /* b: NFC_RANGE; a shorter ifname is a prefix: "fl*" */
		} match;
		struct {
			struct nft_keys keys;
			const char *set;
			uint8_t neg;
		} lookup; /* and NFS_VMAP */
		struct nft_verdict verdict;
		struct {
			uint64_t packets, bytes; /* as read; not sent */
		} counter;
		struct {
			uint64_t rate;  /* packets, or bytes, per `unit` seconds */
			uint64_t unit;  /* 1, 60, 3600, 86400, 604800 */
			uint32_t burst; /* packets 5, bytes 0 are nft's defaults */
			uint8_t is_bytes;
			uint8_t over; /* matches above the rate */
		} limit;
		struct {
			const char *prefix; /* may be NULL */
			uint8_t has_group;
			uint16_t group;   /* nflog group; without it: the kernel's log */
			uint32_t snaplen; /* nflog: bytes to copy, 0: all */
		} log;
		struct {
			uint8_t type;   /* NFT_REJECT_ICMP_UNREACH, _TCP_RST, _ICMPX_UNREACH */
			uint8_t code;   /* NFT_REJECT_ICMPX_…, or ICMP's own */
			uint8_t family; /* of NFT_REJECT_ICMP_UNREACH: NFPROTO_IPV4 or _IPV6 */
		} reject;
		struct nft_nat nat; /* NFS_NAT, NFS_MASQUERADE (flags), NFS_REDIRECT */
		struct {
			uint8_t target; /* enum nft_target */
			struct nft_src src;
		} set;
		struct {
			uint8_t op; /* NFT_DYNSET_OP_ADD, _UPDATE, _DELETE */
			struct nft_keys keys;
			const char *set;
			struct nft_keys data; /* maps; n == 0: none */
			uint64_t timeout_ms;  /* 0: the set's */
		} dynset;
	};
};

struct nft_rule {
	const char *comment; /* NULL: none */
	uint64_t handle;     /* 0: not known */
	uint32_t owner;      /* whose plan wants it; the caller's numbers, not sent */
	uint32_t n, cap;
	struct nft_stmt *v;
	struct nft_ruleset *rs;
};

struct nft_chain {
	const char *name;
	uint64_t handle;
	uint32_t owner;
	uint8_t binding;  /* as read: a rule's own { … }, which goes with the rule */
	uint8_t base;     /* a base chain: the next five hold */
	const char *type; /* "filter", "nat", "route" */
	uint32_t hook;    /* NF_INET_*, NF_BR_*, NF_ARP_*, NF_NETDEV_* */
	int32_t priority;
	uint32_t policy;         /* NF_ACCEPT or NF_DROP */
	const char *const *devs; /* netdev family and inet ingress */
	uint32_t n_devs;
	uint32_t n, cap;
	struct nft_rule **rules;
	struct nft_table *table;
};

/* One part of a key or of data. `sel` is set for all parts of a set or for none: the set is
 * then declared by typeof instead of by type. */
struct nft_part {
	uint8_t type; /* enum nft_type */
	struct nft_sel sel;
};

struct nft_elem {
	const uint8_t *key;         /* set->key_len bytes */
	const uint8_t *key_end;     /* interval sets: last key, inclusive; NULL: one key */
	const uint8_t *data;        /* data maps: set->data_len bytes */
	struct nft_verdict verdict; /* verdict maps */
	uint64_t timeout_ms;        /* 0: the set's */
	const char *comment;
	uint64_t packets, bytes; /* as read, where the set counts */
	uint8_t end;             /* as read: behind an interval; nft_decode_done() joins it */
};

struct nft_set {
	const char *name;
	uint64_t handle;
	uint32_t owner;
	uint32_t flags;        /* NFT_SET_CONSTANT, _INTERVAL, _MAP, _TIMEOUT, _EVAL (dynamic) */
	uint8_t n_key, n_data; /* n_data 0: no map; a verdict map has one part NFTY_VERDICT */
	uint8_t counter;       /* each element counts packets and bytes */
	uint8_t raw;           /* as read: nft_decode_done() is due */
	uint32_t at;           /* its place in the table */
	uint32_t wanted;       /* what the ruleset's filter says of it */
	uint16_t key_len, data_len;
	struct nft_part key[NFT_PARTS_MAX], data[NFT_PARTS_MAX];
	uint32_t size;       /* 0: no limit */
	uint64_t timeout_ms; /* default of elements */
	const char *comment;
	uint32_t n, cap;
	struct nft_elem *elems;
	struct nft_table *table;
};

/* Places by name: position + 1 in an array, 0 is free. */
struct nft_index {
	uint32_t *v;
	uint32_t n, cap; /* cap: a power of two, or 0 */
};

struct nft_table {
	uint8_t family; /* NFPROTO_INET, _IPV4, _IPV6, _ARP, _BRIDGE, _NETDEV */
	const char *name;
	uint32_t flags; /* NFT_TABLE_F_DORMANT, NFT_TABLE_F_OWNER */
	uint64_t handle;
	const char *comment;
	uint32_t n_chains, cap_chains, n_sets, cap_sets;
	struct nft_chain **chains;
	struct nft_set **sets;
	struct nft_index chain_index, set_index; /* ir.c's */
	struct nft_ruleset *rs;
};

/* Asked about elements before they are kept in a ruleset, for who wants few of very many, or all but
 * one after the other. */
struct nft_filter {
	/* When a set is made: name, flags and table are known. 0: none of its elements; else a number
	 * of the filter's own, which it finds again in `wanted`. */
	uint32_t (*wants)(void *arg, const struct nft_set *s);
	bool (*keeps)(void *arg, const struct nft_set *s, const struct nft_elem *e);
	void *arg;
};

struct nft_ruleset {
	struct arena *arena;
	const struct nft_filter *filter; /* NULL: everything is kept */
	uint32_t n, cap;
	struct nft_table **tables;
	char bad[160]; /* the first thing that a builder could not express; "" if none */
};

/* ---- containers. Adding a name that is there returns the one that is there. */

void nft_ruleset_init(struct nft_ruleset *rs, struct arena *a);
struct nft_table *nft_table_add(struct nft_ruleset *rs, uint8_t family, const char *name);
struct nft_chain *nft_chain_add(struct nft_table *t, const char *name);
struct nft_chain *nft_base_add(struct nft_table *t, const char *name, const char *type,
			       uint32_t hook, int32_t priority);
struct nft_table *nft_table_get(const struct nft_ruleset *rs, uint8_t family, const char *name);
struct nft_chain *nft_chain_get(const struct nft_table *t, const char *name);
struct nft_set *nft_set_get(const struct nft_table *t, const char *name);

/* Sets. `types` end with NFTY_NONE. The typeof variant takes selectors, ended by NFK_NONE. */
struct nft_set *nft_set_add(struct nft_table *t, const char *name, uint32_t flags,
			    const uint8_t *types);
struct nft_set *nft_set_typeof(struct nft_table *t, const char *name, uint32_t flags,
			       const struct nft_sel *sels);
/* Declared as `like` is, of another table; without elements. */
struct nft_set *nft_set_like(struct nft_table *t, const struct nft_set *like);
/* Makes a set a map: to be called before elements are added. */
void nft_set_data(struct nft_set *s, const uint8_t *types);
void nft_set_data_typeof(struct nft_set *s, const struct nft_sel *sels);
#define NFT_TYPES(...) ((const uint8_t[]){ __VA_ARGS__, NFTY_NONE })
#define NFT_SELS(...)  ((const struct nft_sel[]){ __VA_ARGS__, { .key = NFK_NONE } })

/* Elements are built into `e` with nft_elem_key() and friends, or by hand; the bytes are
 * copied. nft_elem_add() appends to the set in memory; encoding a set's elements is an op. */
struct nft_elem *nft_elem_add(struct nft_set *s, const struct nft_elem *e);

/* Appends one part at the padded place of a key of `n` bytes so far; returns the new length.
 * `key` has NFT_KEY_MAX bytes, zeroed. */
uint32_t nft_key_put(uint8_t *key, uint32_t n, const void *part, uint32_t len);
uint32_t nft_key_addr(uint8_t *key, uint32_t n, const struct ipaddr *a);
uint32_t nft_key_ifname(uint8_t *key, uint32_t n, const char *ifname);
uint32_t nft_key_mac(uint8_t *key, uint32_t n, const struct macaddr *m);

/* ---- rules */

struct nft_rule *nft_rule_add(struct nft_chain *c, const char *comment); /* comment may be NULL */

/* Selectors. */
#define NFT_SEL(k) ((struct nft_sel){ .key = (k) })
#define NFT_RAW(b, off, n)                                                                         \
	((struct nft_sel){ .key = NFK_PAYLOAD, .base = (b), .offset = (off), .len = (n) })
#define NFT_NUMGEN(k, mod) ((struct nft_sel){ .key = (k), .modulus = (mod) })
#define NFT_MASKED(k, m)   ((struct nft_sel){ .key = (k), .mask = (m) })

/* Values. */
struct nft_val nft_u8(uint8_t v);
struct nft_val nft_be16(uint16_t v); /* host order in, network order inside */
struct nft_val nft_u16h(uint16_t v); /* host order number of the kernel */
struct nft_val nft_u32(uint32_t v);  /* the same */
struct nft_val nft_addr(const struct ipaddr *a);
struct nft_val nft_mac(const struct macaddr *m);
struct nft_val nft_ifname(const char *name);        /* exactly this one */
struct nft_val nft_ifname_prefix(const char *head); /* "fl" for "fl*" */
struct nft_val nft_prefix_mask(const struct prefix *p);

/* Statements, appended in order. */
void nft_match(struct nft_rule *r, struct nft_sel sel, uint8_t op, struct nft_val v);
void nft_match_range(struct nft_rule *r, struct nft_sel sel, uint8_t op, struct nft_val a,
		     struct nft_val b);
void nft_match_mask(struct nft_rule *r, struct nft_sel sel, struct nft_val mask, uint8_t op,
		    struct nft_val v);
void nft_match_prefix(struct nft_rule *r, struct nft_sel sel, uint8_t op, const struct prefix *p);
/* `sels` as NFT_SELS(…): the concatenation is (not) in the named set. */
void nft_match_set(struct nft_rule *r, const struct nft_sel *sels, const char *set);
void nft_match_not_set(struct nft_rule *r, const struct nft_sel *sels, const char *set);
void nft_vmap(struct nft_rule *r, const struct nft_sel *sels, const char *map);
void nft_verdict(struct nft_rule *r, int32_t code, const char *chain);
#define nft_accept(r)  nft_verdict((r), NF_ACCEPT, NULL)
#define nft_drop(r)    nft_verdict((r), NF_DROP, NULL)
#define nft_return(r)  nft_verdict((r), NFT_RETURN, NULL)
#define nft_jump(r, c) nft_verdict((r), NFT_JUMP, (c))
#define nft_goto(r, c) nft_verdict((r), NFT_GOTO, (c))
void nft_counter(struct nft_rule *r);
void nft_notrack(struct nft_rule *r);
void nft_limit(struct nft_rule *r, uint64_t rate, uint64_t unit_s, uint32_t burst, bool over);
void nft_log_group(struct nft_rule *r, uint16_t group, const char *prefix);
void nft_reject(struct nft_rule *r, uint8_t type, uint8_t code); /* _TCP_RST, _ICMPX_UNREACH */
void nft_masquerade(struct nft_rule *r, uint32_t flags);
void nft_nat_to(struct nft_rule *r, uint8_t type, struct nft_val addr, struct nft_val port);
/* Address (and port, with map_port) out of a data map. family: of the addresses. */
void nft_nat_map(struct nft_rule *r, uint8_t type, uint8_t family, const struct nft_sel *sels,
		 const char *map, bool map_port);
void nft_redirect(struct nft_rule *r, struct nft_val port);
void nft_set_imm(struct nft_rule *r, uint8_t target, uint32_t value);
/* target := (sel & mask) ^ xor; e.g. set our bits of the mark and keep the others. */
void nft_set_bits(struct nft_rule *r, uint8_t target, struct nft_sel sel, uint32_t mask,
		  uint32_t xor);
void nft_set_map(struct nft_rule *r, uint8_t target, const struct nft_sel *sels, const char *map);
void nft_dynset(struct nft_rule *r, uint8_t op, const struct nft_sel *sels, const char *set,
		uint64_t timeout_ms);
/* As above for a map; `data` as NFT_SELS(…). */
void nft_dynset_map(struct nft_rule *r, uint8_t op, const struct nft_sel *sels,
		    const struct nft_sel *data, const char *set, uint64_t timeout_ms);
/* Any other statement. */
void nft_stmt_add(struct nft_rule *r, const struct nft_stmt *s);

/* ---- checks */

bool nft_set_is_vmap(const struct nft_set *s);

/* Length in bytes of what a selector loads, of a padded concatenation; 0 for no selector. */
uint16_t nft_sel_len(const struct nft_sel *s);
uint16_t nft_keys_len(const struct nft_keys *k);

/* Everything that the builders could not say at once: memory, name and comment lengths, unknown
 * sets and chains, keys that do not fit their set. */
int nft_check(const struct nft_ruleset *rs, struct err *e);
