/*
 * What is made of the good answers and webhooks of a suite: cut off, with members of
 * every other type, under every HTTP status, forged, stale and sent again.
 */
#ifndef GENGATE_TESTS_CONFORMANCE_HOSTILE_H
#define GENGATE_TESTS_CONFORMANCE_HOSTILE_H

#include "tests/conformance/cases.h"

/* Every beginning of an answer is one that cannot be read. */
void answers_that_end_early(const struct suite *s);

/* Each member, however deep, absent and of every other type: no other prediction, no
 * end that nobody told, none that is gone. */
void members_may_be_anything(const struct suite *s);

/* What any HTTP status may mean and what none may, with a good body and with others. */
void any_status_with_any_body(const struct suite *s);

/* A byte of the body changed, a header changed or missing, too old, from the future,
 * before there is anything to verify by; and the same twice is the same delivery. */
void webhooks_are_forged(const struct suite *s);

/* What is in a webhook that is rightly signed. */
void webhooks_may_say_anything(const struct suite *s);
void webhooks_that_end_early(const struct suite *s);

/* What `gengate check` sends to ourselves. */
void webhooks_are_tried(const struct suite *s);

#endif
