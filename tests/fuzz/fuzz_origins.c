/* The list `cors_origins` on the first line, a page's origin on the second. */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include "core/origins.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = INPUT(data, size);
	char *list = input_line(&in), *origin = input_line(&in);
	struct buf mistakes = BUF_INIT(1000000), alone = BUF_INIT(65536);

	fuzz_begin();
	origins_check(list, &mistakes);
	MUST(!mistakes.err && (!mistakes.len || mistakes.p[mistakes.len - 1] == '\n'));
	if (origins_have(list, origin)) {
		MUST(strstr(list, origin));
		/* In a good list there is nothing that would not be good alone. */
		origins_check(origin, &alone);
		MUST(mistakes.len > 0 || (alone.len == 0 && !has_control(origin)));
	}
	MUST(!origins_all(list) || strchr(list, '*'));
	MUST(!origins_have(NULL, origin) && !origins_all(NULL));
	buf_clear(&alone);
	buf_clear(&mistakes);
	mem_free(origin);
	mem_free(list);
	return 0;
}
