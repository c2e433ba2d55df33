/* SPDX-License-Identifier: Apache-2.0 */
/* Ctrl-C in the middle of what has to be taken back: SIGINT and SIGTERM wait while it is, and take effect as soon as
 * the caller restores `old`. What is ignored stays so. */
#pragma once
#include <signal.h>
#include <stdbool.h>

void cmd_block_interrupts(sigset_t *old);
/* Does one wait? */
bool cmd_interrupted(void);
