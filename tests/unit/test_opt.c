// SPDX-License-Identifier: Apache-2.0
/* Options by table: what is taken, what is refused and with which words. */
#include "cmd/opt.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct opts {
	uint8_t all, mode;
	const char *ns;
	int64_t count;
	double wait;
	struct ipaddr addr;
	LIST(const char *) files;
	LIST(struct prefix) cidrs;
};

static const char *const modes[] = { "vxlan", NULL, "direct" };
static const struct names mode_names = { modes, 3 };

static const struct opt table[] = {
	OPT(struct opts, all, 'A', "all", OPT_FLAG, .doc = "All of them"),
	OPT(struct opts, mode, 0, "mode", OPT_ENUM, .names = &mode_names, .doc = "How"),
	OPT(struct opts, ns, 'n', "namespace", OPT_STR, .arg = "NS", .doc = "Where"),
	OPT(struct opts, count, 'c', "count", OPT_INT, .min = 1, .max = 10, .doc = "How many"),
	OPT(struct opts, wait, 0, "wait", OPT_SECONDS, .optional = 1, .arg = "SEC", .doc = "Wait"),
	OPT(struct opts, addr, 0, "address", OPT_ADDR, .doc = "Address"),
	OPT(struct opts, files, 'f', "file", OPT_STR, .list = 1, .doc = "Files"),
	OPT(struct opts, cidrs, 0, "a-rather-long-option-name", OPT_PREFIX, .list = 1,
	    .doc = "Net"),
	{ 0 },
};

struct result {
	struct opts o;
	struct arena a;
	struct err e;
	char *argv[24];
	int n;
	bool help;
};

static void parse(struct result *r, const char *const *argv, bool head)
{
	struct opt_args args = { .argv = r->argv, .head = head };
	struct opt_set set = { table, &r->o };

	memset(r, 0, sizeof(*r));
	arena_init(&r->a, 0);
	r->o.wait = 60;
	while (argv[args.argc]) {
		r->argv[args.argc] = arena_strdup(&r->a, argv[args.argc]);
		args.argc++;
	}
	r->n = opt_parse(&args, &set, 1, &r->a, &r->e);
	r->help = args.help;
}

#define PARSE(r, ...) parse(r, (const char *const[]){ __VA_ARGS__, NULL }, false)

static void test_forms(void **state)
{
	struct result r = { .n = 0 };

	PARSE(&r, "one", "-An", "shop", "--count=3", "two", "-fa", "-f", "b", "--file", "c",
	      "--mode", "direct", "--address", "::1", "--a-rather-long-option-name=10.0.0.0/8", "-",
	      "--", "--all", "-x");
	assert_int_equal(r.n, 5);
	assert_string_equal(r.argv[0], "one");
	assert_string_equal(r.argv[1], "two");
	assert_string_equal(r.argv[2], "-");
	assert_string_equal(r.argv[3], "--all");
	assert_string_equal(r.argv[4], "-x");
	assert_int_equal(r.o.all, 1);
	assert_string_equal(r.o.ns, "shop");
	assert_int_equal(r.o.count, 3);
	assert_int_equal(r.o.mode, 2);
	assert_int_equal(r.o.files.n, 3);
	assert_string_equal(r.o.files.v[0], "a");
	assert_string_equal(r.o.files.v[2], "c");
	assert_int_equal(r.o.addr.b[15], 1);
	assert_int_equal(r.o.cidrs.v[0].len, 8);
	arena_fini(&r.a);
}

static void test_optional_value(void **state)
{
	struct result r = { .n = 0 };

	PARSE(&r, "--wait", "5");
	assert_int_equal(r.n, 1); /* "5" is an operand */
	assert_true(r.o.wait == 60);
	arena_fini(&r.a);
	PARSE(&r, "--wait=0.5");
	assert_true(r.o.wait == 0.5);
	arena_fini(&r.a);
}

static void refused(const char *text, const char *a, const char *b)
{
	struct result r = { .n = 0 };

	parse(&r, (const char *const[]){ a, b, NULL }, false);
	assert_int_equal(r.n, -EINVAL);
	assert_string_equal(r.e.text, text);
	arena_fini(&r.a);
}

static void test_refused(void **state)
{
	refused("unknown option --al", "--al", NULL);
	refused("unknown option -x", "-Ax", NULL);
	refused("--all takes no value", "--all=1", NULL);
	refused("--namespace needs a value: NS", "-n", NULL);
	refused("--mode: \"ipip\" is none of: vxlan, direct", "--mode", "ipip");
	refused("--count: 11 is not between 1 and 10", "-c", "11");
	refused("--count: \"1x\" is no number", "-c", "1x");
	refused("--count: \"\" is no number", "--count=", NULL);
	refused("--wait: \"nan\" is no number of seconds", "--wait=nan", NULL);
	refused("--wait: \"-1\" is no number of seconds", "--wait=-1", NULL);
	refused("--address: \"10.0.0\" is no address", "--address", "10.0.0");
	refused("--a-rather-long-option-name: \"10.0.0.0\" is no CIDR such as 10.0.0.0/8",
		"--a-rather-long-option-name", "10.0.0.0");
}

static void test_head_and_help(void **state)
{
	struct result r = { .n = 0 };

	parse(&r, (const char *const[]){ "-A", "verb", "-n", "x", NULL }, true);
	assert_int_equal(r.n, 1);
	assert_null(r.o.ns);
	arena_fini(&r.a);
	PARSE(&r, "x", "--help", "--unknown");
	assert_true(r.help);
	arena_fini(&r.a);
	PARSE(&r, "-Ah");
	assert_true(r.help);
	arena_fini(&r.a);
}

static void test_help_text(void **state)
{
	static const char want[] = "  -A, --all                   All of them\n"
				   "      --mode vxlan|direct     How\n"
				   "  -n, --namespace NS          Where\n"
				   "  -c, --count VALUE           How many\n"
				   "      --wait[=SEC]            Wait\n"
				   "      --address VALUE         Address\n"
				   "  -f, --file VALUE            Files (repeatable)\n"
				   "      --a-rather-long-option-name VALUE\n"
				   "                              Net (repeatable)\n";
	struct buf b = { .v = NULL };

	opt_help(table, &b);
	assert_string_equal(b.v, want);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),     cmocka_unit_test(test_optional_value),
		cmocka_unit_test(test_refused),   cmocka_unit_test(test_head_and_help),
		cmocka_unit_test(test_help_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
