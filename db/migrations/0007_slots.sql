-- A user whose number of slots was made smaller has jobs in slots that there are no
-- more of.  They go on, and they count: a slot is free for a new job only if that
-- does not make it more jobs than there may be.  Otherwise this is the function of
-- 0001, where its outcomes are described.
create or replace function public.create_job(
	p_owner_id uuid, p_id uuid, p_slots integer, p_key text, p_fingerprint bytea,
	p_model text, p_provider text, p_request json, p_metadata json, p_time_left interval)
returns table (outcome text, job_id uuid)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	known    record;
	deadline timestamptz := now() + p_time_left;
	free_to  integer;
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

		-- Only slots below free_to: all of them taken, and what is in flight in
		-- those above, are no more than p_slots.  Two calls at once see different
		-- numbers perhaps, but what is above the higher of them gets only less.
		free_to := p_slots;
		perform 1 from public.generation_live l
			where l.owner_id = p_owner_id and l.slot >= p_slots;
		if found then
			select coalesce(max(w), 0) into free_to from generate_series(0, p_slots) w
				where w + (select count(*) from public.generation_live l
					where l.owner_id = p_owner_id and l.slot >= w) <= p_slots;
		end if;
		for s in 0 .. free_to - 1 loop
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
