-- The first tables.  Everything lives in schema public, so that a Supabase
-- project's own tools (PostgREST, Realtime) can show an owner their jobs.
-- Every key begins with owner_id: request paths touch one owner's rows only.

-- The record that its owner may see.  It is written when the public status
-- changes, never for inner work: see generation_live.
-- request and metadata come back as they were sent, so they are json: jsonb
-- writes 1e30 out as an integer, which most readers then refuse.
create table public.generation_jobs (
	owner_id        uuid        not null,
	id              uuid        not null,
	status          text        not null default 'starting',
	version         integer     not null default 1,
	model           text        not null,
	provider        text        not null,
	request         json        not null,
	metadata        json,
	idempotency_key text,
	fingerprint     bytea       not null,
	error_code      text,
	created_at      timestamptz not null default now(),
	started_at      timestamptz,
	completed_at    timestamptz,
	deadline_at     timestamptz not null,
	constraint generation_jobs_pkey primary key (owner_id, id),
	constraint generation_jobs_status check (status in
		('starting', 'processing', 'succeeded', 'failed', 'canceled')),
	constraint generation_jobs_completed check
		((status in ('succeeded', 'failed', 'canceled')) = (completed_at is not null)),
	constraint generation_jobs_error check ((status = 'failed') = (error_code is not null)),
	constraint generation_jobs_key_length check
		(idempotency_key is null or length(idempotency_key) between 1 and 255),
	constraint generation_jobs_fingerprint check (octet_length(fingerprint) = 32)
);

create unique index generation_jobs_idempotency
	on public.generation_jobs (owner_id, idempotency_key)
	where idempotency_key is not null;

-- What is in flight: one narrow row per live job, deleted when it settles.
-- Its primary key is the rule "so many jobs in flight per user".
create table public.generation_live (
	owner_id        uuid        not null,
	slot            smallint    not null,
	job_id          uuid        not null,
	state           text        not null default 'queued',
	version         integer     not null default 1,
	moved_by        bigint,
	due_at          timestamptz not null default now(),
	lease_until     timestamptz,
	attempts        integer     not null default 0,
	prediction_id   text,
	cancel_asked_at timestamptz,
	cancel_reason   text,
	deadline_at     timestamptz not null,
	constraint generation_live_pkey primary key (owner_id, slot),
	constraint generation_live_job unique (owner_id, job_id),
	constraint generation_live_slot check (slot >= 0),
	constraint generation_live_state check (state in
		('queued', 'submitting', 'uncertain', 'running', 'storing')),
	constraint generation_live_running check
		(state not in ('running', 'storing') or prediction_id is not null),
	constraint generation_live_cancel check
		(cancel_reason is null or cancel_reason in ('user', 'deadline'))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);

-- Claiming writes lease_until, which no index holds, so that it stays a HOT update.
create index generation_live_due on public.generation_live (due_at);

-- A job's outputs: listed when the provider has succeeded, then kept one by one.
create table public.generation_assets (
	owner_id     uuid     not null,
	job_id       uuid     not null,
	index        smallint not null,
	source_url   text     not null,
	storage_key  text,
	content_type text,
	bytes        bigint,
	width        integer,
	height       integer,
	sha256       bytea,
	error_code   text,
	stored_at    timestamptz,
	signed_url   text,			-- of a private one, as the storage gave it last
	signed_until timestamptz,
	constraint generation_assets_pkey primary key (owner_id, job_id, index),
	constraint generation_assets_job foreign key (owner_id, job_id)
		references public.generation_jobs (owner_id, id) on delete cascade,
	constraint generation_assets_stored check ((stored_at is null) or
		(storage_key is not null and content_type is not null
			and bytes is not null and sha256 is not null)),
	constraint generation_assets_one_end check (stored_at is null or error_code is null)
);

-- The trail: what happened to a job, and what came from outside.
create table public.generation_events (
	owner_id   uuid        not null,
	job_id     uuid        not null,
	id         bigint      generated always as identity,
	at         timestamptz not null default clock_timestamp(),
	event      text        not null,
	state_from text,
	state_to   text,
	delivery   text,		-- the webhook's own id: it is sent more than once
	detail     jsonb,
	constraint generation_events_pkey primary key (owner_id, job_id, id)
);

create unique index generation_events_delivery
	on public.generation_events (owner_id, job_id, delivery)
	where delivery is not null;

-- Files of jobs that were deleted: to be removed from the storage.  The job's own
-- rows are gone when this one is committed.
create table public.generation_removals (
	owner_id    uuid        not null,
	job_id      uuid        not null,
	keys        jsonb       not null,		-- an array of storage keys
	due_at      timestamptz not null default now(),
	lease_until timestamptz,
	attempts    integer     not null default 0,
	constraint generation_removals_pkey primary key (owner_id, job_id)
);

create index generation_removals_due on public.generation_removals (due_at);

-- What several processes share and nobody owns: paused providers, fetched keys.
create table public.generation_shared (
	name       text        not null,
	value      jsonb       not null,
	updated_at timestamptz not null default now(),
	expires_at timestamptz,
	constraint generation_shared_pkey primary key (name)
);

-- Deny by default; what a project's users may read is granted by a later
-- migration, explicitly.
alter table public.generation_jobs   enable row level security;
alter table public.generation_live   enable row level security;
alter table public.generation_assets enable row level security;
alter table public.generation_events enable row level security;
alter table public.generation_removals enable row level security;
alter table public.generation_shared enable row level security;

-- Take a job, or say why not: exactly one row, whatever happens beside it.
--   created    the job is new, or this very id was committed by an earlier
--              call whose answer was lost
--   replayed   the idempotency key is known, with the same request
--   key_reused the idempotency key is known, with another request
--   in_flight  every slot of the owner is taken; job_id names the oldest
-- A plain statement with ON CONFLICT DO NOTHING cannot do this: the winner of a
-- race is not in its snapshot.  Here each statement of the loop sees what has
-- been committed meanwhile.
create function public.create_job(
	p_owner_id uuid, p_id uuid, p_slots integer, p_key text, p_fingerprint bytea,
	p_model text, p_provider text, p_request json, p_metadata json, p_time_left interval)
returns table (outcome text, job_id uuid)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	known    record;
	deadline timestamptz := now() + p_time_left;
begin
	for attempt in 1 .. 50 loop
		perform 1 from public.generation_jobs j
			where j.owner_id = p_owner_id and j.id = p_id;
		if found then
			return query select 'created'::text, p_id;
			return;
		end if;

		if p_key is not null then
			select j.id, j.fingerprint into known from public.generation_jobs j
				where j.owner_id = p_owner_id and j.idempotency_key = p_key;
			if found then
				return query select
					case when known.fingerprint = p_fingerprint
						then 'replayed' else 'key_reused' end, known.id;
				return;
			end if;
		end if;

		for s in 0 .. p_slots - 1 loop
			-- Waits for a concurrent insert of the same slot to commit or not.
			-- No conflict target: a repeated call may also meet its own job_id.
			insert into public.generation_live (owner_id, slot, job_id, deadline_at)
				values (p_owner_id, s, p_id, deadline)
				on conflict do nothing;
			if not found then
				continue;
			end if;
			insert into public.generation_jobs (owner_id, id, model, provider, request,
					metadata, idempotency_key, fingerprint, deadline_at)
				values (p_owner_id, p_id, p_model, p_provider, p_request,
					p_metadata, p_key, p_fingerprint, deadline)
				on conflict do nothing;
			if found then
				insert into public.generation_events (owner_id, job_id, event, state_to)
					values (p_owner_id, p_id, 'created', 'queued');
				return query select 'created'::text, p_id;
				return;
			end if;
			-- The same key won elsewhere: give the slot back and look again.
			delete from public.generation_live l
				where l.owner_id = p_owner_id and l.slot = s;
			exit;
		end loop;

		select l.job_id into known from public.generation_live l
			where l.owner_id = p_owner_id and l.job_id <> p_id
			order by l.job_id limit 1;
		if found then
			-- This very id, or the key, may have been committed since we
			-- looked: neither is ever told "in flight".
			perform 1 from public.generation_jobs j
				where j.owner_id = p_owner_id
					and (j.id = p_id or j.idempotency_key = p_key);
			if not found then
				return query select 'in_flight'::text, known.job_id;
				return;
			end if;
		end if;
		-- What was in the way has gone: once more.
	end loop;
	raise exception 'create_job: no outcome after 50 rounds' using errcode = '40001';
end
$$;

-- On Supabase every function in public is callable over HTTP unless revoked.
revoke all on function public.create_job(uuid, uuid, integer, text, bytea, text, text,
	json, json, interval) from public;
