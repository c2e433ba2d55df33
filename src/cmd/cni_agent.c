// SPDX-License-Identifier: Apache-2.0
/* cni_agent: the agent's side of the plugin, one record there and one back. The namespace is
 * opened here, where its path means what the runtime meant. */
#include "cmd/cni_io.h"
#include "model/record.h"
#include "sys/clock.h"
#include "sys/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_host_netns(int fd)
{
	struct stat a, b;

	return !fstat(fd, &a) && !stat("/proc/self/ns/net", &b) && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

enum cni_code cni_open_netns(const struct cni_request *q, int *fd, struct err *e)
{
	bool needed = q->verb == CNI_ADD || q->verb == CNI_CHECK;

	*fd = -1;
	if (!q->netns || q->ipam_only)
		return CNI_OK;
	*fd = open(q->netns, O_RDONLY | O_CLOEXEC);
	if (*fd >= 0 && ioctl(*fd, NS_GET_NSTYPE) == CLONE_NEWNET && !is_host_netns(*fd))
		return CNI_OK;
	if (needed && *fd < 0)
		err_sys(e, -errno, "CNI_NETNS: %s", q->netns);
	else if (needed)
		err_set(e, -EINVAL, "CNI_NETNS: %s is %s", q->netns,
			is_host_netns(*fd) ? "the node's own network namespace"
					   : "no network namespace");
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	return needed ? CNI_ERR_ENV : CNI_OK;
}

static int64_t now_ms(void)
{
	return (int64_t)(clock_mono_ns() / 1000000);
}

static int exchange(const struct cni_call *call, int netns, struct arena *a, struct cni_reply *out,
		    struct err *e)
{
	int64_t deadline = now_ms() + call->timeout_ms;
	struct rstream s = { .fd = -1 };
	struct rframe f = { .fd = -1 };
	int fd, rc;

	fd = sock_unix_connect(call->socket, SOCK_STREAM, (int)call->timeout_ms, e);
	if (fd < 0)
		return fd;
	rc = rstream_init(&s, fd, e);
	if (rc)
		return rc;
	rc = rstream_put(&s, REC_CNI_REQUEST, &cni_request_schema, &call->request, netns, e);
	if (!rc) {
		int64_t left = deadline - now_ms();

		rc = rstream_recv(&s, &f, left > 0 ? (int)left : 0, e);
	}
	if (rc > 0)
		rc = 0;
	if (!rc) {
		if (f.fd >= 0)
			close(f.fd);
		rc = f.type == REC_CNI_REPLY
			     ? record_decode(&f.body, &cni_reply_schema, out, a, e)
			     : err_set(e, -EBADMSG, "an unexpected answer (record type %u)",
				       f.type);
	}
	rstream_fini(&s);
	return rc;
}

enum cni_code cni_ask_agent(const struct cni_call *call, int netns, struct arena *a,
			    struct cni_reply *out, struct err *e)
{
	int rc = exchange(call, netns, a, out, e);

	if (!rc)
		return CNI_OK;
	err_wrap(e, "fairlead's agent (%s)", call->socket);
	return call->request.verb == CNI_STATUS ? CNI_ERR_UNAVAILABLE : CNI_ERR_TRY_LATER;
}
