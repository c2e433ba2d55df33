/* SPDX-License-Identifier: Apache-2.0 */
/* Schemas: one table per struct says which C field is which JSON key, its type, its wire id
 * and since which record version it exists. The same table drives
 *   - the JSON decoder and encoder (src/store/json.c), with errors that name the field path,
 *   - the record codec between processes (model/record.c),
 *   - the CRDs and the reference pages in docs/ (fairlead's own kinds).
 * So a field is added in one place, and no two readers can disagree on it.
 *
 * C representation by type:
 *   F_STR     const char *             NULL when absent
 *   F_BOOL    uint8_t (0, 1)           F_OPT_BOOL: uint8_t tristate (enum tri)
 *   F_I64     int64_t                  0 when absent; F_OPT_I64: struct opt_i64
 *   F_ENUM    uint8_t, index into `names`; 0 is the "absent" value, its name may be NULL
 *   F_ADDR    struct ipaddr            family 0 when absent
 *   F_PREFIX  struct prefix            family 0 when absent
 *   F_MAC     struct macaddr           all zero when absent
 *   F_INTSTR  struct intstr            Kubernetes' IntOrString
 *   F_TIME    int64_t                  Unix seconds of an RFC 3339 time, 0 when absent
 *   F_MAP     struct strmap            string → string, in the order of the keys (sorted)
 *   F_BLOB    struct blob              bytes; records only, no JSON form
 *   F_OBJ     the struct, embedded     an absent object is all zero
 *   F_PTR     pointer to the struct    NULL when absent (where absent and {} differ)
 * and with FF_LIST any of F_STR, F_I64, F_ENUM, F_ADDR, F_PREFIX, F_OBJ as LIST(T):
 * v == NULL absent, v != NULL and n == 0 present and empty.
 * All pointers lead into the arena that the decoder was given. */
#pragma once
#include "base/addr.h"
#include "base/arena.h"
#include "base/names.h"

#include <stdint.h>

enum ftype {
	F_STR,
	F_BOOL,
	F_OPT_BOOL,
	F_I64,
	F_OPT_I64,
	F_ENUM,
	F_ADDR,
	F_PREFIX,
	F_MAC,
	F_INTSTR,
	F_TIME,
	F_MAP,
	F_BLOB,
	F_OBJ,
	F_PTR,
};

enum fflag {
	FF_LIST = 1,     /* a JSON array, LIST(T) in C */
	FF_REQUIRED = 2, /* absent or null is an error of the manifest */
	FF_STATUS = 4,   /* written by daemons; a manifest's status is merged into it by `apply` */
	FF_KEEP = 8,     /* set by daemons where a manifest does not: `apply` leaves it then */
	FF_COLUMN = 16,  /* a column of `kubectl get` (CRD's additionalPrinterColumns) */
};

enum tri { TRI_ABSENT, TRI_FALSE, TRI_TRUE };

struct opt_i64 {
	uint8_t set;
	int64_t v;
};

enum intstr_type { INTSTR_ABSENT, INTSTR_INT, INTSTR_STR };

struct intstr {
	uint8_t type; /* enum intstr_type */
	int64_t i;
	const char *s;
};

struct strmap_entry {
	const char *key, *value;
};

struct strmap {
	struct strmap_entry *v; /* sorted by key, keys distinct */
	uint32_t n;
};

/* Bytes inside a record, e.g. an object's body encoded by its own schema. */
struct blob {
	const uint8_t *v;
	uint32_t n;
};

const char *strmap_get(const struct strmap *m, const char *key); /* NULL when missing */
/* Adds or replaces; key and value are copied into `a`. For building small maps: O(n). */
int strmap_put(struct strmap *m, struct arena *a, const char *key, const char *value);

#define LIST(T)                                                                                    \
	struct {                                                                                   \
		T *v;                                                                              \
		uint32_t n;                                                                        \
	}

/* What every LIST(T) looks like to the table-driven code. */
struct list_any {
	void *v;
	uint32_t n;
};

struct schema;

struct field {
	const char *key;           /* JSON key, Kubernetes' spelling */
	uint16_t id;               /* wire id, unique in its struct, never reused */
	uint8_t type;              /* enum ftype */
	uint8_t flags;             /* enum fflag */
	uint16_t since;            /* RECORD_VERSION in which it appeared */
	uint32_t offset;           /* offsetof() in the C struct */
	const struct schema *sub;  /* F_OBJ, F_PTR */
	const struct names *names; /* F_ENUM */
	int64_t min, max;          /* F_I64, F_OPT_I64, INTSTR_INT; both 0: any */
	const char *doc;           /* one sentence, for reference pages and CRDs */
	const char *absent;        /* what absence means, for the same: "VXLAN"; NULL: nothing */
};

struct schema {
	const char *name; /* as in the reference pages, e.g. "IPPoolSpec" */
	const char *doc;  /* of a kind of fairlead.io: what it is for, a short paragraph */
	uint32_t size;    /* sizeof the C struct */
	uint32_t n;
	const struct field *fields;
};

/* The size of one element of a list of this field's type (or of the field itself). */
size_t field_size(const struct field *f);
/* Is the field's value in its struct, at `p`, the absent one? An embedded object never is by
 * itself: it is absent where all of its own fields are. */
bool field_absent(const struct field *f, const void *p);
