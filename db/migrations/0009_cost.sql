-- What a job cost is its owner's to know, as the API tells it.  Otherwise as in 0006.
create or replace function public.generation_rights() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	ours constant text[] := array['generation_jobs', 'generation_live', 'generation_assets',
		'generation_events', 'generation_inputs', 'generation_removals', 'generation_strays',
		'generation_shared', 'generation_migrations'];
	who  text;
	t    text;
	pub  record;
begin
	-- The role that the service runs under, by membership.
	if not exists (select from pg_roles where rolname = 'gengate_service') then
		begin
			create role gengate_service nologin;
		exception
		when insufficient_privilege then
			raise warning 'role gengate_service is missing and % may not create it', current_user
				using hint = 'As who may: create role gengate_service nologin;'
					' then as the owner of the tables: select public.generation_rights();';
		when duplicate_object or unique_violation then
			null;	-- by a migration of another database, just now
		end;
	end if;

	-- Nobody, to begin with.  By name too: a project may grant everything on
	-- new tables and functions to these by default.
	foreach who in array array['public', 'anon', 'authenticated', 'service_role', 'gengate_service'] loop
		continue when who <> 'public' and not exists (select from pg_roles where rolname = who);
		foreach t in array ours loop
			execute format('revoke all on table public.%I from %s', t, who);
		end loop;
		execute format('revoke all on sequence %s from %s',
			pg_get_serial_sequence('public.generation_events', 'id'), who);
		execute format('revoke all on function public.generation_rights(),'
			' public.create_job(uuid, uuid, integer, text, bytea, text, text, json, json, interval)'
			' from %s', who);
	end loop;
	foreach t in array ours loop
		execute format('alter table public.%I enable row level security', t);
	end loop;

	-- The service: what db/sql/ needs and nothing else; tests/db/test_supabase.py
	-- compares.  To the policies all rows are alike: each statement names the owner.
	if exists (select from pg_roles where rolname = 'gengate_service') then
		if not has_schema_privilege('gengate_service', 'public', 'usage') then
			begin
				grant usage on schema public to gengate_service;
			exception when insufficient_privilege then
				raise warning 'role gengate_service may not use schema public'
					using hint = 'As who may: grant usage on schema public to gengate_service;';
			end;
		end if;
		grant select, insert, update, delete on public.generation_jobs, public.generation_live,
			public.generation_inputs, public.generation_removals, public.generation_strays to gengate_service;
		grant select, insert, update on public.generation_assets, public.generation_shared
			to gengate_service;
		grant select, insert, delete on public.generation_events to gengate_service;
		grant select on public.generation_migrations to gengate_service;
		grant execute on function public.create_job(uuid, uuid, integer, text, bytea, text, text,
			json, json, interval) to gengate_service;
		foreach t in array ours loop
			execute format('drop policy if exists %I on public.%I', t || '_service', t);
			execute format('create policy %I on public.%I for all to gengate_service'
				' using (true) with check (true)', t || '_service', t);
		end loop;
	end if;

	-- The project's own server code reads everything about jobs, past the
	-- policies; what moves a job is the service alone.
	if exists (select from pg_roles where rolname = 'service_role') then
		grant select on public.generation_jobs, public.generation_live,
			public.generation_assets, public.generation_events to service_role;
	end if;

	-- Owners read what is theirs.  Without a policy for writing and without a
	-- grant for it there is nothing that they could change.
	if exists (select from pg_roles where rolname = 'authenticated')
		and exists (select from pg_proc p join pg_namespace n on n.oid = p.pronamespace
			where n.nspname = 'auth' and p.proname = 'uid' and p.pronargs = 0
				and p.prorettype = 'uuid'::regtype) then
		drop policy if exists generation_jobs_owner on public.generation_jobs;
		drop policy if exists generation_assets_owner on public.generation_assets;
		begin
			-- A scalar subquery: asked once per statement, not per row.
			create policy generation_jobs_owner on public.generation_jobs
				for select to authenticated using (owner_id = (select auth.uid()));
			create policy generation_assets_owner on public.generation_assets
				for select to authenticated using (owner_id = (select auth.uid()));
			grant select (owner_id, id, status, version, model, provider, request, metadata,
				error_code, cost, currency, created_at, started_at, completed_at)
				on public.generation_jobs to authenticated;
			grant select (owner_id, job_id, index, storage_key, content_type, bytes, width, height,
				sha256, error_code, stored_at)
				on public.generation_assets to authenticated;
		exception when insufficient_privilege then
			raise warning 'owners cannot read their jobs: % may not use auth.uid()', current_user
				using hint = 'As the owner of schema auth: grant usage on schema auth to the owner of'
					' the tables, who then runs: select public.generation_rights();';
		end;
	end if;

	-- Realtime shows owners how their jobs go, where it may be told by us.
	select p.pubowner into pub from pg_publication p where p.pubname = 'supabase_realtime';
	if found and not exists (select from pg_publication_tables where pubname = 'supabase_realtime'
			and schemaname = 'public' and tablename = 'generation_jobs') then
		begin
			alter publication supabase_realtime add table public.generation_jobs;
		exception when others then
			-- Somebody else's, most likely; it is never worth a failed migration.
			raise warning 'publication supabase_realtime of % does not get generation_jobs: %',
				pg_get_userbyid(pub.pubowner), sqlerrm
				using hint = 'As its owner: alter publication supabase_realtime'
					' add table public.generation_jobs;';
		end;
	end if;
end
$$;

select public.generation_rights();
