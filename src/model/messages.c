// SPDX-License-Identifier: Apache-2.0
/* Tables of the messages between the processes (model/record.h). */
#include "model/record.h"
#include "model/table.h"

static const struct field bind_fields[] = {
	FIELD(struct rec_bind, id, 1, F_I64),    FIELD(struct rec_bind, proto, 2, F_STR),
	FIELD(struct rec_bind, addr, 3, F_ADDR), FIELD(struct rec_bind, port, 4, F_I64),
	FIELD(struct rec_bind, path, 5, F_STR),  FIELD(struct rec_bind, role, 6, F_STR),
	FIELD(struct rec_bind, share, 7, F_I64),
};
static const SCHEMA(bind_schema, "Bind", struct rec_bind, bind_fields);

static const struct field bound_fields[] = {
	FIELD(struct rec_bound, id, 1, F_I64),
	FIELD(struct rec_bound, code, 2, F_I64),
	FIELD(struct rec_bound, text, 3, F_STR),
};
static const SCHEMA(bound_schema, "Bound", struct rec_bound, bound_fields);

static const struct field join_fields[] = {
	FIELD(struct rec_join, role, 1, F_STR),
};
static const SCHEMA(join_schema, "Join", struct rec_join, join_fields);
static const SCHEMA(ready_schema, "Ready", struct rec_join, join_fields);

static const struct field hello_fields[] = {
	FIELD(struct rec_hello, role, 1, F_STR),
	FIELD(struct rec_hello, kinds, 2, F_I64, .flags = FF_LIST),
};
static const SCHEMA(hello_schema, "Hello", struct rec_hello, hello_fields);

static const struct field put_fields[] = {
	FIELD(struct rec_put, kind, 1, F_I64),
	FIELD(struct rec_put, rev, 2, F_I64),
	FIELD(struct rec_put, body, 3, F_BLOB),
};
static const SCHEMA(put_schema, "Put", struct rec_put, put_fields);

static const struct field delete_fields[] = {
	FIELD(struct rec_delete, kind, 1, F_I64),
	FIELD(struct rec_delete, rev, 2, F_I64),
	FIELD_KEY(struct rec_delete, ns, "namespace", 3, F_STR),
	FIELD(struct rec_delete, name, 4, F_STR),
};
static const SCHEMA(delete_schema, "Delete", struct rec_delete, delete_fields);

static const struct field sync_fields[] = {
	FIELD(struct rec_sync, revision, 1, F_I64),    FIELD(struct rec_sync, in_sync, 2, F_BOOL),
	FIELD(struct rec_sync, stale, 3, F_BOOL),      FIELD(struct rec_sync, text, 4, F_STR),
	FIELD(struct rec_sync, incomplete, 5, F_BOOL),
};
static const SCHEMA(sync_schema, "Sync", struct rec_sync, sync_fields);

ENUM_NAMES(write_op_names, WRITE_STATUS, "create", "update", "delete", "status");

static const struct field write_fields[] = {
	FIELD(struct rec_write, id, 1, F_I64),
	FIELD(struct rec_write, op, 2, F_ENUM, .names = &write_op_names),
	FIELD(struct rec_write, expect, 3, F_I64),
	FIELD(struct rec_write, kind, 4, F_I64),
	FIELD_KEY(struct rec_write, ns, "namespace", 5, F_STR),
	FIELD(struct rec_write, name, 6, F_STR),
	FIELD(struct rec_write, body, 7, F_BLOB),
};
static const SCHEMA(write_schema, "Write", struct rec_write, write_fields);

static const struct field written_fields[] = {
	FIELD(struct rec_written, id, 1, F_I64),
	FIELD(struct rec_written, code, 2, F_I64),
	FIELD(struct rec_written, rev, 3, F_I64),
	FIELD(struct rec_written, text, 4, F_STR),
};
static const SCHEMA(written_schema, "Written", struct rec_written, written_fields);
static const SCHEMA(ctl_end_schema, "ControlEnd", struct rec_written, written_fields);

static const struct field ctl_request_fields[] = {
	FIELD(struct rec_ctl_request, verb, 1, F_STR),
	FIELD(struct rec_ctl_request, args, 2, F_MAP),
};
static const SCHEMA(ctl_request_schema, "ControlRequest", struct rec_ctl_request,
		    ctl_request_fields);

static const struct field ctl_row_fields[] = {
	FIELD(struct rec_ctl_row, table, 1, F_STR),
	FIELD(struct rec_ctl_row, cols, 2, F_MAP),
};
static const SCHEMA(ctl_row_schema, "ControlRow", struct rec_ctl_row, ctl_row_fields);

static const struct field bucket_fields[] = {
	FIELD(struct rec_bucket, le, 1, F_STR),
	FIELD(struct rec_bucket, count, 2, F_I64),
};
static const SCHEMA(bucket_schema, "Bucket", struct rec_bucket, bucket_fields);

static const struct field metric_fields[] = {
	FIELD(struct rec_metric, name, 1, F_STR),
	FIELD(struct rec_metric, help, 2, F_STR),
	FIELD(struct rec_metric, type, 3, F_STR),
	FIELD(struct rec_metric, labels, 4, F_MAP),
	FIELD(struct rec_metric, value, 5, F_STR),
	FIELD(struct rec_metric, count, 6, F_I64),
	FIELD(struct rec_metric, buckets, 7, F_OBJ, .flags = FF_LIST, .sub = &bucket_schema),
};
static const SCHEMA(metric_schema, "Metric", struct rec_metric, metric_fields);

static const SCHEMA(unbind_schema, "Unbind", struct rec_bind, bind_fields);

static const struct field health_port_fields[] = {
	FIELD_KEY(struct rec_health_port, ns, "namespace", 1, F_STR),
	FIELD(struct rec_health_port, name, 2, F_STR),
	FIELD(struct rec_health_port, port, 3, F_I64),
	FIELD(struct rec_health_port, endpoints, 4, F_I64),
};
static const SCHEMA(health_port_schema, "HealthPort", struct rec_health_port, health_port_fields);

static const struct field proxy_fields[] = {
	FIELD(struct rec_proxy, listed, 1, F_BOOL),
	FIELD(struct rec_proxy, updated, 2, F_I64),
	FIELD(struct rec_proxy, queued, 3, F_I64),
	FIELD(struct rec_proxy, leaving, 4, F_BOOL),
};
static const SCHEMA(proxy_schema, "Proxy", struct rec_proxy, proxy_fields);

static const struct field route_fields[] = {
	FIELD(struct rec_route, prefix, 1, F_PREFIX),
	FIELD(struct rec_route, via, 2, F_ADDR, .flags = FF_LIST),
	FIELD(struct rec_route, peer, 3, F_STR),
	FIELD(struct rec_route, why, 4, F_STR),
	FIELD(struct rec_route, withdrawn, 5, F_BOOL),
};
static const SCHEMA(route_schema, "Route", struct rec_route, route_fields);

static const struct field routes_fields[] = {
	FIELD(struct rec_routes, complete, 1, F_BOOL),
};
static const SCHEMA(routes_schema, "Routes", struct rec_routes, routes_fields);

static const struct field origin_fields[] = {
	FIELD(struct rec_origin, prefix, 1, F_PREFIX),
	FIELD(struct rec_origin, kind, 2, F_STR),
	FIELD_KEY(struct rec_origin, ns, "namespace", 3, F_STR),
	FIELD(struct rec_origin, name, 4, F_STR),
	FIELD(struct rec_origin, withdrawn, 5, F_BOOL),
};
static const SCHEMA(origin_schema, "Origin", struct rec_origin, origin_fields);

static const struct field origins_fields[] = {
	FIELD(struct rec_origins, kept, 1, F_BOOL),
};
static const SCHEMA(origins_schema, "Origins", struct rec_origins, origins_fields);

static const struct field dns_table_fields[] = {
	FIELD(struct rec_dns_table, size, 1, F_I64),
	FIELD(struct rec_dns_table, settings, 2, F_I64),
};
static const SCHEMA(dns_readers_schema, "DNSReaders", struct rec_dns_table, dns_table_fields);
static const SCHEMA(dns_table_schema, "DNSTable", struct rec_dns_table, dns_table_fields);

static const struct field dns_follow_fields[] = {
	FIELD(struct rec_dns_follow, trace, 1, F_STR),
	FIELD(struct rec_dns_follow, id, 2, F_I64),
	FIELD(struct rec_dns_follow, type, 3, F_I64),
	FIELD(struct rec_dns_follow, question, 4, F_STR),
	FIELD(struct rec_dns_follow, sender, 5, F_ADDR),
	FIELD(struct rec_dns_follow, seconds, 6, F_I64),
};
static const SCHEMA(dns_follow_schema, "DNSFollow", struct rec_dns_follow, dns_follow_fields);

static const struct field dns_made_fields[] = {
	FIELD(struct rec_dns_made, trace, 1, F_STR),
	FIELD(struct rec_dns_made, from, 2, F_STR),
	FIELD(struct rec_dns_made, upstream, 3, F_STR),
	FIELD(struct rec_dns_made, zone, 4, F_STR),
	FIELD(struct rec_dns_made, rcode, 5, F_STR),
	FIELD(struct rec_dns_made, microseconds, 6, F_I64),
};
static const SCHEMA(dns_made_schema, "DNSMade", struct rec_dns_made, dns_made_fields);

static const struct field takeover_fields[] = {
	FIELD(struct rec_takeover, version, 1, F_STR),
	FIELD(struct rec_takeover, pid, 2, F_I64),
	FIELD(struct rec_takeover, node, 3, F_STR),
	FIELD_KEY(struct rec_takeover, state_dir, "stateDir", 4, F_STR),
	FIELD(struct rec_takeover, text, 5, F_STR),
};
static const SCHEMA(takeover_schema, "Takeover", struct rec_takeover, takeover_fields);
static const SCHEMA(takeover_socket_schema, "TakeoverSocket", struct rec_bind, bind_fields);

const struct schema *record_schema(unsigned type)
{
	static const struct schema *const schemas[REC_TYPE_COUNT] = {
		[REC_BIND] = &bind_schema,
		[REC_BOUND] = &bound_schema,
		[REC_JOIN] = &join_schema,
		[REC_READY] = &ready_schema,
		[REC_HELLO] = &hello_schema,
		[REC_PUT] = &put_schema,
		[REC_DELETE] = &delete_schema,
		[REC_SYNC] = &sync_schema,
		[REC_WRITE] = &write_schema,
		[REC_WRITTEN] = &written_schema,
		[REC_CTL_REQUEST] = &ctl_request_schema,
		[REC_CTL_ROW] = &ctl_row_schema,
		[REC_CTL_END] = &ctl_end_schema,
		[REC_METRIC] = &metric_schema,
		[REC_TAKEOVER] = &takeover_schema,
		[REC_TAKEOVER_SOCKET] = &takeover_socket_schema,
		[REC_TAKEOVER_YOURS] = &takeover_schema,
		[REC_TAKEOVER_DONE] = &takeover_schema,
		[REC_TAKEOVER_NO] = &takeover_schema,
		[REC_UNBIND] = &unbind_schema,
		[REC_HEALTH_PORT] = &health_port_schema,
		[REC_PROXY] = &proxy_schema,
		[REC_ROUTE] = &route_schema,
		[REC_ROUTES] = &routes_schema,
		[REC_ORIGIN] = &origin_schema,
		[REC_ORIGINS] = &origins_schema,
		[REC_DNS_READERS] = &dns_readers_schema,
		[REC_DNS_TABLE] = &dns_table_schema,
		[REC_DNS_FOLLOW] = &dns_follow_schema,
		[REC_DNS_MADE] = &dns_made_schema,
	};

	return type < REC_TYPE_COUNT ? schemas[type] : NULL;
}
