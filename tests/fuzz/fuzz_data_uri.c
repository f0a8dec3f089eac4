/* A data: URI. */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include "base/crypto.h"
#include "base/data_uri.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = INPUT(data, size);
	char *exact = copy_exactly(in.p, in.len), *text = input_rest(&in);
	struct buf bytes = BUF_INIT(1000), again = BUF_INIT(2000);
	struct err err = ERR_INIT;
	enum err_code rc = data_uri_decode(exact, size, &bytes, &err);

	fuzz_begin();
	MUST(rc == ERR_OK || rc == ERR_INVALID || rc == ERR_TOO_BIG);
	MUST_SAY(rc, &err);
	MUST((rc == ERR_TOO_BIG) == (bytes.err == ERR_TOO_BIG));
	if (!rc) {
		/* What stands behind the comma, to the last byte. */
		base64_encode(&again, buf_str(&bytes), bytes.len);
		MUST(size > again.len && exact[size - again.len - 1] == ',');
		MUST(memcmp(exact + size - again.len, buf_str(&again), again.len) == 0);
	}
	(void)is_data_uri(text);
	buf_clear(&bytes);
	buf_clear(&again);
	mem_free(exact);
	mem_free(text);
	return 0;
}
