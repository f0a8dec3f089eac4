/*
 * Whose is a prediction on the provider's list?  A webhook's address as it is echoed
 * on the first line, an input as it is told on the second, one that we sent on the third.
 */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include "core/find.h"
#include "tests/fuzz/service.h"

static const struct uuid nobody, somebody = { { 1 } };

/* A token that was sealed for one job names that job, wherever it stands. */
static void
try_naming(const struct service *svc, const char *echoed)
{
	struct buf url = BUF_INIT(65536);
	enum naming naming = find_naming(svc, echoed, &somebody, &somebody);

	MUST(naming == NAMES_ANOTHER || naming == NAMES_UNREADABLY);
	MUST(find_naming(svc, NULL, &nobody, &nobody) == NAMES_NOBODY);
	MUST(service_probe_url(svc, provider_at(0), &url, NULL) == ERR_OK);
	MUST(find_naming(svc, buf_str(&url), &nobody, &nobody) == NAMES_THIS_JOB);
	MUST(find_naming(svc, buf_str(&url), &somebody, &nobody) == NAMES_ANOTHER);
	buf_puts(&url, echoed);
	MUST(!*echoed || find_naming(svc, buf_str(&url), &nobody, &nobody) != NAMES_THIS_JOB);
	buf_clear(&url);
}

static void
try_inputs(const char *told_text, const char *sent_text)
{
	json_t *told = json_read(told_text, strlen(told_text), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	json_t *sent = json_read(sent_text, strlen(sent_text), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	json_t *more;

	if (sent)
		MUST(find_same_input(sent, sent));
	if (told && sent && find_same_input(told, sent) && json_is_object(told)) {
		/* More than was sent changes nothing. */
		more = json_copy(told);
		MUST(json_object_set_new(more, "a member that nobody sends", json_true()) == 0);
		MUST(find_same_input(more, sent));
		json_decref(more);
	}
	if (told)
		(void)find_mentions(told, sent_text);
	if (json_is_string(told))
		MUST(find_mentions(told, json_string_value(told)));
	json_decref(told);
	json_decref(sent);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = INPUT(data, size);
	char *url = input_line(&in), *told = input_line(&in), *sent = input_line(&in);

	fuzz_begin();
	try_naming(fuzz_service("none"), url);
	try_inputs(told, sent);
	mem_free(sent);
	mem_free(told);
	mem_free(url);
	return 0;
}
