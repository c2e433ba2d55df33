/* SPDX-License-Identifier: Apache-2.0 */
/* NetworkPolicy on this node: what the store and the address book say goes into the index of what
 * is enforced here (core/policy/index.h), and what that changes goes into the kernel
 * (core/nft/policies.h), in one batch when a change of the store is whole.
 *
 * A pod is closed before it can be reached: ADD tells its addresses here, and has its policies in
 * the kernel, before it makes the pod's link; DEL takes them out when its routes are gone. Its
 * addresses are those of the book, so that nobody waits for its status; a pod is who ADD said it
 * is, and containers without a Pod, or wired by others (fairlead-ipam), are none to policies.
 *
 * The node's own DNS is like a pod that is always there (core/policy/answerer.h): packets to it pass input and
 * are untracked, so no connection of it is ever judged again.
 *
 * ADD starts none without its Pod. Who runs on without one, as it was deleted by force, is closed where a policy of its namespace
 * isolates anybody ("its Pod is not in the store"), and nobody to others' policies.
 *
 * A kernel whose rules are gone as this process starts gets them back before anybody says which policies there are: until
 * then what lives goes on, and nothing begins at its pods, in either direction ("policies not known yet").
 *
 * A kernel that had policies before this process keeps them as they are until the store was heard
 * (agent_nft_adopt()). A pod that starts by then is isolated, and let in by others, as what watch kept of the store says: that may
 * be older than they are, so nothing else of them changes. */
#pragma once
#include "core/nft/policies.h"
#include "daemon/agent.h"

struct ipam_attachment;

int agent_policy_open(struct agent *a, struct err *e);
void agent_policy_close(struct agent *a);

/* The kernel's rules are gone, and everything is about to be loaded: as long as nobody said which policies there are, with each pod
 * that is wired closed. */
int agent_policy_close_pods(struct agent *a, struct err *e);

/* A Namespace, a Pod, a NetworkPolicy, a Service or a WorkloadEndpoint. */
void agent_policy_changed(struct agent *a, const struct object *old, const struct object *now);
/* The change is whole: it goes to the kernel before this returns. */
void agent_policy_synced(struct agent *a);

/* Before anything of it is reachable; nothing of it is left when this fails. */
int agent_policy_pod_add(struct agent *a, const struct ipam_attachment *at, struct err *e);
/* It was wired by an earlier run. */
void agent_policy_expect(struct agent *a, const struct ipam_attachment *at);
/* Nothing of it is reachable any more. */
void agent_policy_pod_del(struct agent *a, const struct ipam_attachment *at);

struct policy_index *agent_policy_index(const struct agent *a);
/* What every audit renders. */
struct nft_policies *agent_policy_rules(const struct agent *a);
