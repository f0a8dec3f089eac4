-- Make a live job due now, and note who wanted that.  A lease that holds is left alone:
-- somebody is at work.  One row if the job is live; it says whether one holds.
-- $1 owner  $2 job  $3 event  $4 detail
with due as (
	update public.generation_live l
	set due_at = least(l.due_at, now()),
		lease_until = case when l.lease_until > now() then l.lease_until end,
		leased_by = case when l.lease_until > now() then l.leased_by end
	where l.owner_id = $1::uuid and l.job_id = $2::uuid
	returning l.owner_id, l.job_id, l.state, l.lease_until
), trail as (
	insert into public.generation_events (owner_id, job_id, event, state_from, state_to, detail)
	select d.owner_id, d.job_id, $3::text, d.state, d.state, $4::jsonb
	from due d
)
select d.lease_until is not null as is_leased from due d
