/* The commands, one file each.  argv[0] is the command's own name; each returns
 * the exit status. */
#ifndef GENGATE_CLI_COMMANDS_H
#define GENGATE_CLI_COMMANDS_H

int cmd_serve(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_migrate(int argc, char **argv);
int cmd_models(int argc, char **argv);
int cmd_provider(int argc, char **argv);
int cmd_work(int argc, char **argv);
int cmd_jobs(int argc, char **argv);

/* Answer the one CGI request of this process. */
int cmd_cgi(void);

#endif
