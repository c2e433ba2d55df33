/* SPDX-License-Identifier: Apache-2.0 */
/* The frame of messages, OPEN, NOTIFICATION and ROUTE-REFRESH: octets written by hand from the RFCs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "octets.h"

#include "core/bgp/msg.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MARKER "ffffffffffffffffffffffffffffffff"

/* ---- the frame */

static const struct {
	const char *what, *hex;
	int want;         /* length, 0, or -1: a fault */
	uint8_t sub;      /* of a message header error */
	const char *data; /* what its NOTIFICATION shows */
} frames[] = {
	{ "KEEPALIVE", MARKER "001304", 19, 0, "" },
	{ "with another behind it", MARKER "001304" MARKER "0013", 19, 0, "" },
	{ "nothing yet", "", 0, 0, "" },
	{ "half a marker", "ffffffffffffffff", 0, 0, "" },
	{ "no type yet", MARKER "0013", 0, 0, "" },
	{ "no body yet", MARKER "001d01", 0, 0, "" },
	{ "marker wrong in its first octet", "fe", -1, BGP_E_SYNC, "" },
	{ "marker wrong in its last octet", "fffffffffffffffffffffffffffffff7", -1, BGP_E_SYNC,
	  "" },
	{ "length 18", MARKER "0012", -1, BGP_E_LENGTH, "0012" },
	{ "length 4097", MARKER "1001", -1, BGP_E_LENGTH, "1001" },
	{ "length 4096 of an UPDATE", MARKER "100002", 0, 0, "" },
	{ "type 0", MARKER "001300", -1, BGP_E_TYPE, "00" },
	{ "type 6", MARKER "001306", -1, BGP_E_TYPE, "06" },
	{ "OPEN of 28", MARKER "001c01", -1, BGP_E_LENGTH, "001c" },
	{ "UPDATE of 22", MARKER "001602", -1, BGP_E_LENGTH, "0016" },
	{ "NOTIFICATION of 20", MARKER "001403", -1, BGP_E_LENGTH, "0014" },
	{ "KEEPALIVE of 20", MARKER "001404", -1, BGP_E_LENGTH, "0014" },
};

static void test_frame(void **state)
{
	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		uint8_t in[64], data[8];
		size_t n = octets(frames[i].hex, in);
		struct bgp_fault f = { 0 };
		int got = bgp_message_next(in, n, &f);

		if (got != (frames[i].want < 0 ? -EBADMSG : frames[i].want))
			fail_msg("%s: %d", frames[i].what, got);
		if (got >= 0)
			continue;
		assert_int_equal(f.code, BGP_E_HEADER);
		assert_int_equal(f.sub, frames[i].sub);
		assert_int_equal(f.data_len, octets(frames[i].data, data));
		assert_memory_equal(f.data, data, f.data_len);
		assert_true(*f.text);
	}
}

/* ---- OPEN */

#define AS65001 "fde9"
#define HOLD30  "001e"
#define ID      "0a000002"
#define HEAD    "04" AS65001 HOLD30 ID
#define CAP_V4  "010400010001"
#define CAP_V6  "010400020001"
#define CAP_AS4 "41040000fde9"

static int decode(const char *hex, struct bgp_open *o, struct bgp_fault *f)
{
	uint8_t body[512];

	*f = (struct bgp_fault){ 0 };
	return bgp_open_decode(body, octets(hex, body), o, f);
}

static void test_open(void **state)
{
	struct bgp_fault f;
	struct bgp_open o;

	assert_int_equal(decode(HEAD "14"
				     "0212" CAP_V4 CAP_V6 CAP_AS4,
				&o, &f),
			 0);
	assert_int_equal(o.as, 65001);
	assert_int_equal(o.id, 0x0a000002);
	assert_int_equal(o.hold_time, 30);
	assert_true(o.as4 && o.multiprotocol && o.family[BGP_IPV4] && o.family[BGP_IPV6]);
	assert_false(o.refresh || o.graceful.offered);

	/* An old speaker: IPv4, two octets. */
	assert_int_equal(decode(HEAD "00", &o, &f), 0);
	assert_true(o.family[BGP_IPV4]);
	assert_false(o.family[BGP_IPV6] || o.as4 || o.multiprotocol);

	/* An AS that has no two octets (RFC 6793): AS_TRANS, and the capability counts. */
	assert_int_equal(decode("045ba0" HOLD30 ID "08"
				"0206"
				"410400010000",
				&o, &f),
			 0);
	assert_int_equal(o.as, 65536);

	/* Graceful restart (RFC 4724 3, RFC 8538): R and N, 300 s, IPv4 with F, IPv6 without. */
	assert_int_equal(decode(HEAD "0e"
				     "020c"
				     "400a"
				     "c12c"
				     "00010180"
				     "00020100",
				&o, &f),
			 0);
	assert_true(o.graceful.offered && o.graceful.restarting && o.graceful.notification);
	assert_int_equal(o.graceful.restart_time, 300);
	assert_true(o.graceful.family[BGP_IPV4] && o.graceful.kept[BGP_IPV4]);
	assert_true(o.graceful.family[BGP_IPV6] && !o.graceful.kept[BGP_IPV6]);

	/* RFC 9072: a long list of parameters, each with a length of two octets. */
	assert_int_equal(decode(HEAD "ff"
				     "ff0009"
				     "020006" CAP_V6,
				&o, &f),
			 0);
	assert_true(o.family[BGP_IPV6] && !o.family[BGP_IPV4]);

	/* Capabilities that nobody knows, one in a parameter of its own, one of them twice. */
	assert_int_equal(decode(HEAD "16"
				     "0205c703010203"
				     "0206" CAP_V4 "0206" CAP_V4,
				&o, &f),
			 -EBADMSG);
	assert_int_equal(decode(HEAD "17"
				     "0205c703010203"
				     "0206" CAP_V4 "0206" CAP_V4,
				&o, &f),
			 0);
}

static const struct {
	const char *what, *hex;
	uint8_t sub;
} bad_opens[] = {
	{ "version 3", "03" AS65001 HOLD30 ID "00", BGP_E_VERSION },
	{ "hold time 1", "04" AS65001 "0001" ID "00", BGP_E_HOLD_TIME },
	{ "hold time 2", "04" AS65001 "0002" ID "00", BGP_E_HOLD_TIME },
	{ "identifier 0",
	  "04" AS65001 HOLD30 "00000000"
	  "00",
	  BGP_E_BGP_ID },
	{ "AS 0", "040000" HOLD30 ID "00", BGP_E_PEER_AS },
	{ "AS 0 in the capability",
	  "045ba0" HOLD30 ID "08"
	  "0206"
	  "410400000000",
	  BGP_E_PEER_AS },
	{ "two ASes at once",
	  HEAD "08"
	       "0206"
	       "41040000fdea",
	  BGP_E_PEER_AS },
	{ "a parameter that is none",
	  HEAD "03"
	       "010100",
	  BGP_E_OPTIONAL },
	{ "parameters past the end",
	  HEAD "09"
	       "0206" CAP_V4,
	  0 },
	{ "octets behind the parameters",
	  HEAD "08"
	       "0206" CAP_V4 "00",
	  0 },
	{ "a parameter past the end",
	  HEAD "08"
	       "0207" CAP_V4,
	  0 },
	{ "a capability past its parameter",
	  HEAD "04"
	       "02020104",
	  0 },
	{ "a capability of one octet",
	  HEAD "03"
	       "020101",
	  0 },
	{ "four octets of AS in two",
	  HEAD "06"
	       "02044102fde9",
	  0 },
	{ "multiprotocol in two",
	  HEAD "06"
	       "020401020001",
	  0 },
	{ "graceful restart in three",
	  HEAD "07"
	       "02054003000101",
	  0 },
	{ "extended length, and nothing", HEAD "ff", 0 },
	{ "extended length past the end",
	  HEAD "ff"
	       "ff00ff"
	       "020006" CAP_V4,
	  0 },
};

static void test_bad_opens(void **state)
{
	for (size_t i = 0; i < sizeof(bad_opens) / sizeof(bad_opens[0]); i++) {
		struct bgp_open o = { .as = 7 };
		struct bgp_fault f;

		if (decode(bad_opens[i].hex, &o, &f) != -EBADMSG || f.code != BGP_E_OPEN ||
		    f.sub != bad_opens[i].sub)
			fail_msg("%s: %u/%u %s", bad_opens[i].what, f.code, f.sub, f.text);
		assert_int_equal(o.as, 7);
		assert_true(*f.text);
	}
}

/* What we say is what we read. */
static void test_open_round(void **state)
{
	const struct bgp_open said = { .version = BGP_VERSION,
				       .as = 4200000001,
				       .id = 0x0a000001,
				       .hold_time = 90,
				       .as4 = true,
				       .refresh = true,
				       .multiprotocol = true,
				       .family = { true, true },
				       .graceful = { .offered = true,
						     .notification = true,
						     .restart_time = 120,
						     .family = { true, true },
						     .kept = { true, false } } };
	struct bgp_fault f = { 0 };
	struct bgp_open o;
	struct buf b = { 0 };

	bgp_open_put(&b, &said);
	assert_int_equal(bgp_message_next((const uint8_t *)b.v, b.n, &f), b.n);
	assert_int_equal(b.v[18], BGP_OPEN);
	assert_int_equal((uint8_t)b.v[20] << 8 | (uint8_t)b.v[21], BGP_AS_TRANS);
	assert_int_equal(
		bgp_open_decode((const uint8_t *)b.v + BGP_HEADER, b.n - BGP_HEADER, &o, &f), 0);
	assert_memory_equal(&o, &said, sizeof(o));
	buf_fini(&b);
}

/* ---- NOTIFICATION, ROUTE-REFRESH */

static void test_cease(void **state)
{
	char long_text[400];
	struct bgp_fault f = { 0 }, back;
	struct buf b = { 0 };

	bgp_cease(&f, BGP_E_SHUTDOWN, "maintenance until 18:00");
	bgp_notification_put(&b, &f);
	assert_int_equal(bgp_message_next((const uint8_t *)b.v, b.n, &back), b.n);
	assert_int_equal(
		bgp_notification_decode((const uint8_t *)b.v + BGP_HEADER, b.n - BGP_HEADER, &back),
		0);
	assert_int_equal(back.code, BGP_E_CEASE);
	assert_int_equal(back.sub, BGP_E_SHUTDOWN);
	assert_string_equal(back.text, "\"maintenance until 18:00\"");
	buf_fini(&b);

	/* Cut between two characters: 254 of one octet, then one of two. */
	memset(long_text, 'a', 254);
	strcpy(long_text + 254, "é and more");
	bgp_cease(&f, BGP_E_RESET, long_text);
	assert_int_equal(f.data[0], 254);
	assert_int_equal(f.data_len, 255);
}

/* What a peer sends goes to a log: no control characters, and nothing that is longer than it says. */
static void test_last_words(void **state)
{
	uint8_t body[300] = { BGP_E_CEASE, BGP_E_SHUTDOWN, 5, 'o', '\n', 0x1b, '[', 'k' };
	struct bgp_fault f;

	assert_int_equal(bgp_notification_decode(body, 8, &f), 0);
	assert_string_equal(f.text, "\"o\\n\\u001b[k\"");
	assert_int_equal(bgp_notification_decode(body, 7, &f), 0);
	assert_string_equal(f.text, "");
	memset(body, 0xff, sizeof(body));
	assert_int_equal(bgp_notification_decode(body, sizeof(body), &f), 0);
	assert_int_equal(f.data_len, BGP_FAULT_DATA);
	assert_string_equal(bgp_code_name(f.code), "unknown error");
	assert_string_equal(bgp_sub_name(BGP_E_UPDATE, BGP_E_AS_PATH), "Malformed AS_PATH");
	assert_string_equal(bgp_sub_name(BGP_E_HOLD, 200), "");
	assert_int_equal(bgp_notification_decode(body, 1, &f), -EBADMSG);
}

static void test_refresh(void **state)
{
	struct bgp_fault f = { 0 };
	struct buf b = { 0 };

	bgp_refresh_put(&b, BGP_IPV6);
	assert_int_equal(bgp_message_next((const uint8_t *)b.v, b.n, &f), b.n);
	assert_int_equal(bgp_refresh_decode((const uint8_t *)b.v + BGP_HEADER, 4, &f), BGP_IPV6);
	assert_int_equal(bgp_refresh_decode((const uint8_t[]){ 0, 1, 0, 1 }, 4, &f), BGP_IPV4);
	assert_int_equal(bgp_refresh_decode((const uint8_t[]){ 0, 1, 0, 2 }, 4, &f), -1);
	assert_int_equal(bgp_refresh_decode((const uint8_t[]){ 0, 1, 1, 1 }, 4, &f), -1);
	assert_int_equal(bgp_refresh_decode((const uint8_t[]){ 0, 1, 0 }, 3, &f), -EBADMSG);
	assert_int_equal(f.code, BGP_E_REFRESH);
	assert_int_equal(f.sub, BGP_E_REFRESH_LENGTH);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frame),     cmocka_unit_test(test_open),
		cmocka_unit_test(test_bad_opens), cmocka_unit_test(test_open_round),
		cmocka_unit_test(test_cease),     cmocka_unit_test(test_last_words),
		cmocka_unit_test(test_refresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
