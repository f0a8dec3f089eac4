/*
 * The pictures of a large JSON body, taken out of it before it is parsed: parsed, each
 * would be in memory three times over.
 */
#ifndef GENGATE_CORE_LIFT_H
#define GENGATE_CORE_LIFT_H

#include "core/intake.h"

/*
 * Long data: URIs among the `inputs` go to files of the intake, from where they are; in the
 * text, which keeps its length, a null stands for each.  *ret_files: how many, which are the
 * first nulls there.  What is not plain enough, or broken, is left for who parses it.
 * As intake_begin_file() and intake_write() otherwise.
 */
enum err_code lift_inputs(struct service *svc, struct intake *in, char *text, size_t len,
	size_t *ret_files, struct err *err) MUST_CHECK;

#endif
