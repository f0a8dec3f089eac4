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
