// SPDX-License-Identifier: Apache-2.0
/* fairleadd(8): arguments of the keeper. Every key of the configuration is a flag as well and
 * wins over the file. */
#include "daemon/keeper.h"

#include <stdio.h>
#include <string.h>

static const char usage[] =
	"usage: fairleadd [--config FILE] [--check | --takeover] [--KEY VALUE]...\n"
	"\n"
	"Starts fairlead's roles on this node and keeps them running; fairleadd(8).\n"
	"\n"
	"  --config FILE           unless given " CONFIG_PATH "; fairleadd.conf(5)\n"
	"  --check                 judge the configuration, start nothing\n"
	"  --takeover              take the place of the fairleadd that runs\n"
	"  --version, --help\n"
	"\n"
	"Any key of the configuration, over what the file says:\n"
	"  --node NAME             of this Node; the host's name unless given\n"
	"  --store dir:/PATH       where objects come from\n"
	"  --roles ROLE,...        watch agent controller health\n"
	"  --run-dir DIR           sockets and pid files; /run/fairlead\n"
	"  --state-dir DIR         journals; /var/lib/fairlead\n"
	"  --libexec-dir DIR       the roles' programs\n"
	"  --user NAME             of the roles that are not root\n"
	"  --uplink IFACE          towards the other nodes\n"
	"  --node-ip ADDR          of this node, one for each family\n"
	"  --service-cidr CIDR     ranges of service addresses\n"
	"  --cluster-domain NAME   cluster.local\n"
	"  --bind 'PROTO ADDR PORT'  what roles may ask to bind\n"
	"  --health-address A:P    /healthz, /readyz, /livez, /metrics; off\n"
	"  --log-level LEVEL       error warn info debug\n";

static int bad_usage(const char *arg, const char *what)
{
	fprintf(stderr, "fairleadd: %s: %s; see fairleadd --help\n", arg, what);
	return 2;
}

static int check(const struct keeper *k)
{
	struct config c;
	struct err e;

	if (keeper_config(k, &c, &e)) {
		fprintf(stderr, "fairleadd: %s\n", e.text);
		return 2;
	}
	printf("%s: ok\n", k->conf_path);
	config_fini(&c);
	return 0;
}

/* The value of argv[*i]: behind its `=`, or the next argument; NULL when there is none. Cuts the
 * name at `=`. */
static char *value_of(int argc, char **argv, int *i)
{
	char *eq = strchr(argv[*i], '=');

	if (eq) {
		*eq = '\0';
		return eq + 1;
	}
	return *i + 1 < argc ? argv[++*i] : NULL;
}

int main(int argc, char **argv)
{
	struct keeper k = { .conf_path = CONFIG_PATH };
	bool check_only = false;
	int code;

	for (int i = 1; i < argc; i++) {
		char *arg = argv[i], *value;

		if (strcmp(arg, "--help") == 0)
			return fputs(usage, stdout) < 0;
		if (strcmp(arg, "--version") == 0)
			return puts("fairleadd " FAIRLEAD_VERSION) < 0;
		if (strcmp(arg, "--check") == 0) {
			check_only = true;
			continue;
		}
		if (strcmp(arg, "--takeover") == 0) {
			k.takeover = true;
			continue;
		}
		if (strncmp(arg, "--", 2) != 0 || !arg[2])
			return bad_usage(arg, "no option");
		value = value_of(argc, argv, &i);
		if (!value)
			return bad_usage(arg, "needs a value");
		if (strcmp(arg, "--config") == 0) {
			k.conf_path = value;
			k.conf_required = true;
		} else if (k.n_flags < KEEPER_FLAGS) {
			k.flags[k.n_flags++] = (struct keeper_flag){ arg + 2, value };
		} else {
			return bad_usage(arg, "too many flags");
		}
	}
	if (check_only)
		return check(&k);
	if (k.takeover && (code = keeper_take_fork(&k)) >= 0)
		return code;
	return keeper_run(&k);
}
