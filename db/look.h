/* How the database stands, for `gengate check`. */
#ifndef GENGATE_DB_LOOK_H
#define GENGATE_DB_LOOK_H

#include "db/db.h"

struct db_look {
	char *who;		/* the role that we are */
	char *live_key;		/* generation_live's primary key: "owner_id, slot"; NULL: none */
	char *missing_rights;	/* "select on generation_jobs, ..."; NULL: none is missing */
	char *hidden_tables;	/* whose rows row level security hides from us; NULL: none */
	bool has_realtime;	/* there is a publication supabase_realtime, */
	bool in_realtime;	/* and generation_jobs is in it */
};

void db_look_clear(struct db_look *look);
enum err_code db_look(struct db *db, struct db_look *ret, struct err *err) MUST_CHECK;

/* Can every statement be prepared?  err says which is the first that cannot. */
enum err_code db_prepare_all(struct db *db, struct err *err) MUST_CHECK;

#endif
