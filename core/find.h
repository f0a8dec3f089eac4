/*
 * Looking for a prediction whose create had no answer, in the provider's list.
 */
#ifndef GENGATE_CORE_FIND_H
#define GENGATE_CORE_FIND_H

#include "core/service.h"

/* Which predictions to list: when they were created, by the provider's clock. */
struct find_window {
	int64_t after_us, before_us;
};

/*
 * Where creates can be that were sent between sent_age_ms and unsure_age_ms ago,
 * by a clock that says now_us, with a margin on both sides.  unsure_age_ms
 * negative: the last one's end is not known.
 */
struct find_window find_window(int64_t now_us, int64_t sent_age_ms, int64_t unsure_age_ms,
	int64_t margin_us);
bool find_window_covers(const struct find_window *listed, const struct find_window *needed);

/* Is an input that a provider tells the one that we sent?  It may have more members,
 * and numbers in another form; what was sent inline it may tell otherwise. */
bool find_same_input(const json_t *told, const json_t *sent);

/* Does some text in it have this one inside? */
bool find_mentions(const json_t *told, const char *text);

/* Whose does a webhook's URL, as a provider echoes it, say that a prediction is? */
enum naming {
	NAMES_THIS_JOB,
	NAMES_ANOTHER,		/* another job of ours, or nothing of ours */
	NAMES_NOBODY,		/* there is no URL */
	NAMES_UNREADABLY,	/* ours, and sealed by a key that we do not have */
};

enum naming find_naming(const struct service *svc, const char *webhook_url,
	const struct uuid *owner, const struct uuid *job);

/* The step of a job in `uncertain`. */
void find_step(struct service *svc, struct job *job);

#endif
