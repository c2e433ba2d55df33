/* SPDX-License-Identifier: Apache-2.0 */
/* What a service says to the manager that started it: sd_notify(3) without its library. */
#pragma once
#include "base/err.h"

/* Sends lines of NAME=VALUE as one datagram to the socket that NOTIFY_SOCKET names; does nothing
 * where it names none. Waits at most a second for room in its queue. */
int notify_send(const char *lines, struct err *e);
