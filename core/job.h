/*
 * The life of a job, as one pure function: where it stands and what happened
 * give where it stands next.  Everything that moves a job goes through here,
 * whichever road the news came by.
 */
#ifndef GENGATE_CORE_JOB_H
#define GENGATE_CORE_JOB_H

#include "db/jobs.h"

enum job_event_kind {
	EV_SEND,		/* a worker is about to send the create */
	EV_ACCEPTED,		/* the create's answer: obs */
	EV_REFUSED,		/* the create's answer: error */
	EV_DEFERRED,		/* nothing was sent, or the provider said "later" */
	EV_UNKNOWN,		/* sent, and no answer that could be read; or the lease ran out */
	EV_FOUND,		/* looked for and there, or a hint that proved true: obs */
	EV_NOT_THERE,		/* looked for, and surely not there; nor is the hint this
				 * job's */
	EV_OBSERVED,		/* a webhook or a poll: obs, with the prediction's id.  Before
				 * the create's outcome is known it is a hint to look at */
	EV_HEARD,		/* the same that may be old or sent by somebody again: a reason to
				 * look, and nothing else */
	EV_STORED,		/* every output is kept */
	EV_STORE_FAILED,	/* some output cannot be had any more: error */
	EV_CANCEL,		/* its owner wants it to end */
	EV_DEADLINE,		/* its time is over */
	EV_SETTLE,		/* the operator ends it here: as failed with error, else canceled */
	EV_COUNT
};

const char *job_event_name(enum job_event_kind kind);

struct job_event {
	enum job_event_kind kind;
	const char *provider;		/* who was sent to, or has said this; NULL: it is about no
					 * provider.  Borrowed */
	const struct gen_observation *obs;	/* borrowed; where the kind says so */
	enum err_code error;
	int32_t attempt;		/* of a create's outcome, found out or heard of:
					 * job->attempts when it was sent */
	const char *elsewhere;		/* which provider to try next, should nothing exist at this
					 * one; NULL: there is none */
	const char *hint;		/* EV_NOT_THERE: the one that was looked at, or NULL */
	bool force;			/* of EV_SETTLE: although what was paid for may be lost */
};

struct transition {
	bool moves;			/* false: the event changes nothing here */
	enum gen_state state;
	enum gen_status status;
	enum err_code error;		/* when it settles as failed */
	enum gen_cancel cancel;		/* newly asked for */
	bool looks;			/* it is to be asked about now */
	bool takes_prediction;		/* obs->prediction_id becomes the job's */
	bool lists_outputs;		/* obs->outputs become its assets */
	const char *provider;		/* it is sent there from now on; borrowed from event */
	const char *stray;		/* a prediction that is named and is not the job's: to
					 * be looked at, also when nothing moves.  Borrowed from
					 * job or event; NULL: none */
};

struct transition job_next(const struct job *job, const struct job_event *ev);

#endif
