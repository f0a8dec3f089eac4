/*
 * Plain CGI: a process for each request, its variables in the environment, its
 * body on descriptor 0, its answer on descriptor 1.
 *
 * There are no workers.  The step that is due of the job that was asked about
 * is taken by a process of its own, apart from the web server: a server ends
 * what it started soon after the answer (mod_cgid: SIGTERM at once, SIGKILL
 * after 3 s), and a create that is cut off leaves its outcome unknown.
 */
#ifndef GENGATE_FCGI_CGI_H
#define GENGATE_FCGI_CGI_H

#include "core/service.h"

/* Before anything is opened: descriptors of the web server's that came along
 * (its logs, its pipes) are closed. */
void cgi_close_inherited(void);

/*
 * Answer the one request, then see to its job's due step.  parts: what svc was
 * made from; the process that takes steps makes its own.  Descriptors 0 to 2
 * lead to /dev/null afterwards.  No other thread runs yet.
 */
void cgi_serve(struct service *svc, const struct service_parts *parts);

/* There is no service, for a reason that is in the log: answer 500. */
void cgi_refuse(void);

#endif
