/* SPDX-License-Identifier: Apache-2.0 */
/* A runtime's side of CNI, timed: executes a plugin once per line of standard input, up to
 * PARALLEL at a time, with the environment, the configuration as its standard input and a pipe
 * for its answer, as runtimes do.
 *
 *   cni_calls PARALLEL VERB PLUGIN CONFIG       stdin: CONTAINER NETNS ARGS, tab separated
 *
 * Prints per line: nanoseconds from before the spawn until the answer is read and the process is
 * gone; its largest resident size in kB. Then: "wall" and the nanoseconds of it all. A call that
 * fails ends the run with its answer.
 *
 * Static and small: a spawned process inherits the caller's resident size as its own maximum
 * until it outgrows it. */
#include "measure.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALLS_MAX   4096
#define WORKERS_MAX 64
#define ANSWER_MAX  8192

struct call {
	char *container, *netns, *args;
	uint64_t ns;
	long rss_kb;
};

static struct {
	const char *verb, *plugin, *config;
	struct call calls[CALLS_MAX];
	int n;
	atomic_int next;
} job;

static void make_env(const struct call *c, char text[6][512], char *env[7])
{
	const char *slash = strrchr(job.plugin, '/');
	int dir = slash ? (int)(slash - job.plugin) : 0, n = 0;

	snprintf(text[n++], 512, "CNI_COMMAND=%s", job.verb);
	snprintf(text[n++], 512, "CNI_CONTAINERID=%s", c->container);
	snprintf(text[n++], 512, "CNI_NETNS=%s", c->netns);
	snprintf(text[n++], 512, "CNI_IFNAME=eth0");
	snprintf(text[n++], 512, "CNI_PATH=%.*s", dir, job.plugin);
	snprintf(text[n++], 512, "CNI_ARGS=%s", c->args);
	for (int i = 0; i < n; i++)
		env[i] = text[i];
	env[n] = NULL;
}

static pid_t spawn(char *const env[], int answer)
{
	char *argv[] = { (char *)job.plugin, NULL };
	posix_spawn_file_actions_t fa;
	pid_t pid;

	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addopen(&fa, 0, job.config, O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&fa, answer, 1);
	errno = posix_spawn(&pid, job.plugin, &fa, NULL, argv, env);
	if (errno)
		die(job.plugin);
	posix_spawn_file_actions_destroy(&fa);
	return pid;
}

static void run(struct call *c)
{
	char text[6][512], *env[7], answer[ANSWER_MAX];
	struct rusage used;
	int fds[2], status;
	size_t n = 0;
	ssize_t got;
	uint64_t begun;
	pid_t pid;

	make_env(c, text, env);
	begun = now_ns();
	if (pipe2(fds, O_CLOEXEC))
		die("pipe");
	pid = spawn(env, fds[1]);
	close(fds[1]);
	while ((got = read(fds[0], answer + n, sizeof(answer) - n)) > 0)
		n += (size_t)got;
	close(fds[0]);
	if (wait4(pid, &status, 0, &used) != pid)
		die("wait");
	c->ns = now_ns() - begun;
	c->rss_kb = used.ru_maxrss;
	if (status) {
		fprintf(stderr, "%s %s: status %d: %.*s\n", job.verb, c->container, status, (int)n,
			answer);
		exit(1);
	}
}

static void *work(void *arg)
{
	for (int i; (i = atomic_fetch_add(&job.next, 1)) < job.n;)
		run(&job.calls[i]);
	return NULL;
}

static void read_calls(void)
{
	char *line = NULL;
	size_t cap = 0;

	while (job.n < CALLS_MAX && getline(&line, &cap, stdin) > 0) {
		struct call *c = &job.calls[job.n++];
		char *rest = line;

		rest[strcspn(rest, "\n")] = 0;
		c->container = strdup(strsep(&rest, "\t"));
		c->netns = strdup(rest ? strsep(&rest, "\t") : "");
		c->args = strdup(rest ? rest : "");
		if (!c->container || !c->netns || !c->args)
			die("memory");
	}
	free(line);
}

int main(int argc, char **argv)
{
	pthread_t workers[WORKERS_MAX];
	int parallel = argc == 5 ? atoi(argv[1]) : 0;
	uint64_t begun, wall;

	if (parallel < 1 || parallel > WORKERS_MAX) {
		fprintf(stderr, "usage: cni_calls PARALLEL VERB PLUGIN CONFIG <calls\n");
		return 2;
	}
	job.verb = argv[2];
	job.plugin = argv[3];
	job.config = argv[4];
	read_calls();
	begun = now_ns();
	for (int i = 0; i < parallel; i++)
		if (pthread_create(&workers[i], NULL, work, NULL))
			die("thread");
	for (int i = 0; i < parallel; i++)
		pthread_join(workers[i], NULL);
	wall = now_ns() - begun;
	for (int i = 0; i < job.n; i++)
		printf("%llu %ld\n", (unsigned long long)job.calls[i].ns, job.calls[i].rss_kb);
	printf("wall %llu\n", (unsigned long long)wall);
	return 0;
}
