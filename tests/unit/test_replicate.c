#include "config.h"

#include "providers/adapter.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/crypto.h"
#include "tests/unit/adapter.h"
#include "tests/unit/unit.h"

#define N(table) (sizeof (table) / sizeof *(table))

#define TOKEN "r8_a-token-for-tests"

/* The vector that the Standard Webhooks libraries publish. */
#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define SECRET_2 "whsec_dGhlIG5leHQgc2VjcmV0IGlzIHRoaXM="
#define ID "msg_p5jXN8AQM9LWM0D4loKWxJek"
#define TIME "1614265330"
#define NOW 1614265330
#define BODY "{\"test\": 2432232314}"
#define SIGNATURE "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
#define OTHER_SIGNATURE "Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="

static struct adapter replicate;

static int
open_replicate(void **state)
{
	static const char *const env[] = {
		"GENGATE_REPLICATE_TOKEN=" TOKEN,
		"GENGATE_REPLICATE_WEBHOOK_SECRET=" SECRET, NULL
	};

	(void)state;
	adapter_open(&replicate, "replicate", env);
	return 0;
}

static int
close_replicate(void **state)
{
	(void)state;
	adapter_close(&replicate);
	return mem_outstanding() == 0 ? 0 : -1;
}

static bool
same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* ---- answers ---- */

static void
throttled_until(void **state)
{
#define DATE "date", "Mon, 23 Nov 2026 10:00:00 GMT"
	static const struct {
		const char *name;
		const char *headers[5];
		const char *body;
		uint64_t want_ms;
	} rows[] = {
		{ "seconds", { "retry-after", "7" }, "{\"retry_after\":99}", 7000 },
		{ "date", { "retry-after", "Mon, 23 Nov 2026 10:01:30 GMT", DATE }, "", 90000 },
		{ "date that has passed", { "retry-after", "Mon, 23 Nov 2026 09:59:59 GMT", DATE },
		  "{\"retry_after\":8}", 8000 },
		{ "date without a clock", { "retry-after", "Mon, 23 Nov 2026 10:01:30 GMT" },
		  "{\"retry_after\":8}", 8000 },
		{ "date, and a broken clock", { "retry-after", "Mon, 23 Nov 2026 10:01:30 GMT", "date", "now" },
		  "{}", 0 },
		{ "words", { "retry-after", "soon" }, "{\"retry_after\":8}", 8000 },
		{ "negative", { "retry-after", "-5" }, "{\"retry_after\":8}", 8000 },
		{ "with a unit", { "retry-after", "5s" }, "{}", 0 },
		{ "empty", { "retry-after", "" }, "{}", 0 },
		{ "zero", { "retry-after", "0" }, "{\"retry_after\":8}", 8000 },
		{ "too long", { "retry-after", "999999999" }, "{}", 3600000 },
		{ "beyond 64 bits", { "retry-after", "99999999999999999999999" }, "{\"retry_after\":8}", 8000 },
		{ "far date", { "retry-after", "Fri, 31 Dec 9999 23:59:59 GMT", DATE }, "{}", 3600000 },
		{ "body, fraction", { NULL }, "{\"retry_after\":2.5}", 2500 },
		{ "body, text", { NULL }, "{\"retry_after\":\"8\",\"detail\":\"resets in ~30s.\"}", 30000 },
		{ "body, negative", { NULL }, "{\"retry_after\":-8,\"detail\":\"resets in ~30s.\"}", 30000 },
		{ "body, too long", { NULL }, "{\"retry_after\":1e300}", 3600000 },
		{ "body, beyond int64", { NULL }, "{\"retry_after\":99999999999999999999}", 3600000 },
		{ "body, next to nothing", { NULL }, "{\"retry_after\":0.0001}", 0 },
		{ "sentence", { NULL }, "{\"detail\":\"Request was throttled. Your rate limit resets in ~30s.\"}", 30000 },
		{ "sentence, minutes", { NULL }, "{\"detail\":\"resets in ~3m.\"}", 0 },
		{ "sentence, no number", { NULL }, "{\"detail\":\"resets in ~s\"}", 0 },
		{ "sentence, ends early", { NULL }, "{\"detail\":\"resets in ~30\"}", 0 },
		{ "sentence, beyond 64 bits", { NULL }, "{\"detail\":\"~99999999999999999999999s\"}", 0 },
		{ "sentence, too long", { NULL }, "{\"detail\":\"~99999s\"}", 3600000 },
		{ "detail is a list", { NULL }, "{\"detail\":[\"~30s\"]}", 0 },
		{ "nothing said", { NULL }, "{\"detail\":\"slow down\"}", 0 },
		{ "HTML", { NULL }, "<h1>429</h1>", 0 },
		{ "no body", { NULL }, "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct http_response rs;
		struct submit_reply created;
		struct status_reply status;

		make_response(&rs, 429, rows[i].headers, rows[i].body, strlen(rows[i].body));
		ASSERT_ROW(rows[i].name, adapter_submit_reply(replicate.p, replicate.settings, &rs, &created, NULL) == ERR_OK);
		ASSERT_ROW(rows[i].name, created.outcome == SUBMIT_DEFERRED);
		ASSERT_ROW(rows[i].name, created.retry_after_ms == rows[i].want_ms);
		ASSERT_ROW(rows[i].name, adapter_look_reply(replicate.p, replicate.settings, &replicate.p->get_status, &(struct look_query){ .prediction_id = "p" }, &rs, &status, NULL) == ERR_OK);
		ASSERT_ROW(rows[i].name, status.outcome == STATUS_LATER);
		ASSERT_ROW(rows[i].name, status.retry_after_ms == rows[i].want_ms);
		submit_reply_clear(&created);
		status_reply_clear(&status);
		http_response_clear(&rs);
	}
}

/* ---- bodies ---- */

/* Deeper than any output is, and deeper than the parser goes. */
static void
outputs_do_not_nest_for_ever(void **state)
{
	static const struct { const char *name; size_t depth; enum status_outcome want; size_t n; } rows[] = {
		{ "ten deep", 10, STATUS_SEEN, 1 },
		{ "a thousand deep", 1000, STATUS_SEEN, 0 },
		{ "a hundred thousand deep", 100000, STATUS_LATER, 0 },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct buf body = BUF_INIT(1000000);
		struct http_response rs;
		struct status_reply reply;

		buf_puts(&body, "{\"id\":\"p\",\"status\":\"succeeded\",\"output\":");
		for (size_t d = 0; d < rows[i].depth; d++)
			buf_putc(&body, '[');
		buf_puts(&body, "\"https://a/b\"");
		for (size_t d = 0; d < rows[i].depth; d++)
			buf_putc(&body, ']');
		buf_putc(&body, '}');
		make_response(&rs, 200, NULL, buf_str(&body), body.len);
		ASSERT_ROW(rows[i].name, adapter_look_reply(replicate.p, replicate.settings, &replicate.p->get_status, &(struct look_query){ .prediction_id = "p" }, &rs, &reply, NULL) == ERR_OK);
		ASSERT_ROW(rows[i].name, reply.outcome == rows[i].want);
		ASSERT_ROW(rows[i].name, json_array_size(reply.obs.outputs) == rows[i].n);
		status_reply_clear(&reply);
		http_response_clear(&rs);
		buf_clear(&body);
	}
}

/* An integer of a thousand digits, and 3 MB of logs, which nobody keeps. */
static void
long_answers(void **state)
{
	struct buf body = BUF_INIT(4000000);
	struct http_response rs;
	struct status_reply reply;

	(void)state;
	buf_puts(&body, "{\"id\":\"p\",\"status\":\"succeeded\",\"seed\":");
	for (int i = 0; i < 1000; i++)
		buf_puts(&body, "7");
	buf_puts(&body, ",\"logs\":\"");
	for (int i = 0; i < 3000000 / 20; i++)
		buf_puts(&body, "step 1e999 of \\u0000\\n");
	buf_puts(&body, "\",\"output\":[\"https://a/b\"]}");
	assert_int_equal(body.err, ERR_OK);
	make_response(&rs, 200, NULL, body.p, body.len);
	assert_int_equal(adapter_look_reply(replicate.p, replicate.settings, &replicate.p->get_status, &(struct look_query){ .prediction_id = "p" }, &rs, &reply, NULL), ERR_OK);
	assert_int_equal(reply.outcome, STATUS_SEEN);
	assert_int_equal(reply.obs.status, GEN_SUCCEEDED);
	assert_int_equal(json_array_size(reply.obs.outputs), 1);
	status_reply_clear(&reply);
	http_response_clear(&rs);
	buf_clear(&body);
}

static void
long_words(void **state)
{
	struct buf body = BUF_INIT(1000000);
	struct http_response rs;
	struct status_reply reply;

	(void)state;
	buf_puts(&body, "{\"id\":\"p\",\"status\":\"failed\",\"error\":\"x");
	for (int i = 0; i < 100000; i++)
		buf_puts(&body, "\xc3\xa9");
	buf_puts(&body, "\"}");
	make_response(&rs, 200, NULL, buf_str(&body), body.len);
	assert_int_equal(adapter_look_reply(replicate.p, replicate.settings, &replicate.p->get_status, &(struct look_query){ .prediction_id = "p" }, &rs, &reply, NULL), ERR_OK);
	/* Cut, between two characters. */
	assert_int_equal(strlen(reply.obs.message), 1999);
	status_reply_clear(&reply);
	http_response_clear(&rs);

	/* An id is never cut: it would be another one. */
	buf_reset(&body);
	buf_puts(&body, "{\"status\":\"starting\",\"id\":\"");
	for (int i = 0; i < 3000; i++)
		buf_putc(&body, 'i');
	buf_puts(&body, "\"}");
	make_response(&rs, 200, NULL, buf_str(&body), body.len);
	assert_int_equal(adapter_look_reply(replicate.p, replicate.settings, &replicate.p->get_status, &(struct look_query){ .prediction_id = "p" }, &rs, &reply, NULL), ERR_OK);
	assert_int_equal(reply.outcome, STATUS_LATER);
	status_reply_clear(&reply);
	http_response_clear(&rs);
	buf_clear(&body);
}

/* ---- webhooks ---- */

/* What the sender would put there. */
static void
sign(const char *secret, const char *id, const char *timestamp, const char *body, struct buf *out)
{
	struct buf key = BUF_INIT(100), text = BUF_INIT(100000);
	uint8_t digest[SHA256_BYTES];

	assert_int_equal(base64_decode(&key, secret + 6, strlen(secret + 6)), ERR_OK);
	buf_printf(&text, "%s.%s.%s", id, timestamp, body);
	assert_int_equal(hmac_sha256(key.p, key.len, text.p, text.len, digest, NULL), ERR_OK);
	buf_reset(out);
	buf_puts(out, "v1,");
	base64_encode(out, digest, sizeof digest);
	buf_clear(&key);
	buf_clear(&text);
}

static void
signatures(void **state)
{
	static const struct {
		const char *name, *secret;
		struct headers h;
		const char *body;
		int64_t now_s;
		bool good;
	} rows[] = {
		{ "the published vector", SECRET, { ID, TIME, SIGNATURE }, BODY, NOW, true },
		{ "300 s old", SECRET, { ID, TIME, SIGNATURE }, BODY, NOW + 300, true },
		{ "301 s old", SECRET, { ID, TIME, SIGNATURE }, BODY, NOW + 301, false },
		{ "300 s ahead", SECRET, { ID, TIME, SIGNATURE }, BODY, NOW - 300, true },
		{ "301 s ahead", SECRET, { ID, TIME, SIGNATURE }, BODY, NOW - 301, false },
		{ "no prefix", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", { ID, TIME, SIGNATURE }, BODY, NOW, true },
		{ "second of two secrets", SECRET_2 "," SECRET, { ID, TIME, SIGNATURE }, BODY, NOW, true },
		{ "first of two secrets", SECRET ", " SECRET_2, { ID, TIME, SIGNATURE }, BODY, NOW, true },
		{ "after a broken one", "whsec_?," SECRET, { ID, TIME, SIGNATURE }, BODY, NOW, true },
		{ "wrong secret", SECRET_2, { ID, TIME, SIGNATURE }, BODY, NOW, false },
		{ "empty key", "whsec_", { ID, TIME, SIGNATURE }, BODY, NOW, false },
		{ "no key at all", "whsec_,whsec_,,", { ID, TIME, SIGNATURE }, BODY, NOW, false },
		{ "no base64", "invalid_secret_format", { ID, TIME, SIGNATURE }, BODY, NOW, false },
		{ "several signatures, the third", SECRET,
		  { ID, TIME, "v1," OTHER_SIGNATURE " v2," OTHER_SIGNATURE " " SIGNATURE " v1," OTHER_SIGNATURE },
		  BODY, NOW, true },
		{ "blanks around", SECRET, { ID, TIME, "  " SIGNATURE "  " }, BODY, NOW, true },
		{ "several, none", SECRET, { ID, TIME, "v1," OTHER_SIGNATURE " v1," OTHER_SIGNATURE }, BODY, NOW, false },
		{ "v1a", SECRET, { ID, TIME, "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" }, BODY, NOW, false },
		{ "v2", SECRET, { ID, TIME, "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" }, BODY, NOW, false },
		{ "V1", SECRET, { ID, TIME, "V1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" }, BODY, NOW, false },
		{ "no version", SECRET, { ID, TIME, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" }, BODY, NOW, false },
		{ "no padding", SECRET, { ID, TIME, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE" }, BODY, NOW, false },
		{ "longer", SECRET, { ID, TIME, SIGNATURE "=" }, BODY, NOW, false },
		{ "words", SECRET, { ID, TIME, "v1,invalid_signature" }, BODY, NOW, false },
		{ "version alone", SECRET, { ID, TIME, "v1," }, BODY, NOW, false },
		{ "empty signature", SECRET, { ID, TIME, "" }, BODY, NOW, false },
		{ "commas", SECRET, { ID, TIME, ",,, , v1,,," }, BODY, NOW, false },
		{ "no signature", SECRET, { ID, TIME, NULL }, BODY, NOW, false },
		{ "no id", SECRET, { NULL, TIME, SIGNATURE }, BODY, NOW, false },
		{ "empty id", SECRET, { "", TIME, SIGNATURE }, BODY, NOW, false },
		{ "another id", SECRET, { "msg_q5jXN8AQM9LWM0D4loKWxJek", TIME, SIGNATURE }, BODY, NOW, false },
		{ "no time", SECRET, { ID, NULL, SIGNATURE }, BODY, NOW, false },
		{ "empty time", SECRET, { ID, "", SIGNATURE }, BODY, NOW, false },
		{ "another time", SECRET, { ID, "1614265331", SIGNATURE }, BODY, NOW, false },
		{ "time with a fraction", SECRET, { ID, "1614265330.0", SIGNATURE }, BODY, NOW, false },
		{ "time with a sign", SECRET, { ID, "+1614265330", SIGNATURE }, BODY, NOW, false },
		{ "time with a blank", SECRET, { ID, " 1614265330", SIGNATURE }, BODY, NOW, false },
		{ "negative time", SECRET, { ID, "-1", SIGNATURE }, BODY, NOW, false },
		{ "time zero", SECRET, { ID, "0", SIGNATURE }, BODY, NOW, false },
		{ "the last time", SECRET, { ID, "9223372036854775807", SIGNATURE }, BODY, NOW, false },
		{ "beyond the last time", SECRET, { ID, "18446744073709551616", SIGNATURE }, BODY, NOW, false },
		{ "many zeros before the time", SECRET,
		  { ID, "00000000000000000000000000000000000000000000000000000000000000000000000000000000"
			"00000000000000000000000000000000000000000000000000000000000000000000000000000000"
			"00000000000000000000000000000000000000000000000000000000000000000000000000000000"
			"00000000000000000000000000000000000000000000000000000000000000000000000000000000"
			TIME, SIGNATURE }, BODY, NOW, false },
		{ "empty body", SECRET, { ID, TIME, SIGNATURE }, "", NOW, false },
		{ "another body", SECRET, { ID, TIME, SIGNATURE }, "{\"test\": 2432232315}", NOW, false },
		{ "another form of the body", SECRET, { ID, TIME, SIGNATURE }, "{\"test\":2432232314}", NOW, false },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		char secret[200];
		const char *env[] = { "GENGATE_REPLICATE_TOKEN=x", secret, NULL };
		struct err err = ERR_INIT;
		char *delivery = NULL;
		struct adapter a;
		enum err_code rc;

		snprintf(secret, sizeof secret, "GENGATE_REPLICATE_WEBHOOK_SECRET=%s", rows[i].secret);
		adapter_open(&a, "replicate", env);
		rc = verify(&a, &rows[i].h, rows[i].body, strlen(rows[i].body), rows[i].now_s, &delivery, &err);
		if (rc != (rows[i].good ? ERR_OK : ERR_SIGNATURE))
			fail_msg("%s: %s: %s", rows[i].name, err_name(rc), err.text);
		ASSERT_ROW(rows[i].name, same(delivery, rows[i].good ? ID : NULL));
		ASSERT_ROW(rows[i].name, !strstr(err.text, "MfKQ9r8"));
		mem_free(delivery);
		adapter_close(&a);
	}
}

/* Rightly signed, all of them. */
static void
ids_have_a_limit(void **state)
{
	static const struct { const char *name; size_t len; bool good; } rows[] = {
		{ "one character", 1, true }, { "256", 256, true }, { "257", 257, false }, { "huge", 60000, false },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct buf id = BUF_INIT(100000), signature = BUF_INIT(100);
		struct headers h;
		char *delivery = NULL;
		enum err_code rc;

		for (size_t n = 0; n < rows[i].len; n++)
			buf_putc(&id, 'i');
		sign(SECRET, buf_str(&id), TIME, BODY, &signature);
		h = (struct headers){ buf_str(&id), TIME, buf_str(&signature) };
		rc = verify(&replicate, &h, BODY, strlen(BODY), NOW, &delivery, NULL);
		ASSERT_ROW(rows[i].name, rc == (rows[i].good ? ERR_OK : ERR_SIGNATURE));
		ASSERT_ROW(rows[i].name, same(delivery, rows[i].good ? buf_str(&id) : NULL));
		mem_free(delivery);
		buf_clear(&id);
		buf_clear(&signature);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(long_answers),
		cmocka_unit_test(throttled_until),
		cmocka_unit_test(outputs_do_not_nest_for_ever),
		cmocka_unit_test(long_words),
		cmocka_unit_test(signatures),
		cmocka_unit_test(ids_have_a_limit),
	};

	return cmocka_run_group_tests_name("replicate", tests, open_replicate, close_replicate);
}
