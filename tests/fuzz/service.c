#include "config.h"

#include "tests/fuzz/service.h"

#include <fcntl.h>

#include "base/log.h"
#include "base/metrics.h"
#include "cli/app.h"
#include "tests/fuzz/fuzz.h"

/* Neither socket nor folder is ever there, and to find that out takes no time. */
#define NO_DATABASE "GENGATE_DATABASE_URL=postgresql:///none?host=/proc/self/nowhere"

static const char models[] = "{\"m\":{\"limits\":{\"count\":4,\"inputs\":2},\"on\":{\"replicate\":"
	"{\"model\":\"owner/name\",\"input\":{\"prompt\":\"$prompt\",\"n\":\"$count\"}}}}}";

static struct service *
make(const char *auth)
{
	char auth_is[64], storage_is[64];
	const char *const env[] = {
		auth_is, storage_is, NO_DATABASE, "GENGATE_PUBLIC_URL=http://127.0.0.1:8080",
		"GENGATE_SECRET_KEY=a secret key of the fuzz targets", "GENGATE_DEFAULT_MODEL=m",
		"GENGATE_REPLICATE_TOKEN=t0k3n", "GENGATE_REPLICATE_WEBHOOK_SECRET=whsec_MDEyMzQ1Njc4OWFiY2RlZg==",
		"GENGATE_STORAGE_DIR=/proc/self/nowhere", "GENGATE_STORAGE_INPUT_DIR=/proc/self/nowhere-either",
		"GENGATE_SUPABASE_INPUT_BUCKET=inputs", "GENGATE_SUPABASE_URL=https://project.supabase.co",
		"GENGATE_SUPABASE_KEY=sb_secret_x", "GENGATE_DB_POOL=1", "GENGATE_CORS_ORIGINS=https://page.example",
		"GENGATE_SUPABASE_JWT_SECRET=a secret of the fuzz targets, 40 bytes..", NULL,
	};
	struct app *app = app_new();
	struct buf mistakes = BUF_INIT(65536);
	struct service_parts parts;
	struct service *svc = NULL;

	MUST(app);
	snprintf(auth_is, sizeof auth_is, "GENGATE_AUTH=%s", auth);
	snprintf(storage_is, sizeof storage_is, "GENGATE_STORAGE=%s", strcmp(auth, "server") == 0 ? "local" : "supabase");
	if (cfg_load(&app->cfg, NULL, (char *const *)env, &mistakes, NULL))
		fuzz_fail(__FILE__, __LINE__, buf_str(&mistakes));
	mem_free(app->core.models_file);
	app->core.models_file = mem_strdup(file_of(models, sizeof models - 1));
	parts = app_parts(app);
	parts.lazy_http = true;
	MUST(service_new(&parts, &svc, NULL) == ERR_OK);
	buf_clear(&mistakes);
	return svc;
}

struct service *
fuzz_service(const char *auth)
{
	static const char *const kinds[] = { "server", "none", "supabase" };
	static struct service *made[sizeof kinds / sizeof *kinds];

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (strcmp(auth, kinds[i]) == 0) {
			if (!made[i]) {
				log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
				metrics_init("fuzz");
				made[i] = make(auth);
			}
			return made[i];
		}
	return NULL;
}
