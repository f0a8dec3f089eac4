/*
 * Requests, replies and routes.  The only file besides main.c that knows
 * libfcgi.
 */
#ifndef GENGATE_SIM_HTTP_H
#define GENGATE_SIM_HTTP_H

#include <fcgiapp.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "tests/sim/content.h"

#define SIM_MAX_BODY ((size_t)64 << 20)	/* in memory */
#define SIM_MAX_ARGS 3

struct sim;
struct wire;

struct sim_rq {
	struct sim *sim;
	char **env;			/* FastCGI parameters */
	const char *method;
	const char *path;
	const struct wire *wire;	/* the area's; may be NULL */
	struct buf subject;		/* "METHOD /path", for the switches */
	struct buf create;		/* of a create: the same with query and body */
	struct content content;		/* the body */
	char *arg[SIM_MAX_ARGS];	/* what the pattern's {} stood for */
	bool is_cancel;			/* that was not refused */
};

struct sim_reply {
	int status;
	const char *type;
	struct buf head;		/* further header lines, each with CRLF */
	struct buf body;
	struct content content;		/* [from, to) of it follows the body */
	size_t from, to;
	size_t fill;			/* so many of `filling` follow that, held nowhere */
	char filling;
	bool drop;			/* close the connection without an answer */
	bool reset;			/* the same by RST */
	long drip_ms;			/* the body takes that long */
	bool cut;			/* send half of what Content-Length says */
};

struct sim_route {
	const char *method;		/* GET also serves HEAD */
	const char *pattern;		/* below the area's prefix; {} is a segment,
					 * {*} at the end all that is left */
	void (*handle)(struct sim_rq *rq, struct sim_reply *rp);
	bool open;			/* needs no credentials */
};

struct sim_area {
	const char *prefix;
	const struct wire *wire;	/* for wire_before() and so on; else NULL */
	const struct sim_route *routes;	/* the first that fits counts */
	size_t n_routes;
	/* Credentials and the area's switches; true: rp is the answer. */
	bool (*before)(struct sim_rq *rq, const struct sim_route *route, struct sim_reply *rp);
	/* The area's switches that spoil an answer; may be NULL. */
	void (*after)(struct sim_rq *rq, struct sim_reply *rp);
	void (*not_found)(struct sim_rq *rq, struct sim_reply *rp);
	void (*too_large)(struct sim_rq *rq, struct sim_reply *rp);	/* the body; NULL: in plain text */
	bool spools;			/* bodies of any size, large ones in files */
	const struct sim_area *files;	/* a wire's: where its outputs lie, looked at first; may be NULL */
};

/* Each wire's: NAME_area in NAME.c. */
#define WIRE(name) extern const struct sim_area name##_area;
#include "tests/sim/wires.inc"
#undef WIRE

/* Accept and answer until the simulator stops.  One call per thread. */
void sim_serve(struct sim *sim, int listen_fd);

/* A FastCGI parameter; NULL when missing or empty.  Borrowed. */
const char *rq_param(const struct sim_rq *rq, const char *name);

/* A decoded member of the query; false if it is not there. */
bool rq_query(const struct sim_rq *rq, const char *name, struct buf *ret);

/* The headers X-..., by their names in lower case.  New. */
json_t *rq_x_headers(const struct sim_rq *rq);

/* The body as JSON; NULL if it is none.  New. */
json_t *rq_json(const struct sim_rq *rq);

/* Retry-After in seconds. */
void reply_retry_after(struct sim_reply *rp, long s);
void reply_header(struct sim_reply *rp, const char *name, const char *value);
void reply_json(struct sim_reply *rp, int status, json_t *json);	/* steals json */
void reply_bytes(struct sim_reply *rp, int status, const char *type,
	const void *p, size_t len);
void reply_drop(struct sim_reply *rp);

#endif
