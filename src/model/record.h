/* SPDX-License-Identifier: Apache-2.0 */
/* Records: the only language between fairlead's processes.
 *
 * A frame is  u32 length of the rest | u16 type | u16 version | body  (big-endian). The body
 * is a struct described by a schema (model/schema.h):
 *   field := varint(id << 1 | w) value        w = 0: varint (zigzag for signed values)
 *                                             w = 1: varint length, bytes
 * Absent fields (zero, NULL) are not sent, except where present-and-empty differs (F_PTR, lists).
 * A list is one w = 1 field whose content is varint(count) then each element with its length.
 * Unknown ids are skipped, so an older reader takes a newer writer's records and the reverse;
 * a field's meaning and id are never reused. Input is hostile: every length is checked, depth
 * is limited, and a bad record is one error that names type and field. */
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/wire.h"
#include "model/cluster.h"

#define RECORD_VERSION 1
#define RECORD_MAX     (4u << 20) /* a longer frame is an error, not an allocation */
#define RECORD_HEADER  8

enum record_type {
	REC_NONE,
	/* role ↔ keeper, descriptor 3 */
	REC_BIND,  /* role → keeper: struct rec_bind */
	REC_BOUND, /* keeper → role: struct rec_bound, with the socket unless code ≠ 0 */
	REC_JOIN,  /* keeper → role: struct rec_join, with one end of a stream to that role;
		    * role → keeper: its stream to that role ended, it wants a new one */
	REC_READY, /* role → keeper: it serves now (struct rec_join with its own name) */
	/* subscriber ↔ watch */
	REC_HELLO,  /* subscriber → watch: struct rec_hello, first on the stream */
	REC_PUT,    /* watch → subscriber: struct rec_put */
	REC_DELETE, /* watch → subscriber: struct rec_delete */
	REC_SYNC,  /* watch → subscriber: struct rec_sync, ends the initial list and each batch */
	REC_WRITE, /* subscriber → watch: struct rec_write */
	REC_WRITTEN, /* watch → subscriber: struct rec_written */
	/* fairlead-cni ↔ agent */
	REC_CNI_REQUEST, /* core/cni: struct cni_request, with the descriptor of CNI_NETNS if any */
	REC_CNI_REPLY,   /* core/cni: struct cni_reply */
	/* fairlead ↔ agent (control socket) */
	REC_CTL_REQUEST, /* struct rec_ctl_request */
	REC_CTL_ROW,     /* struct rec_ctl_row, any number */
	REC_CTL_END,     /* struct rec_written: code and text of the whole */
	/* agent, watch, controller → health */
	REC_METRIC, /* struct rec_metric */
	/* the keeper that runs ↔ the next one (takeover.sock, daemon/keeper_give.c) */
	REC_TAKEOVER,        /* each says who it is: struct rec_takeover, the running one's with the
		       * descriptor that holds fairleadd.lock */
	REC_TAKEOVER_SOCKET, /* running → next: struct rec_bind, with the socket */
	REC_TAKEOVER_YOURS,  /* running → next: that was all, and my roles have ended */
	REC_TAKEOVER_DONE,   /* next → running: my roles serve, go */
	REC_TAKEOVER_NO,     /* running → next, at any time: why not, or not any more */
	/* role → keeper, descriptor 3: struct rec_bind of a socket that is not needed any more;
	 * without a protocol all that the role did not ask for since it started */
	REC_UNBIND,
	/* agent → health */
	REC_HEALTH_PORT, /* struct rec_health_port */
	REC_PROXY,       /* struct rec_proxy, every few seconds: the sign of life */
	/* bgp → agent: what the kernel is to hold of what peers told */
	REC_ROUTE,  /* struct rec_route: of its prefix from now on */
	REC_ROUTES, /* struct rec_routes: ends the first list and each batch */
	/* agent → bgp: what of Services this node is to tell of */
	REC_ORIGIN,  /* struct rec_origin: of its prefix from now on */
	REC_ORIGINS, /* struct rec_origins: ends the first list and each batch */
	/* agent → dns: the table of names, each record with a descriptor of memory (sys/shm.h) */
	REC_DNS_READERS, /* struct rec_dns_table: the area of its readers, first */
	REC_DNS_TABLE,   /* struct rec_dns_table: the table, complete: use this from now on */
	REC_DNS_FOLLOW,  /* struct rec_dns_follow: say what is made of this query */
	/* dns → agent */
	REC_DNS_MADE, /* struct rec_dns_made: of that query, until there is an answer perhaps twice */
	REC_TYPE_COUNT
};

struct rec_bind {
	int64_t id;
	const char
		*proto; /* "tcp", "udp", "unix"; "memory": no socket, `port` is its size in KiB */
	struct ipaddr addr;
	int64_t port;
	const char *path; /* unix */
	const char *role; /* of REC_TAKEOVER_SOCKET: whose it is */
	int64_t share;    /* 1, 2, …: which one of several with this address and port, among which
			   * the kernel spreads what comes (SO_REUSEPORT); 0: there is one */
};

struct rec_bound {
	int64_t id;
	int64_t code; /* 0 or negative errno */
	const char *text;
};

struct rec_join {
	const char *role;
};

struct rec_hello {
	const char *role;
	LIST(int64_t) kinds; /* enum kind_id */
};

struct rec_put {
	int64_t kind; /* enum kind_id */
	int64_t rev;
	struct blob body; /* the kind's struct, encoded by its own schema */
};

struct rec_delete {
	int64_t kind, rev;
	const char *ns, *name;
};

struct rec_sync {
	int64_t revision; /* of the last change that is not of a derived kind */
	uint8_t in_sync;  /* 1: everything of the store up to here was sent */
	uint8_t stale;    /* 1: the store is out of reach, this is what was last seen */
	const char *text; /* why, where stale */
	/* 1: some objects could not be read and may be missing from the list that this ends, so
	 * nothing counts as deleted by it. */
	uint8_t incomplete;
};

enum write_op { WRITE_NONE, WRITE_CREATE, WRITE_UPDATE, WRITE_DELETE, WRITE_STATUS };

struct rec_write {
	int64_t id;
	uint8_t op;     /* enum write_op; STATUS: only fields marked FF_STATUS, no revision asked */
	int64_t expect; /* UPDATE, DELETE: the revision that must be there; 0: any */
	int64_t kind;
	const char *ns, *name;
	struct blob body; /* the kind's struct, encoded by its own schema */
};

struct rec_written {
	int64_t id;
	int64_t code; /* 0; -EEXIST, -ENOENT, -ESTALE (compare-and-swap lost), -EAGAIN … */
	int64_t rev;
	const char *text;
};

struct rec_ctl_request {
	const char *verb; /* "node-status", "ipam-show", … : docs/architecture.md lists them */
	struct strmap args;
};

struct rec_ctl_row {
	const char *table; /* which table of the answer this row belongs to */
	struct strmap cols;
};

/* How many were not above `le`, those of smaller buckets included. */
struct rec_bucket {
	const char *le;
	int64_t count;
};

struct rec_metric {
	const char *name, *help,
		*type; /* Prometheus' names; type "counter", "gauge", "histogram" */
	struct strmap labels;
	/* Decimal text: no float on the wire; of a histogram the sum. Without it and a type the series is gone. */
	const char *value;
	/* of a histogram: how many in all, and ascending buckets */
	int64_t count;
	LIST(struct rec_bucket) buckets;
};

/* What a Service's healthCheckNodePort answers. */
struct rec_health_port {
	const char *ns, *name;
	int64_t port;      /* 0: none any more */
	int64_t endpoints; /* ready ones on this node */
};

struct rec_proxy {
	uint8_t listed; /* 1: all health ports were told since the last such record */
	/* CLOCK_MONOTONIC, ms: when the kernel did last all that Services want; since when it does
	 * not, 0: it does. Both are 0 until it did once. */
	int64_t updated, queued;
	uint8_t leaving; /* 1: the Node is being deleted, or about to be */
};

/* Each side of the stream between bgp and agent starts with all that it has; only what came since counts. */
struct rec_route {
	struct prefix prefix;
	LIST(struct ipaddr) via; /* equally good next hops, in the order of their addresses */
	const char *peer, *why;  /* of the best: who told it, "preferred: shorter AS path" */
	uint8_t withdrawn;       /* 1: nobody tells it any more; only the prefix is set */
};

struct rec_routes {
	/* 1: this is everything that the peers have. Until then a route of before the stream may
	 * be missing only because its peer was not heard yet. */
	uint8_t complete;
};

struct rec_origin {
	struct prefix prefix;
	const char *kind, *ns, *name; /* whose it is: Service shop/web */
	uint8_t withdrawn;            /* 1: not any more; only the prefix is set */
};

struct rec_origins {
	/* 1: the kernel had routes by bgp from before, so packets flowed while bgp was away:
	 * RFC 4724 3, forwarding state. */
	uint8_t kept;
};

struct rec_dns_table {
	int64_t size;     /* octets of the memory */
	int64_t settings; /* dns_settings_sum() of what it was filled by */
};

/* A query that a trace follows (model/trace.h). */
struct rec_dns_follow {
	const char *trace; /* name of the PacketTrace */
	int64_t id, type;
	const char *question;
	struct ipaddr sender; /* family 0, or unspecified: any */
	int64_t seconds;      /* then it is forgotten */
};

struct rec_dns_made {
	const char *trace;
	const char *from, *upstream, *zone, *rcode; /* as in struct trace_dns */
	int64_t microseconds;
};

struct rec_takeover {
	const char *version;
	int64_t pid;
	const char *node, *state_dir; /* next: what it is configured for */
	const char *text;             /* NO: why */
};

/* Encodes `body` (a struct that `s` describes) as one frame onto `out`. */
int record_put(struct buf *out, unsigned type, const struct schema *s, const void *body,
	       struct err *e);
/* Only the fields, without a frame: for struct blob. */
int record_body(struct buf *out, const struct schema *s, const void *body, struct err *e);

/* Finds the next frame in p[0..n). Returns its whole length, 0 when more bytes are needed, or
 * a negative errno for a frame that is no frame. */
int record_next(const uint8_t *p, size_t n, unsigned *type, struct wire *body, struct err *e);

/* Decodes into the zeroed struct `out` of s->size bytes; pointers lead into `a`. */
int record_decode(struct wire *body, const struct schema *s, void *out, struct arena *a,
		  struct err *e);

/* The schema of a message type above; NULL for those that core/cni brings. */
const struct schema *record_schema(unsigned type);

/* An object out of a REC_PUT, with its own arena; NULL and e on failure. */
struct object *record_object(const struct rec_put *put, struct err *e);
