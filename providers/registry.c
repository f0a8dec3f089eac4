#include "config.h"

#include "providers/provider.h"

#define PROVIDER(name) extern const struct provider provider_##name;
#include "providers/list.inc"
#undef PROVIDER

static const struct provider *const providers[] = {
#define PROVIDER(name) &provider_##name,
#include "providers/list.inc"
#undef PROVIDER
};

size_t
provider_count(void)
{
	return sizeof providers / sizeof *providers;
}

const struct provider *
provider_at(size_t i)
{
	return providers[i];
}

const struct provider *
provider_by_name(const char *name)
{
	for (size_t i = 0; i < provider_count(); i++)
		if (strcmp(providers[i]->name, name) == 0)
			return providers[i];
	return NULL;
}

void
submit_reply_clear(struct submit_reply *reply)
{
	gen_observation_clear(&reply->obs);
	mem_free(reply->message);
	memset(reply, 0, sizeof *reply);
}

void
status_reply_clear(struct status_reply *reply)
{
	gen_observation_clear(&reply->obs);
	mem_free(reply->follow);
	mem_free(reply->message);
	memset(reply, 0, sizeof *reply);
}

void
find_reply_clear(struct find_reply *reply)
{
	for (size_t i = 0; i < reply->n; i++) {
		gen_observation_clear(&reply->found[i].obs);
		json_decref(reply->found[i].input);
	}
	mem_free(reply->found);
	mem_free(reply->follow);
	mem_free(reply->message);
	memset(reply, 0, sizeof *reply);
}
