// SPDX-License-Identifier: Apache-2.0
/* tracer_bpf of a build without clang or bpftool; see tracer_state.h. */
#include "sys/tracer_state.h"

#include <errno.h>

int tracer_bpf_open(const struct tracer_opts *o, struct tracer_eye **out, struct err *e)
{
	return err_set(e, -EOPNOTSUPP, "eBPF: this build has none, which takes clang and bpftool");
}

int tracer_bpf_attach(struct tracer_eye *y, int socket, uint32_t space, struct err *e)
{
	return err_set(e, -EOPNOTSUPP, "eBPF: this build has none");
}
