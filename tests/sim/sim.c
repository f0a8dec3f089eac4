#include "config.h"

#include "tests/sim/sim.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/sim/pred.h"
#include "tests/sim/store.h"
#include "tests/sim/webhooks.h"

static bool
cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;
	bool ok;

	if (pthread_condattr_init(&attr) != 0)
		return false;
	ok = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 &&
	     pthread_cond_init(cond, &attr) == 0;
	pthread_condattr_destroy(&attr);
	return ok;
}

bool
sim_init(struct sim *sim)
{
	if (pthread_mutex_init(&sim->lock, NULL) != 0 ||
	    !cond_init(&sim->changed) || !cond_init(&sim->due))
		return false;
	sim->preds = preds_new();
	sim->hooks = hooks_new();
	sim->store = store_new();
	return settings_init(&sim->set) && sim->preds && sim->hooks && sim->store;
}

void
sim_clear(struct sim *sim)
{
	hooks_free(&sim->hooks);
	preds_free(&sim->preds);
	store_free(&sim->store);
	faults_clear(&sim->faults);
	settings_clear(&sim->set);
	pthread_cond_destroy(&sim->due);
	pthread_cond_destroy(&sim->changed);
	pthread_mutex_destroy(&sim->lock);
}

void
sim_reset(struct sim *sim)
{
	static const struct sim_counters zero;

	pthread_mutex_lock(&sim->lock);
	sim->generation++;
	sim->n = zero;
	memset(sim->webhooks_by_status, 0, sizeof(sim->webhooks_by_status));
	memset(sim->created_by_wire, 0, sizeof(sim->created_by_wire));
	hooks_reset(sim->hooks);
	preds_reset(sim->preds);
	store_reset(sim->store);
	faults_clear(&sim->faults);
	pthread_cond_broadcast(&sim->changed);
	pthread_cond_broadcast(&sim->due);
	pthread_mutex_unlock(&sim->lock);
}

void
sim_stop(struct sim *sim)
{
	pthread_mutex_lock(&sim->lock);
	sim->stopping = true;
	pthread_cond_broadcast(&sim->changed);
	pthread_cond_broadcast(&sim->due);
	hooks_wake(sim->hooks);
	pthread_mutex_unlock(&sim->lock);
}

void
sim_wait_until(struct sim *sim, pthread_cond_t *cond, int64_t mono_us)
{
	struct timespec ts;

	ts.tv_sec = mono_us / 1000000;
	ts.tv_nsec = mono_us % 1000000 * 1000;
	pthread_cond_timedwait(cond, &sim->lock, &ts);
}

void
sim_sleep(struct sim *sim, long ms)
{
	int64_t end = sim_mono_us() + ms * 1000;

	pthread_mutex_lock(&sim->lock);
	while (!sim->stopping && sim_mono_us() < end)
		sim_wait_until(sim, &sim->changed, end);
	pthread_mutex_unlock(&sim->lock);
}

static int64_t
clock_us(clockid_t which)
{
	struct timespec ts;

	clock_gettime(which, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t
sim_mono_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

int64_t
sim_wall_us(void)
{
	return clock_us(CLOCK_REALTIME);
}

int64_t
sim_provider_us(const struct sim *sim)
{
	return sim_wall_us() + (int64_t)sim->set.clock_offset_ms * 1000;
}

void
sim_time_text(int64_t wall_us, char out[SIM_TIME_SIZE])
{
	time_t s = wall_us / 1000000;
	struct tm tm;
	size_t n;

	gmtime_r(&s, &tm);
	n = strftime(out, SIM_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, SIM_TIME_SIZE - n, ".%06dZ", (int)(wall_us % 1000000));
}

void
sim_http_date(int64_t wall_us, char out[SIM_TIME_SIZE])
{
	time_t s = wall_us / 1000000;
	struct tm tm;

	gmtime_r(&s, &tm);
	strftime(out, SIM_TIME_SIZE, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

/* ".25" in microseconds; moves *s behind it. */
static int64_t
parse_fraction(const char **s)
{
	int64_t us = 0, unit = 100000;

	if (**s != '.')
		return 0;
	for (++*s; **s >= '0' && **s <= '9'; ++*s, unit /= 10)
		us += unit * (**s - '0');
	return us;
}

bool
sim_time_parse(const char *s, int64_t *ret_wall_us)
{
	struct tm tm = { .tm_isdst = 0 };
	int n = 0, h, m;
	int64_t us, offset_s = 0;

	if (sscanf(s, "%4d-%2d-%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &n) != 3)
		return false;
	s += n;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	if (*s) {
		n = 0;
		if (sscanf(s, "T%2d:%2d:%2d%n", &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &n) != 3)
			return false;
		s += n;
	}
	us = parse_fraction(&s);
	n = 0;
	if ((*s == '+' || *s == '-') && sscanf(s + 1, "%2d:%2d%n", &h, &m, &n) == 2) {
		offset_s = (h * 60 + m) * 60 * (*s == '-' ? -1 : 1);
		s += 1 + n;
	} else if (*s == 'Z') {
		s++;
	}
	if (*s)
		return false;
	*ret_wall_us = ((int64_t)timegm(&tm) - offset_s) * 1000000 + us;
	return true;
}

void
sim_new_id(char out[SIM_ID_SIZE])
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	unsigned char r[SIM_ID_SIZE - 1];

	RAND_bytes(r, sizeof(r));
	for (size_t i = 0; i < sizeof(r); i++)
		out[i] = alphabet[r[i] % 36];
	out[SIM_ID_SIZE - 1] = '\0';
}

void
sim_new_uuid(char out[SIM_UUID_SIZE])
{
	unsigned char r[16];

	RAND_bytes(r, sizeof(r));
	r[6] = (unsigned char)((r[6] & 0x0f) | 0x40);
	r[8] = (unsigned char)((r[8] & 0x3f) | 0x80);
	snprintf(out, SIM_UUID_SIZE,
		"%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
		r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7],
		r[8], r[9], r[10], r[11], r[12], r[13], r[14], r[15]);
}

void
sim_base64(struct buf *out, const void *p, size_t len)
{
	char *to = buf_reserve(out, (len + 2) / 3 * 4 + 1);

	if (to)
		out->len += (size_t)EVP_EncodeBlock((unsigned char *)to, p, (int)len);
}

void
sim_base64url(struct buf *out, const void *p, size_t len)
{
	size_t at = out->len;

	sim_base64(out, p, len);
	for (; at < out->len; at++) {
		if (out->p[at] == '+')
			out->p[at] = '-';
		else if (out->p[at] == '/')
			out->p[at] = '_';
		else if (out->p[at] == '=')
			out->len = at;
	}
	if (out->p)
		out->p[out->len] = '\0';
}

bool
sim_base64_decode(const char *s, struct buf *out)
{
	size_t len = strlen(s);
	char *to = buf_reserve(out, len / 4 * 3 + 1);
	int n;

	if (!to || len == 0 || len % 4)
		return false;
	n = EVP_DecodeBlock((unsigned char *)to, (const unsigned char *)s, (int)len);
	if (n < 0)
		return false;
	/* EVP_DecodeBlock() counts the padding as zero bytes. */
	out->len += (size_t)n - (s[len - 1] == '=') - (s[len - 2] == '=');
	return true;
}

void
sim_hex(const void *p, size_t len, struct buf *out)
{
	for (size_t i = 0; i < len; i++)
		buf_printf(out, "%02x", ((const unsigned char *)p)[i]);
}

void
sim_digest_hex(const char *algorithm, const void *p, size_t len, struct buf *out)
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned int n = 0;

	if (EVP_Digest(p ? p : "", len, md, &n, EVP_get_digestbyname(algorithm), NULL) == 1)
		sim_hex(md, n, out);
}

bool
sim_hmac_sha256(const void *key, size_t key_len, const void *p, size_t len, uint8_t out[32])
{
	unsigned int n = 0;

	return HMAC(EVP_sha256(), key, (int)key_len, p, len, out, &n) && n == 32;
}

bool
sim_same(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

json_t *
sim_json_text(const char *s)
{
	return s ? json_string(s) : json_null();
}

static int
dump_to_buf(const char *p, size_t len, void *out)
{
	buf_put(out, p, len);
	return 0;
}

void
sim_dump(struct buf *out, const json_t *json)
{
	json_dump_callback(json, dump_to_buf, out, JSON_COMPACT | JSON_ENCODE_ANY);
}
