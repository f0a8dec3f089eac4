/* The providers of the registry, as an operator has set each of them up. */
#ifndef GENGATE_TESTS_FUZZ_PROVIDERS_H
#define GENGATE_TESTS_FUZZ_PROVIDERS_H

#include "providers/adapter.h"

/* By which webhooks are verified that the operator gives a secret for. */
#define FUZZ_WEBHOOK_SECRET "whsec_MDEyMzQ1Njc4OWFiY2RlZg=="

/* Of provider_at(i), with all credentials; made once, in the process's memory for good. */
const void *fuzz_provider_settings(size_t i);

#endif
