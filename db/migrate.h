/*
 * The schema: numbered files, each applied once, in a transaction, under an
 * advisory lock, remembered with its checksum.
 */
#ifndef GENGATE_DB_MIGRATE_H
#define GENGATE_DB_MIGRATE_H

#include "db/db.h"

/* The number of the newest migration that this program carries. */
int migration_newest(void);

/*
 * Apply what is missing.  *ret_applied: how many were.  Safe to run twice and
 * from several places at once.
 * ERR_CONFIG: an applied migration is not the one that this program carries,
 * or the schema is newer than this program.
 */
enum err_code db_migrate(const struct db_settings *settings, int *ret_applied,
	struct err *err) MUST_CHECK;

#endif
