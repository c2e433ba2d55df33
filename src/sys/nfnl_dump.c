/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel holds of a table: whole, or the little that somebody asks for. A kernel answers one
 * element that is asked for by its key in about a microsecond; a dump of a hash is cut into answers of 32 KiB, for each of
 * which it walks the hash from its beginning, so that a large one costs its square. */
#include "sys/nfnl_state.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>

#define DUMP_TRIES 8

struct want {
	unsigned msg, flags;
	uint8_t family;
	const char *table;
	const char *in; /* a set, or the chain of rules */
};

static int ask(struct nfnl *n, const struct want *w, struct err *e)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	char mem[MNL_NLMSG_HDRLEN + 16 + 2 * (NFT_NAME_MAXLEN + 8)] __attribute__((aligned(8)));
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(mem);
	struct nfgenmsg *g = mnl_nlmsg_put_extra_header(nlh, sizeof(*g));

	nlh->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | w->msg;
	nlh->nlmsg_flags = NLM_F_REQUEST | w->flags;
	nlh->nlmsg_seq = n->seq;
	*g = (struct nfgenmsg){ .nfgen_family = w->family, .version = NFNETLINK_V0 };
	/* The first attribute is the table's name, the second the set's or chain's, in all that is asked. */
	if (w->table)
		mnl_attr_put_strz_check(nlh, sizeof(mem), 1, w->table);
	if (w->in)
		mnl_attr_put_strz_check(nlh, sizeof(mem), 2, w->in);
	if (sendto(n->fd, mem, nlh->nlmsg_len, 0, (void *)&kernel, sizeof(kernel)) < 0)
		return err_sys(e, -errno, "nftables: asking for a dump");
	return 0;
}

/* Asks and hands each answer's messages to `rs` (or the generation to *genid). Returns 0,
 * -ENOENT quietly, -EAGAIN when the ruleset changed meanwhile. */
static int query(struct nfnl *n, const struct want *w, struct nft_ruleset *rs, uint32_t *genid,
		 struct err *e)
{
	bool dump = w->flags & NLM_F_DUMP, done = false, torn = false;
	int r = ask(n, w, e), code = 0;

	while (!r && !done) {
		ssize_t got = recv(n->fd, n->in, sizeof(n->in), MSG_TRUNC);
		const struct nlmsghdr *nlh = (const void *)n->in;
		int left = (int)got;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_sys(e, -errno, "nftables dump");
		if (n->stop && *n->stop)
			return err_sys(e, -ECANCELED, "nftables dump");
		if ((size_t)got > sizeof(n->in))
			return err_set(e, -EBADMSG, "nftables answer of %zd bytes", got);
		if (!mnl_nlmsg_ok(nlh, left) || nlh->nlmsg_seq != n->seq)
			continue; /* left over from a request that failed */
		if (rs)
			r = nft_decode(rs, w->table, n->in, (size_t)got, e);
		for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
			struct nft_notice g;

			torn |= (nlh->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
			if (nlh->nlmsg_type == NLMSG_ERROR &&
			    nlh->nlmsg_len >= MNL_NLMSG_HDRLEN + sizeof(struct nlmsgerr))
				code = ((struct nlmsgerr *)mnl_nlmsg_get_payload(nlh))->error;
			else if (genid && !nft_decode_notice(nlh, nlh->nlmsg_len, &g, e))
				*genid = 0;
			else if (genid)
				*genid = g.genid;
			done |= nlh->nlmsg_type == NLMSG_ERROR || nlh->nlmsg_type == NLMSG_DONE ||
				!dump;
		}
	}
	n->seq++;
	if (r)
		return r;
	if (torn)
		return -EAGAIN;
	if (code == -ENOENT)
		return code;
	return code ? err_sys(e, code, "nftables dump") : 0;
}

static int generation(struct nfnl *n, uint32_t *genid, struct err *e)
{
	return query(n, &(struct want){ .msg = NFT_MSG_GETGEN }, NULL, genid, e);
}

/* ---- single elements */

/* Answers are queued until they are read, and so many fit into any receive buffer. */
#define KEYS_AT_ONCE 32
#define KEY_ROOM     (MNL_NLMSG_HDRLEN + 32 + 2 * (NFT_NAME_MAXLEN + 8) + NFT_KEY_MAX)

static size_t put_key(char *mem, const struct want *w, const uint8_t *key, size_t len, uint32_t seq)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(mem);
	struct nfgenmsg *g = mnl_nlmsg_put_extra_header(nlh, sizeof(*g));
	struct nlattr *list, *elem, *at;

	nlh->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETSETELEM;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	nlh->nlmsg_seq = seq;
	*g = (struct nfgenmsg){ .nfgen_family = w->family, .version = NFNETLINK_V0 };
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, w->table);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, w->in);
	list = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_LIST_ELEMENTS);
	elem = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);
	at = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_KEY);
	mnl_attr_put(nlh, NFTA_DATA_VALUE, len, key);
	mnl_attr_nest_end(nlh, at);
	mnl_attr_nest_end(nlh, elem);
	mnl_attr_nest_end(nlh, list);
	return MNL_ALIGN(nlh->nlmsg_len);
}

/* What was asked by the `count` messages from n->seq on; each has one answer, which is there. */
static int read_elements(struct nfnl *n, const struct want *w, uint32_t count,
			 struct nft_ruleset *rs, struct err *e)
{
	uint32_t answers = 0;
	int r = 0, code = 0;

	while (!r && answers < count) {
		ssize_t got = recv(n->fd, n->in, sizeof(n->in), MSG_DONTWAIT);
		const struct nlmsghdr *nlh = (const void *)n->in;
		int left = (int)got;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_sys(e, -errno, "nftables: asking for elements");
		for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
			if (nlh->nlmsg_seq - n->seq >= count)
				continue; /* left over from a request that failed */
			answers++;
			if (nlh->nlmsg_type == NLMSG_ERROR &&
			    nlh->nlmsg_len >= MNL_NLMSG_HDRLEN + sizeof(struct nlmsgerr) &&
			    ((struct nlmsgerr *)mnl_nlmsg_get_payload(nlh))->error != -ENOENT)
				code = ((struct nlmsgerr *)mnl_nlmsg_get_payload(nlh))->error;
		}
		r = nft_decode(rs, w->table, n->in, (size_t)got, e);
	}
	return !r && code ? err_sys(e, code, "nftables: asking for elements of %s", w->in) : r;
}

static int get_elements(struct nfnl *n, const struct want *w, const struct nft_doubt *d,
			struct nft_ruleset *rs, struct err *e)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	char mem[KEYS_AT_ONCE * KEY_ROOM] __attribute__((aligned(8)));
	int r = 0;

	for (uint32_t i = 0; i < d->n && !r;) {
		uint32_t count = 0;
		size_t size = 0;

		for (; i < d->n && count < KEYS_AT_ONCE; i++, count++)
			size += put_key(mem + size, w, d->keys + (size_t)i * d->key_len, d->key_len,
					n->seq + count);
		if (sendto(n->fd, mem, size, 0, (void *)&kernel, sizeof(kernel)) < 0)
			return err_sys(e, -errno, "nftables: asking for elements");
		r = read_elements(n, w, count, rs, e);
		n->seq += count;
	}
	return r;
}

/* ---- a table */

/* Which elements are read. */
struct which {
	bool all;
	const struct nft_doubts *doubts; /* these, and whole sets of intervals; or NULL */
};

static int read_set(struct nfnl *n, struct want *w, const struct nft_set *s,
		    const struct which *which, struct nft_ruleset *rs, struct err *e)
{
	const struct nft_doubt *d = which->doubts ? nft_doubts_of(which->doubts, s) : NULL;

	w->msg = NFT_MSG_GETSETELEM;
	w->in = s->name;
	if (which->all ||
	    (which->doubts && s->flags & NFT_SET_INTERVAL && !(s->flags & NFT_SET_ANONYMOUS)))
		return query(n, w, rs, NULL, e);
	return d && d->key_len == s->key_len ? get_elements(n, w, d, rs, e) : 0;
}

static int dump_once(struct nfnl *n, uint8_t family, const char *table, const struct which *which,
		     struct nft_ruleset *rs, struct err *e)
{
	struct want w = { .msg = NFT_MSG_GETTABLE, .family = family, .table = table };
	const struct nft_table *t;
	int r = query(n, &w, rs, NULL, e);

	t = r ? NULL : nft_table_get(rs, family, table);
	if (!t)
		return r == -ENOENT ? 0 : r;
	w.flags = NLM_F_DUMP;
	w.msg = NFT_MSG_GETSET;
	r = query(n, &w, rs, NULL, e);
	w.msg = NFT_MSG_GETCHAIN;
	if (!r)
		r = query(n, &w, rs, NULL, e);
	for (uint32_t i = 0; !r && i < t->n_sets; i++)
		r = read_set(n, &w, t->sets[i], which, rs, e);
	w.msg = NFT_MSG_GETRULE;
	w.in = NULL;
	if (!r)
		r = query(n, &w, rs, NULL, e);
	return r == -ENOENT ? -EAGAIN : r; /* it went away while we read it */
}

static int read_table(struct nfnl *n, uint8_t family, const char *table, const struct which *which,
		      struct nft_ruleset *rs, struct err *e)
{
	uint32_t had = rs->n;

	if (nft_table_get(rs, family, table))
		return err_set(e, -EEXIST, "table %s was read already", table);
	for (int i = 0; i < DUMP_TRIES; i++) {
		uint32_t before = 0, after = 0;
		int r = generation(n, &before, e);

		if (!r)
			r = dump_once(n, family, table, which, rs, e);
		if (!r)
			r = generation(n, &after, e);
		if (r && r != -EAGAIN)
			return r;
		if (!r && before == after && (!nft_decode_done(rs) || i == DUMP_TRIES - 1))
			return 0;
		rs->n = had;
	}
	return err_set(e, -EAGAIN, "nftables: table %s does not stand still", table);
}

int nfnl_dump(struct nfnl *n, uint8_t family, const char *table, bool elements,
	      struct nft_ruleset *rs, struct err *e)
{
	return read_table(n, family, table, &(struct which){ .all = elements }, rs, e);
}

int nfnl_dump_chain(struct nfnl *n, uint8_t family, const char *table, const char *chain,
		    struct nft_chain **out, struct arena *a, struct err *e)
{
	const struct want w = { NFT_MSG_GETRULE, NLM_F_DUMP, family, table, chain };
	int r = -EAGAIN;

	for (int i = 0; i < DUMP_TRIES && r == -EAGAIN; i++) {
		struct nft_ruleset rs;
		struct nft_chain *c;

		nft_ruleset_init(&rs, a);
		c = nft_chain_add(nft_table_add(&rs, family, table), chain);
		r = c ? query(n, &w, &rs, NULL, e) : err_set(e, -ENOMEM, "no memory");
		if (r == -ENOENT)
			r = 0;
		if (!r)
			*out = c;
	}
	return r == -EAGAIN ? err_set(e, r, "nftables: chain %s does not stand still", chain) : r;
}

int nfnl_look(struct nfnl *n, uint8_t family, const char *table, const struct nft_doubts *doubts,
	      struct nft_ruleset *rs, struct err *e)
{
	return read_table(n, family, table, &(struct which){ .doubts = doubts }, rs, e);
}

int nfnl_set(struct nfnl *n, uint8_t family, const char *table, const char *set,
	     struct nft_ruleset *rs, struct err *e)
{
	struct want w = { .msg = NFT_MSG_GETSET, .family = family, .table = table, .in = set };
	int r = query(n, &w, rs, NULL, e);

	w.msg = NFT_MSG_GETSETELEM;
	w.flags = NLM_F_DUMP;
	if (!r)
		r = query(n, &w, rs, NULL, e);
	return r == -EAGAIN ? 0 : r;
}
