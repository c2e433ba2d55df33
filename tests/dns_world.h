/* SPDX-License-Identifier: Apache-2.0 */
/* A cluster's objects, the table made of them, and questions that are asked as octets and answered as text. */
#pragma once
#include "core/dns/answer.h"
#include "core/dns/zone.h"

struct dns_world {
	struct dns_settings settings;
	struct dns_table table;
	struct dns_zone *zone;
	struct dns_view view;
	void *region;
	size_t size;
	_Alignas(64) uint8_t readers[DNS_READERS_SIZE];
	uint32_t turn;
	size_t room;            /* of a response; 0: as over TCP */
	struct dns_name target; /* out: of the last answer */
	uint8_t wire[65536];    /* out: the last answer */
	size_t n;
};

/* With the settings as they are now. */
void dns_world_open(struct dns_world *w, size_t size);
void dns_world_close(struct dns_world *w);
/* Tells the zone of a Service, EndpointSlice, Pod or Namespace, or that it is gone. */
int dns_world_put(struct dns_world *w, const struct object *o, bool there, struct err *e);

struct dns_world_record {
	enum dns_section section;
	uint16_t type;
	uint32_t ttl;
	char owner[256], data[600]; /* as zone files have them */
};

/* Sets rcode; -1: not ours. Returns the number of records, at most `n`. */
size_t dns_world_ask(struct dns_world *w, const char *name, uint16_t type, int *rcode,
		     struct dns_world_record *out, size_t n);
