/*
 * Whoever manages our process: systemd, or what speaks its protocol (sd_notify(3)).
 */
#ifndef GENGATE_BASE_MANAGER_H
#define GENGATE_BASE_MANAGER_H

#include <stdint.h>

/* Our stop may take that long from now: we are not to be killed before, whatever the unit
 * says.  Without a manager that listens, nothing.  Never blocks. */
void manager_extend_stop(uint64_t ms);

#endif
