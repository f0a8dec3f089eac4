#include "config.h"

#include "cli/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/resource.h>
#ifdef HAVE_SYS_PRCTL_H
#include <sys/prctl.h>
#endif

void
privileges_limit(void)
{
	/* Not 0: a core that is piped to a program (core_pattern) is not limited by
	 * that, while Linux takes 1 for "none" there; and no file is so small. */
	const struct rlimit none = { 1, 1 };

	(void)setrlimit(RLIMIT_CORE, &none);
#ifdef PR_SET_NO_NEW_PRIVS
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
#endif
}

/* Who "user" or "user:group" is. */
static enum err_code
look_up(const char *name, char **ret_user, uid_t *ret_uid, gid_t *ret_gid, struct err *err)
{
	const char *colon = strchr(name, ':');
	char *user = mem_strndup(name, colon ? (size_t)(colon - name) : strlen(name));
	const struct passwd *pw;
	const struct group *gr;

	if (!user)
		return err_set(err, ERR_NOMEM, "user");
	pw = getpwnam(user);
	gr = pw && colon ? getgrnam(colon + 1) : NULL;
	if (!pw || (colon && !gr)) {
		mem_free(user);
		return err_set(err, ERR_CONFIG, "user: there is no %s %s", pw ? "group" : "user",
			pw ? colon + 1 : name);
	}
	*ret_user = user;
	*ret_uid = pw->pw_uid;
	*ret_gid = gr ? gr->gr_gid : pw->pw_gid;
	return ERR_OK;
}

enum err_code
privileges_become(const char *name, struct err *err)
{
	char *user = NULL;
	uid_t uid = 0;
	gid_t gid = 0;
	enum err_code rc;

	if (!name)
		return ERR_OK;
	rc = look_up(name, &user, &uid, &gid, err);
	if (rc)
		return rc;
	if (geteuid() != 0) {
		if (geteuid() != uid)
			rc = err_set(err, ERR_CONFIG, "user: only root can become %s", name);
	} else if (initgroups(user, gid) || setgid(gid) || setuid(uid)) {
		rc = err_set(err, ERR_CONFIG, "user: cannot become %s: %s", name, strerror(errno));
	} else if (uid != 0 && setuid(0) == 0) {
		rc = err_set(err, ERR_INTERNAL, "user: still root after becoming %s", name);
	}
	mem_free(user);
	return rc;
}
