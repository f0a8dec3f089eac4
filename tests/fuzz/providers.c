#include "config.h"

#include "tests/fuzz/providers.h"

#include "tests/fuzz/fuzz.h"

#define ENV_MAX 8
#define PROVIDERS_MAX 32

static bool
is_credential(const struct cfg_row *row)
{
	return row->flags & CFG_SECRET && !row->def;
}

/* "GENGATE_X_TOKEN=t0k3n"; a webhook's secret is one. */
static char *
credential(const struct cfg_row *row)
{
	struct buf out = BUF_INIT(500);
	char *ret, *end;

	buf_printf(&out, "GENGATE_%s=%s", row->name, strstr(row->name, "webhook") ? FUZZ_WEBHOOK_SECRET : "t0k3n");
	ret = buf_take(&out);
	MUST(ret);
	end = strchr(ret, '=');
	for (char *p = ret; p < end; p++)
		if (*p >= 'a' && *p <= 'z')
			*p = (char)(*p - 32);
	return ret;
}

static void *
set_up(size_t i)
{
	const struct provider *p = provider_at(i);
	char *env[ENV_MAX + 1] = { NULL };
	void *settings = mem_calloc(1, p->settings_size);
	size_t n = 0;

	MUST(settings);
	for (const struct cfg_row *row = p->options; row->name && n < ENV_MAX; row++)
		if (is_credential(row))
			env[n++] = credential(row);
	fill_settings(p->options, settings, (const char *const *)env);
	while (n > 0)
		mem_free(env[--n]);
	return settings;
}

const void *
fuzz_provider_settings(size_t i)
{
	static void *settings[PROVIDERS_MAX];

	MUST(i < PROVIDERS_MAX);
	if (!settings[i])
		settings[i] = set_up(i);
	return settings[i];
}
