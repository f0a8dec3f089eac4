/*
 * What the operator decides about the service.
 */
#ifndef GENGATE_CORE_SETTINGS_H
#define GENGATE_CORE_SETTINGS_H

#include "base/cfg.h"

enum auth_kind { AUTH_SERVER, AUTH_NONE, AUTH_SUPABASE };
enum outputs { OUTPUTS_PUBLIC, OUTPUTS_PRIVATE };
enum storage_kind { STORAGE_LOCAL, STORAGE_SUPABASE };	/* indexes of storages[] */

struct settings {
	char *public_url;
	char *secret_key;
	int auth;
	char *auth_param;
	char *provider;
	char *models_file;
	char *default_model;
	int storage;
	int outputs;
	uint64_t signed_url_life_ms;
	char *output_hosts;
	char *ca_file;
	char *cors_origins;
	uint64_t slots_per_user;
	uint64_t workers;
	uint64_t lasting_creates;
	uint64_t pollers;
	uint64_t job_timeout_ms;
	uint64_t poll_interval_ms;
	uint64_t lease_ms;
	uint64_t uncertain_grace_ms;
	uint64_t max_output_bytes;
	uint64_t output_timeout_ms;
	uint64_t max_input_bytes;
	uint64_t max_inputs_bytes;
	char *spool_dir;
	uint64_t spool_bytes;
	uint64_t spool_requests;
	uint64_t spool_per_user;
	uint64_t retain_jobs_ms;	/* 0: for ever */
	uint64_t retain_events_ms;	/* the same */
	bool retain_files;
};

extern const struct cfg_row core_options[];

/* Combinations that no row shows alone. */
void settings_check(const struct settings *settings, struct buf *mistakes);

#endif
