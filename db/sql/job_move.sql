-- Move a live job to another state, if nobody moved it before; its trail and its
-- public status go with it in the same statement.  One row when it moved.
-- $1 owner  $2 job  $3 the version that the caller saw  $4 the new state
-- $5 due in, ms  $6 lease, ms, or null for none  $7 prediction id, or null to keep
-- $8 count of attempts  $9 public status  $10 event  $11 delivery or null
-- $12 detail or null  $13 output sources, a JSON array of strings, or null
-- $14 ms that the deadline is moved to from now, or null to keep
-- $15 why it is to end early, or null for no change
-- $16 a number drawn for this move: a repetition, sent because the first answer
-- was lost, knows its own move by it and has moved the job
-- $17 tries  $18 misses  $19 with `submitting`: in whose account
-- $20 how the prediction is reached, or null to keep; with `submitting` what is known of it
-- $21 how long the provider worked, s, or null to keep  $22 with `submitting`: price or null
-- $23 with `queued`: another provider, or null to keep; nothing is known of creates there
-- $5 and $6 negative: due time and lease stay as they are
-- Back to `queued` says that nothing exists: what was hinted at is forgotten.
with moved as (
	update public.generation_live l
	set state = $4::text, version = $3::integer + 1, moved_by = $16::bigint,
		due_at = case when $5::bigint < 0 then l.due_at
			else now() + $5::bigint * interval '1 millisecond' end,
		lease_until = case when $6::bigint < 0 then l.lease_until
			else now() + $6::bigint * interval '1 millisecond' end,
		leased_by = case when $6::bigint is null then null else l.leased_by end,
		prediction_id = case when $4::text = 'queued' then null
			else coalesce($7::text, l.prediction_id) end,
		-- A mark or a hint finds `submitting` already there, and a repetition its own.
		handle = case when $4::text = 'queued' then null
			when $4::text = 'submitting' and l.state <> 'submitting' then $20::text
			else coalesce($20::text, l.handle) end,
		price = case when $4::text = 'submitting' and l.state <> 'submitting' then $22::jsonb
			else l.price end,
		seconds = coalesce($21::double precision, l.seconds),
		attempts = $8::integer, tries = $17::integer, misses = $18::integer,
		-- A repetition finds the state changed already, and the times set.
		sent_at = case when $23::text is not null then null
			when $4::text = 'submitting' and l.state <> 'submitting'
				and l.sent_until is null
			then now() else l.sent_at end,
		sent_as = case when $23::text is not null then null
			when $4::text <> 'submitting' or l.state = 'submitting' then l.sent_as
			when l.sent_until is null or l.sent_as = $19::text then $19::text
			else 'several' end,
		sent_until = case when $23::text is not null then null
			when $4::text = 'uncertain' and l.state = 'submitting'
			then now() else l.sent_until end,
		expires_at = case when $4::text = 'storing' and l.state <> 'storing'
			then coalesce(l.sent_at, now()) + $14::bigint * interval '1 millisecond'
			else l.expires_at end,
		deadline_at = coalesce(now() + $14::bigint * interval '1 millisecond', l.deadline_at),
		cancel_reason = coalesce(l.cancel_reason, $15::text),
		cancel_asked_at = case when $15::text is null then l.cancel_asked_at
			else coalesce(l.cancel_asked_at, now()) end
	from (select state, version from public.generation_live
		where owner_id = $1::uuid and job_id = $2::uuid) before
	where l.owner_id = $1::uuid and l.job_id = $2::uuid
		and (l.version = $3::integer
			or (l.version = $3::integer + 1 and l.moved_by = $16::bigint))
	returning l.owner_id, l.job_id, l.version, l.state,
		before.state as state_from, before.version as version_from
), record as (
	update public.generation_jobs j
	set status = $9::text, version = j.version + 1, provider = coalesce($23::text, j.provider),
		started_at = case when $9::text = 'processing'
			then coalesce(j.started_at, now()) else j.started_at end
	from moved m
	where j.owner_id = m.owner_id and j.id = m.job_id
		and (j.status is distinct from $9::text or j.provider <> $23::text)
), listed as (
	insert into public.generation_assets (owner_id, job_id, index, source_url)
	select m.owner_id, m.job_id, s.n - 1, s.url
	from moved m, jsonb_array_elements_text($13::jsonb) with ordinality as s(url, n)
	on conflict do nothing
), trail as (
	insert into public.generation_events
		(owner_id, job_id, event, state_from, state_to, delivery, detail)
	select m.owner_id, m.job_id, $10::text, m.state_from, m.state, $11::text, $12::jsonb
	from moved m
	where m.version_from = $3::integer
	on conflict do nothing
)
select version from moved
