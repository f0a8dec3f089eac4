/*
 * Named lines at which the fault tests stop or kill the process; in the
 * product there is nothing.  In the library of the tests PAUSE_POINT_FILE in
 * the environment names a file.  While that holds the name of a point and
 * STOP or KILL, the first process that comes by the point renames the file to
 * FILE.<pid>, so that it happens once, and sends itself that signal.
 */
#ifndef GENGATE_BASE_PAUSE_POINT_H
#define GENGATE_BASE_PAUSE_POINT_H

#ifdef GENGATE_TEST_HOOKS
void pause_point(const char *name);
#define PAUSE_POINT(name) pause_point(name)
#else
#define PAUSE_POINT(name) ((void)0)
#endif

#endif
