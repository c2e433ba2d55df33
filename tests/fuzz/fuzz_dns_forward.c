/* SPDX-License-Identifier: Apache-2.0 */
/* The forwarder between three upstreams and clients, and whatever may happen: each record of the input is an octet of what, one of which,
 * one of how much, and that many octets. Every question that was taken ends exactly once, every stream is closed at most once, the
 * cache keeps its limit, and nothing is left at the end.
 * Parser: core/dns/forward.c core/dns/forward_in.c core/dns/forward_try.c core/dns/forward_up.c core/dns/forward_heap.c core/dns/relay.c
 * core/dns/relay_write.c core/dns/cache.c */
#include "core/dns/forward.h"
#include "core/dns/octets.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SENT    16
#define CLIENTS 4096
#define STREAMS 256
#define UDP     UINT32_MAX

struct sent {
	unsigned upstream, slot;
	uint32_t stream;
	uint8_t v[DNS_UDP_MIN];
	size_t n;
};

struct fuzz {
	struct dns_forward *f;
	struct dns_cache *cache;
	int64_t now;
	uint32_t seed, n_clients, waiting;
	bool waits[CLIENTS];
	struct sent sent[SENT];
	unsigned n_sent;
	uint32_t stream[STREAMS]; /* that were not closed; they may have been answered */
	unsigned n_streams;
	uint8_t out[DNS_MESSAGE_MAX];
};

static void keep(struct fuzz *z, unsigned upstream, unsigned slot, uint32_t stream,
		 const uint8_t *v, size_t n)
{
	struct sent *s = &z->sent[z->n_sent++ % SENT];
	struct dns_query q;

	assert(upstream < 3 && n <= sizeof(s->v) && !dns_query_read(v, n, &q));
	*s = (struct sent){ .upstream = upstream, .slot = slot, .stream = stream, .n = n };
	memcpy(s->v, v, n);
}

static void on_udp(unsigned upstream, unsigned slot, const uint8_t *v, size_t n, void *arg)
{
	assert(slot < 2);
	keep(arg, upstream, slot, UDP, v, n);
}

static unsigned find_stream(const struct fuzz *z, uint32_t stream)
{
	unsigned i = 0;

	while (i < z->n_streams && z->stream[i] != stream)
		i++;
	return i;
}

static void on_tcp(unsigned upstream, uint32_t stream, const uint8_t *v, size_t n, void *arg)
{
	struct fuzz *z = arg;

	assert(stream != UDP && find_stream(z, stream) == z->n_streams);
	if (z->n_streams < STREAMS)
		z->stream[z->n_streams++] = stream;
	keep(z, upstream, 0, stream, v, n);
}

static void on_close(uint32_t stream, void *arg)
{
	struct fuzz *z = arg;
	unsigned i = find_stream(z, stream);

	assert(i < z->n_streams || z->n_streams == STREAMS);
	if (i < z->n_streams)
		z->stream[i] = z->stream[--z->n_streams];
}

static void check_answer(struct fuzz *z, const struct dns_relay *r, const struct dns_query *q)
{
	struct dns_response got;

	assert(!dns_response_read(z->out, dns_relay_write(r, q, z->out, DNS_UDP_MIN), &got));
	assert(!dns_response_read(z->out, dns_relay_write(r, q, z->out, sizeof(z->out)), &got));
	assert(got.id == q->id && dns_name_equal(&got.name, &q->name));
}

static struct dns_query query(uint8_t which)
{
	static const char *const names[] = { "a.example", "b.example", "c", "." };
	static const uint16_t types[] = { DNS_A, DNS_SRV, DNS_ANY, DNS_CNAME };
	struct dns_query q = { .id = 7,
			       .flags = (uint16_t)(DNS_RD | (which & 16 ? DNS_CD : 0)),
			       .type = types[which >> 2 & 3],
			       .class = DNS_IN,
			       .dnssec_ok = which & 32,
			       .edns = which & 32,
			       .udp_size = DNS_UDP_MIN };
	struct err e;

	assert(!dns_name_parse(names[which & 3], &q.name, &e));
	q.lower = q.name;
	q.question_len = (uint16_t)(q.name.n + 4);
	return q;
}

static void on_end(uint64_t client, const struct dns_relay *answer, void *arg)
{
	struct fuzz *z = arg;
	struct dns_query q = query((uint8_t)client);

	assert(client < CLIENTS && z->waits[client]);
	z->waits[client] = false;
	z->waiting--;
	check_answer(z, answer, &q);
}

static void on_answered(unsigned upstream, unsigned rcode, unsigned ms, void *arg)
{
	(void)arg;
	assert(upstream < 3 && rcode < 16 && ms <= 5000);
}

static uint32_t on_random(void *arg)
{
	struct fuzz *z = arg;

	z->seed = z->seed * 1664525 + 1013904223;
	return z->seed ^ z->seed >> 15;
}

/* ---- what happens */

/* Clients' numbers say what they ask, so that each is asked for 64 numbers on end. */
static void ask(struct fuzz *z, uint8_t which, const struct dns_query *q)
{
	uint32_t client = z->n_clients++ * 64 + (which & 63);
	struct dns_question question;
	struct dns_relay known;
	enum dns_asked r;
	unsigned looped = 0;

	if (client >= CLIENTS)
		return;
	dns_question_of(q, &question);
	z->waits[client] = true;
	z->waiting++;
	r = dns_forward_ask(z->f, z->now, &question, !(which & 64), client, &known, &looped);
	if (r == DNS_KNOWN)
		check_answer(z, &known, q);
	assert(looped < 3);
	if (r == DNS_ASKED)
		return;
	assert(z->waits[client]);
	z->waits[client] = false;
	z->waiting--;
}

/* What was sent comes back. */
static void loop(struct fuzz *z, uint8_t which)
{
	const struct sent s = z->sent[which % SENT];
	struct dns_query q;

	if (which & 128)
		dns_forward_looped(z->f, z->now, which % 3);
	else if (s.n && !dns_query_read(s.v, s.n, &q))
		ask(z, 0, &q);
}

/* An answer to what was sent: flags and counts from the input, the question (of `which` also a wrong one), then records. */
static void answer(struct fuzz *z, uint8_t which, const uint8_t *v, size_t n)
{
	const struct sent s = z->sent[which % SENT];
	uint8_t m[DNS_UDP_MIN + 512];
	struct dns_query q;
	size_t head;

	if (!s.n || n < 5)
		return;
	assert(!dns_query_read(s.v, s.n, &q));
	head = (size_t)DNS_HEADER + q.question_len;
	memcpy(m, s.v, head);
	dns_set16(m + 2, (uint16_t)(DNS_QR | (v[0] & 0x86) << 8 | v[1]));
	for (unsigned i = 0; i < 3; i++)
		dns_set16(m + 6 + 2 * i, v[2 + i]);
	memcpy(m + head, v + 5, n - 5);
	if (which & 64)
		m[DNS_HEADER + 1] ^= 0x20;
	if (s.stream != UDP)
		dns_forward_tcp(z->f, z->now, s.stream, m, head + n - 5);
	else
		dns_forward_udp(z->f, z->now, s.upstream, s.slot ^ (which >> 7), m, head + n - 5);
}

/* The whole message from the input, with the right id. */
static void message(struct fuzz *z, uint8_t which, const uint8_t *v, size_t n)
{
	const struct sent *s = &z->sent[which % SENT];
	uint8_t m[256];

	memcpy(m, v, n);
	if (n >= 2)
		memcpy(m, s->v, 2);
	if (s->stream != UDP)
		dns_forward_tcp(z->f, z->now, s->stream, m, n);
	else
		dns_forward_udp(z->f, z->now, s->upstream, s->slot, m, n);
}

static void fail(struct fuzz *z, uint8_t which)
{
	const struct sent s = z->sent[which % SENT];

	if (s.stream == UDP)
		dns_forward_unreachable(z->f, z->now, s.upstream, s.slot);
	else
		dns_forward_tcp_failed(z->f, z->now, s.stream);
}

static void pass(struct fuzz *z, uint8_t how)
{
	z->now += how & 128 ? (how - 128) * 500 : how * 20;
	for (int i = 0; dns_forward_at(z->f) <= z->now; i++) {
		assert(i < 64);
		dns_forward_time(z->f, z->now);
	}
}

static void happen(struct fuzz *z, uint8_t what, uint8_t which, const uint8_t *v, size_t n)
{
	struct dns_query q;

	switch (what % 8) {
	case 0:
	case 1:
		q = query(which);
		ask(z, which, &q);
		break;
	case 2:
	case 3:
		answer(z, which, v, n);
		break;
	case 4:
		message(z, which, v, n);
		break;
	case 5:
		fail(z, which);
		break;
	case 6:
		pass(z, which);
		break;
	default:
		loop(z, which);
	}
}

static void begin(struct fuzz *z, uint8_t how)
{
	const struct dns_cache_conf cc = { DNS_CACHE_MIN, how & 1 ? 60 : 0, { 1, 2 } };
	const struct dns_forward_io io = { on_udp,      on_tcp,    on_close, on_end,
					   on_answered, on_random, z };
	struct dns_forward_conf c;
	struct err e;

	dns_forward_defaults(&c);
	c.upstreams = 3;
	c.slots = 2;
	c.questions = 4;
	c.clients = 8;
	c.mix_case = how & 2;
	c.policy = (how >> 2) % 3;
	z->cache = how & 32 ? NULL : dns_cache_new(&cc, &e);
	z->f = dns_forward_new(&c, &io, z->cache, z->now, &e);
	assert(z->f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz z;
	struct dns_forward_counts left;
	struct dns_upstream_state up;
	struct dns_cache_counts n;

	if (!size)
		return 0;
	memset(&z, 0, sizeof(z));
	begin(&z, *data);
	for (size_t at = 1; at + 3 <= size;) {
		size_t len = data[at + 2];

		if (len > size - at - 3)
			len = size - at - 3;
		happen(&z, data[at], data[at + 1], data + at + 3, len);
		at += 3 + len;
	}
	/* All that is out ends by the deadline. */
	pass(&z, 255);
	dns_forward_count(z.f, &left);
	assert(!z.waiting && !left.clients && !left.questions);
	for (unsigned i = 0; i < 3; i++) {
		dns_forward_upstream(z.f, i, &up);
		assert(up.answered <= up.sent);
	}
	if (z.cache) {
		dns_cache_count(z.cache, &n);
		assert(n.bytes <= DNS_CACHE_MIN);
	}
	dns_forward_free(z.f);
	dns_cache_free(z.cache);
	return 0;
}
