/* The log takes any text, and each event stays one line of JSON. */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include <fcntl.h>

#include "base/log.h"

#define LINE_MAX 16384

static char written[LINE_MAX * 4];

static size_t
read_back(int fd)
{
	ssize_t n = pread(fd, written, sizeof written - 1, 0);

	MUST(n > 0 && ftruncate(fd, 0) == 0);
	written[n] = '\0';
	return (size_t)n;
}

static void
look_at(size_t len, const char *key, const char *value)
{
	static const char redacted[] = "[redacted]";
	json_t *doc;
	const char *shown, *prompt;

	MUST(len <= LINE_MAX && strchr(written, '\n') == written + len - 1);
	MUST(is_utf8(written, len));
	written[len - 1] = '\0';
	MUST(!has_control(written));
	doc = json_loads(written, 0, NULL);
	MUST(json_is_object(doc) && json_is_string(json_object_get(doc, "event")));
	/* Where there is no room for all pairs none is shown. */
	prompt = json_string_value(json_object_get(doc, "prompt"));
	MUST(prompt ? strcmp(prompt, redacted) == 0 : json_object_get(doc, "pairs_left_out") != NULL);
	shown = json_string_value(json_object_get(doc, "said"));
	if (is_utf8(value, strlen(value)) && strlen(value) < 2000 && strlen(key) < 500)
		MUST(shown && strcmp(shown, value) == 0);
	json_decref(doc);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct input in = INPUT(data, size);
	char *key = input_line(&in), *value = input_rest(&in);

	fuzz_begin();
	if (fd < 0) {
		fd = open(file_of("", 0), O_RDWR | O_APPEND);
		MUST(fd >= 0);
		log_set_fd(fd);
	}
	log_event(LOG_WARN, "fuzz.said", KV_STR("prompt", value), KV_STR("said", value),
		KV_STR(key, value), KV_INT("number", size));
	/* A name may come twice: what is ours is there first, and the reader's is the last. */
	if (strcmp(key, "said") && strcmp(key, "prompt") && strcmp(key, "event"))
		look_at(read_back(fd), key, value);
	else
		(void)read_back(fd);
	mem_free(key);
	mem_free(value);
	return 0;
}
