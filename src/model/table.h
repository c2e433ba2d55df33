/* SPDX-License-Identifier: Apache-2.0 */
/* The words in which the tables of kinds and messages are written. One line per field:
 *     FIELD(struct ippool_spec, cidr, 1, F_PREFIX, .flags = FF_REQUIRED, .doc = "…"),
 * Structs without a name of their own are reached with TYPE_OF(struct pod, spec). */
#pragma once
#include "model/schema.h"

#include <assert.h>
#include <stddef.h>

#define TYPE_OF(type, member) __typeof__(((type *)0)->member)

#define FIELD_KEY(ctype, member, json, wire, ftype_, ...)                                          \
	{                                                                                          \
		.key = (json), .id = (wire), .type = (ftype_), .since = 1,                         \
		.offset = offsetof(ctype, member), __VA_ARGS__                                     \
	}
#define FIELD(ctype, member, wire, ftype_, ...)                                                    \
	FIELD_KEY(ctype, member, #member, wire, ftype_, __VA_ARGS__)

/* `...` may add .doc */
#define SCHEMA(symbol, name_, ctype, table, ...)                                                   \
	struct schema symbol = { .name = (name_),                                                  \
				 .size = sizeof(ctype),                                            \
				 .n = sizeof(table) / sizeof((table)[0]),                          \
				 .fields = (table),                                                \
				 __VA_ARGS__ }

/* Names of an enum whose value 0 means absent; `last` is its last value. */
#define ENUM_ARRAY(symbol, last, ...)                                                              \
	static const char *const symbol##_array[] = { NULL, __VA_ARGS__ };                         \
	static_assert(sizeof(symbol##_array) / sizeof(symbol##_array[0]) == (last) + 1,            \
		      #symbol " differs from its enum")
#define ENUM_NAMES(symbol, last, ...)                                                              \
	ENUM_ARRAY(symbol, last, __VA_ARGS__);                                                     \
	static const struct names symbol = { symbol##_array, (last) + 1 }

/* Shared between the files of tables. */
extern const struct schema meta_schema, label_selector_schema, condition_schema;
extern const struct schema node_schema, namespace_schema, pod_schema, workload_schema, lease_schema;
extern const struct schema service_schema, endpoint_slice_schema, network_policy_schema;
extern const struct schema ippool_schema, ipblock_schema, ipreservation_schema,
	workload_endpoint_schema, node_state_schema, packet_trace_schema, port_mapping_schema;
extern const struct schema bgpconfiguration_schema, bgppeer_schema, bgpfilter_schema, secret_schema;
