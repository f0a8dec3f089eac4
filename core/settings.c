#include "config.h"

#include "core/settings.h"

#include <strings.h>

#include "base/token.h"
#include "base/url.h"
#include "core/origins.h"

static const char *const auths[] = { "server", "none", "supabase", NULL };
static const char *const kinds[] = { "local", "supabase", NULL };
static const char *const outputs[] = { "public", "private", NULL };

/* libfcgi counts a body by int. */
#define INPUT_SIZE_MAX 1000000000

/* Ten years. */
#define RETAIN_MAX_MS UINT64_C(315360000000)

#define AT(member) offsetof(struct settings, member)

const struct cfg_row core_options[] = {
	{ "public_url", CFG_STR, AT(public_url), .max = 1024, .flags = CFG_REQUIRED,
	  .doc = "The URL under which the world reaches this gateway, without a slash at its end: "
		"`https://app.example.com`. Webhooks come back to it, so it has to be https "
		"(or loopback, for trying things out); otherwise jobs are polled." },
	{ "secret_key", CFG_STR, AT(secret_key), .max = 4096, .flags = CFG_SECRET | CFG_REQUIRED,
	  .doc = "What seals the tokens in webhook URLs: at least 16 random characters "
		"(`openssl rand -hex 32`). Several, separated by commas, while one replaces another: "
		"the first seals, all of them open." },
	{ "auth", CFG_WORD, AT(auth), .words = auths, .flags = CFG_REQUIRED,
	  .doc = "Who says who the caller is. `supabase`: a Supabase user's token, in `Authorization: Bearer`. "
		"`server`: the web server, in a FastCGI parameter. "
		"`none`: nobody; one fixed user, and only while `public_url` is loopback." },
	{ "auth_param", CFG_STR, AT(auth_param), .def = "REMOTE_USER", .max = 128,
	  .doc = "With `auth = server`: the parameter that names the user. Names that begin with `HTTP_` "
		"are refused, since a client could send them." },
	{ "provider", CFG_STR, AT(provider), .def = "replicate", .max = 64,
	  .doc = "The provider that new jobs go to." },
	{ "models_file", CFG_STR, AT(models_file), .def = GENGATE_DATADIR "/models.json", .max = 1024,
	  .def_doc = "PREFIX/share/gengate/models.json",
	  .doc = "The model profiles." },
	{ "default_model", CFG_STR, AT(default_model), .max = 256,
	  .doc = "The profile of a request that names none." },
	{ "storage", CFG_WORD, AT(storage), .def = "supabase", .words = kinds,
	  .doc = "Where outputs are kept." },
	{ "outputs", CFG_WORD, AT(outputs), .def = "public", .words = outputs,
	  .doc = "How outputs are read: `public` ones by whoever knows their URL. "
		"`private` ones by URLs that are signed and end (`signed_url_life`); the bucket has to be private. "
		"With `local`, the web server must serve `storage_dir` by the links of `/signed/` only." },
	{ "signed_url_life", CFG_DURATION, AT(signed_url_life_ms), .def = "7d", .min = 2000, .max = UINT64_C(31536000000),
	  .doc = "With `outputs = private`: for how long a signed URL is good. A read that finds less than a "
		"quarter of it left has it signed anew." },
	{ "output_hosts", CFG_STR, AT(output_hosts), .max = 4096,
	  .doc = "More hosts that outputs may be fetched from, separated by commas: `host`, `host:port`, "
		"or `.suffix`. One that names a loopback address also allows plain http to it." },
	{ "cors_origins", CFG_STR, AT(cors_origins), .max = 4096,
	  .doc = "Whose web pages may call the users' routes, and fetch files by signed links, from a browser, separated by commas: "
		"`https://app.example.com`, `http://localhost:5173`. `*`: every page's; it still needs the user's token, "
		"for cookies and a browser's own logins are never allowed. Empty: only pages of the same origin." },
	{ "ca_file", CFG_STR, AT(ca_file), .max = 1024, .flags = CFG_RESTART,
	  .doc = "Certificates to trust for https instead of the system's." },
	{ "slots_per_user", CFG_UINT, AT(slots_per_user), .def = "1", .min = 1, .max = 100,
	  .doc = "Jobs that one user may have in flight. When it is made smaller, what is above it goes on to its end." },
	{ "workers", CFG_UINT, AT(workers), .def = "16", .min = 2, .max = 2000, .flags = CFG_RESTART,
	  .doc = "Threads that send creates and keep outputs, at most: half of them each. They are started "
		"when they are needed." },
	{ "lasting_creates", CFG_UINT, AT(lasting_creates), .def = "32", .min = 1, .max = 250, .flags = CFG_RESTART,
	  .doc = "With a provider that answers a create when the generation is over: such creates that are under "
		"way at once, at most, each on a thread of its own. More jobs wait. A stop waits until they have ended, "
		"since what they make is paid for: systemd is told to wait as long; another service manager has to be told." },
	{ "pollers", CFG_UINT, AT(pollers), .def = "250", .min = 1, .max = 1000, .flags = CFG_RESTART,
	  .doc = "Threads that ask how running jobs stand, at most, so as many at once. They are started when "
		"they are needed." },
	{ "job_timeout", CFG_DURATION, AT(job_timeout_ms), .def = "15m", .min = 5000, .max = 86400000,
	  .doc = "How long a job may take, unless its model's profile says otherwise." },
	{ "poll_interval", CFG_DURATION, AT(poll_interval_ms), .def = "2s", .min = 50, .max = 3600000,
	  .doc = "The first pause between two looks at a running job. It grows, and is five times as long "
		"where webhooks are expected." },
	{ "lease", CFG_DURATION, AT(lease_ms), .def = "90s", .min = 2000, .max = 3600000,
	  .doc = "For how long a worker has a job to itself. A create call may take half of it; one that is "
		"answered when the generation is over as long as the provider's own row says." },
	{ "uncertain_grace", CFG_DURATION, AT(uncertain_grace_ms), .def = "60s", .min = 0, .max = 3600000,
	  .doc = "A create whose answer was lost is looked for in the provider's list. One that is not on a "
		"complete list this long after it can last have been sent does not exist, and is sent again. "
		"Longer than the provider's list lags behind, or jobs are paid for twice. With another token or API address "
		"than it was sent with nobody can tell: such a job ends `outcome_unknown` unless it is found." },
	{ "max_output_bytes", CFG_SIZE, AT(max_output_bytes), .def = "500MB", .min = 1000,
	  .doc = "The largest output that is kept." },
	{ "output_timeout", CFG_DURATION, AT(output_timeout_ms), .def = "15m", .min = 1000, .max = 3600000,
	  .doc = "How long fetching an output may take, at one try. One that stands still for a minute ends, too." },
	{ "max_input_bytes", CFG_SIZE, AT(max_input_bytes), .def = "10MB", .min = 1000, .max = INPUT_SIZE_MAX,
	  .doc = "The largest file that is taken as an input." },
	{ "max_inputs_bytes", CFG_SIZE, AT(max_inputs_bytes), .def = "20MB", .min = 1000, .max = INPUT_SIZE_MAX,
	  .doc = "How large the inputs of one request may be together. The web server's own limit for `/generate` has to be "
		"larger by a third, since `data:` URIs are (`client_max_body_size` in nginx)." },
	{ "spool_dir", CFG_STR, AT(spool_dir), .max = 1024,
	  .def_doc = "`TMPDIR`, or `/tmp`",
	  .doc = "The folder for inputs on their way into the storage, as files without a name." },
	{ "spool_bytes", CFG_SIZE, AT(spool_bytes), .def = "1GB", .min = 1000,
	  .doc = "How much may be on its way into the storage at once, in each process. More is answered 503." },
	{ "spool_requests", CFG_UINT, AT(spool_requests), .def = "64", .min = 1, .max = 10000,
	  .doc = "And how many requests." },
	{ "spool_per_user", CFG_UINT, AT(spool_per_user), .def = "4", .min = 1, .max = 10000,
	  .doc = "How many of these may be one user's, so that a few users do not keep all others from it. One more is "
		"answered 429." },
	{ "retain_jobs", CFG_DURATION, AT(retain_jobs_ms), .def = "0", .max = RETAIN_MAX_MS,
	  .doc = "For how long a job is kept after it has ended, with its outputs' rows and its trail. `0`: for ever. "
		"Its idempotency key lives as long as it does." },
	{ "retain_events", CFG_DURATION, AT(retain_events_ms), .def = "0", .max = RETAIN_MAX_MS,
	  .doc = "For how long the trail of a job, which `gengate jobs show` prints, is kept after the job has ended; "
		"never longer than the job. `0`: as long as the job." },
	{ "retain_files", CFG_BOOL, AT(retain_files), .def = "on",
	  .doc = "Whether the files of a job that `retain_jobs` ends stay in the storage. `off`: they are removed "
		"with it. A job that its owner deletes takes its files along in any case." },
	CFG_END
};

static void
check_public_url(const struct settings *s, struct buf *mistakes)
{
	struct url url = { .scheme = NULL };

	if (!s->public_url)
		return;
	if (url_parse(s->public_url, &url) || url.has_userinfo || strpbrk(s->public_url, "?#")) {
		cfg_mistake(mistakes, "public_url", "has to be an http or https URL without user, query and fragment");
		url_clear(&url);
		return;
	}
	if (s->public_url[strlen(s->public_url) - 1] == '/')
		cfg_mistake(mistakes, "public_url", "must not end in a slash");
	if (s->auth == AUTH_NONE && !url_host_is_loopback(url.host))
		cfg_mistake(mistakes, "auth", "none is for trying things out: it needs a public_url on loopback, not %s", url.host);
	url_clear(&url);
}

void
settings_check(const struct settings *s, struct buf *mistakes)
{
	struct keyring *keys = NULL;
	struct err err = ERR_INIT;

	check_public_url(s, mistakes);
	origins_check(s->cors_origins, mistakes);
	if (!s->provider)
		cfg_mistake(mistakes, "provider", "must not be empty");
	if (!s->models_file)
		cfg_mistake(mistakes, "models_file", "must not be empty");
	if (s->max_input_bytes > s->max_inputs_bytes)
		cfg_mistake(mistakes, "max_input_bytes", "must not be larger than max_inputs_bytes");
	if (s->auth == AUTH_SERVER && !s->auth_param)
		cfg_mistake(mistakes, "auth_param", "must not be empty with auth = server");
	if (s->secret_key && keyring_new(s->secret_key, &keys, &err))
		cfg_mistake(mistakes, "secret_key", "%s", err.text);
	keyring_free(&keys);
	if (s->auth_param && strncasecmp(s->auth_param, "HTTP_", 5) == 0)
		cfg_mistake(mistakes, "auth_param", "must not begin with HTTP_: a client could send it");
}
