// SPDX-License-Identifier: Apache-2.0
/* agent_journal: see agent_journal.h. */
#include "daemon/agent_journal.h"
#include "daemon/agent_ipam.h"
#include "sys/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define JOURNAL_MAX (256u << 20)

int agent_journal_rewrite(struct agent_ipam *m, struct err *e)
{
	struct buf b = { 0 };
	int fd, rc = ipam_snapshot(m->book, agent_now_ms(m->agent), &b, e);

	if (!rc)
		rc = file_write(m->path, b.v, b.n, 0600, e);
	if (!rc) {
		fd = file_open_append(m->path, 0600, e);
		if (fd < 0) {
			rc = fd;
		} else {
			if (m->fd >= 0)
				close(m->fd);
			m->fd = fd;
			m->size = b.n;
			ipam_synced(m->book);
		}
	}
	/* A snapshot counts anew: what is appended to another file would be taken for its torn
	 * tail by the next replay, and be lost. */
	if (m->torn && !rc)
		log_info("%s: is whole again", m->path);
	if (rc && !m->torn)
		log_error("%s; no address is given out until it can be written", e->text);
	if (rc)
		m->trouble = *e;
	m->torn = rc != 0;
	buf_fini(&b);
	return rc;
}

bool agent_journal_is_blank(const struct agent_ipam *m)
{
	return m->lost && !m->rebuilt;
}

int agent_journal_commit(struct agent_ipam *m, uint64_t id, struct err *e)
{
	struct err again;
	size_t n = m->pending.n;
	bool torn = m->torn;
	int rc = 0;

	/* A journal that holds less than what lives would be believed after a crash: it stays
	 * empty until it is written as a whole. */
	if (agent_journal_is_blank(m)) {
		buf_clear(&m->pending);
		return 0;
	}
	if (m->pending.failed)
		rc = err_set(e, -ENOMEM, "no memory for the journal");
	else if (n)
		rc = torn ? agent_journal_rewrite(m, e) : file_append(m->fd, m->pending.v, n, e);
	buf_clear(&m->pending);
	if (rc) {
		ipam_undo(m->book, id);
		if (!torn)
			agent_journal_rewrite(m, &again);
		/* Whatever the disk says, to the caller it is one thing; -ENOSPC is of addresses. */
		e->code = -EIO;
		return -EIO;
	}
	if (!n || torn)
		return 0;
	ipam_synced(m->book);
	m->size += n;
	if (ipam_compact_due(m->book, m->size))
		agent_journal_rewrite(m, &again);
	return 0;
}

void agent_journal_commit_end(struct agent_ipam *m)
{
	struct err e;

	if (agent_journal_commit(m, 0, &e))
		log_debug("%s: %s", m->path, e.text);
}

struct ipam_turn agent_journal_turn(struct agent_ipam *m, struct arena *ar)
{
	buf_clear(&m->pending);
	return (struct ipam_turn){ .now = agent_now_ms(m->agent),
				   .arena = ar,
				   .journal = &m->pending };
}

/* ---- opening */

static int replay(struct agent_ipam *m, struct err *e)
{
	struct buf b = { 0 };
	size_t good = 0;
	int rc = file_read(m->path, JOURNAL_MAX, &b, e);

	if (rc == -ENOENT || (!rc && !b.n)) {
		m->lost = true;
		rc = 0;
	} else if (!rc) {
		rc = ipam_replay(m->book, b.v, b.n, &good, e);
	}
	if (rc == -EBADMSG) {
		char aside[sizeof(m->path) + 16];

		log_error("%s: %s; it is put aside and rebuilt from the kernel", m->path, e->text);
		snprintf(aside, sizeof(aside), "%s.damaged", m->path);
		if (rename(m->path, aside)) {
			buf_fini(&b);
			return err_sys(e, -errno, "%s", m->path);
		}
		ipam_free(m->book);
		m->book = ipam_new(m->agent->role->cfg.node, IPAM_COOLDOWN_MS);
		m->lost = true;
		good = b.n = 0;
		rc = m->book ? 0 : err_set(e, -ENOMEM, "no memory");
	}
	if (!rc && good < b.n) {
		log_warn("%s: torn at byte %zu of %zu; the rest was never answered for", m->path,
			 good, b.n);
		if (truncate(m->path, (off_t)good)) {
			err_sys(&m->trouble, -errno, "%s", m->path);
			m->torn = true;
		}
	}
	m->size = good;
	buf_fini(&b);
	return rc;
}

static int boot_id(char id[64], struct err *e)
{
	return sysctl_read("kernel/random/boot_id", id, 64, e);
}

bool agent_ipam_other_boot(const struct agent *a)
{
	const char *was = ipam_boot_id(a->ipam->book);
	char id[64];
	struct err e;

	return was && *was && !boot_id(id, &e) && strcmp(was, id) != 0;
}

void agent_ipam_note_boot(struct agent *a)
{
	struct agent_ipam *m = a->ipam;
	struct ipam_turn t = agent_journal_turn(m, NULL);
	char id[64];
	struct err e;
	int rc = boot_id(id, &e);

	if (!rc)
		rc = ipam_boot(m->book, id, &t, &e);
	if (rc)
		log_error("boot: %s", e.text);
	else
		agent_journal_commit_end(m);
}

bool agent_ipam_remembers(const struct agent *a)
{
	return !a->ipam->lost;
}

const char *agent_ipam_trouble(const struct agent *a)
{
	return a->ipam->torn ? a->ipam->trouble.text : NULL;
}

/* A disk that cannot be written to now does not keep the node's network from being restored. */
static void open_file(struct agent_ipam *m)
{
	struct err e;

	m->fd = file_open_append(m->path, 0600, &e);
	if (m->fd >= 0)
		return;
	log_error("%s; no address is given out until it can be written", e.text);
	m->trouble = e;
	m->torn = true;
}

int agent_journal_open(struct agent_ipam *m, struct err *e)
{
	const char *dir = m->agent->role->cfg.state_dir;
	char lock[sizeof(m->path)];
	int rc;

	snprintf(m->path, sizeof(m->path), "%s/ipam.journal", dir);
	snprintf(lock, sizeof(lock), "%s/ipam.lock", dir);
	rc = dir_make(dir, 0755, e);
	if (rc)
		return rc;
	m->lock = file_lock(lock, 0, e);
	if (m->lock == -EWOULDBLOCK)
		return err_set(e, m->lock, "%s: another agent uses this address book", lock);
	if (m->lock < 0)
		return m->lock;
	rc = replay(m, e);
	if (!rc)
		open_file(m);
	return rc;
}

void agent_journal_close(struct agent_ipam *m)
{
	if (m->fd >= 0)
		close(m->fd);
	if (m->lock >= 0)
		close(m->lock);
	buf_fini(&m->pending);
}
