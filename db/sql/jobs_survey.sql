-- Anybody's jobs, newest first, for an operator.  The plan is made for the values:
-- a state that is given leads by way of the live rows.
-- $1 owner or null  $2 state or null  $3 status or null
-- $4 made at least that long ago, ms, or null  $5 limit
-- An id is made by the clock of a process, which may be wrong: its bound has an hour
-- to spare.
select json_build_object('id', j.id, 'owner', j.owner_id, 'status', j.status,
	'state', coalesce(l.state, 'settled'), 'model', j.model, 'provider', j.provider,
	'error', j.error_code, 'prediction', l.prediction_id, 'cancel', l.cancel_reason,
	'attempts', l.attempts, 'tries', l.tries,
	'created_us', (extract(epoch from j.created_at) * 1000000)::bigint,
	'completed_us', (extract(epoch from j.completed_at) * 1000000)::bigint,
	'due_us', (extract(epoch from l.due_at) * 1000000)::bigint,
	'leased_until_us', (extract(epoch from l.lease_until) * 1000000)::bigint,
	'deadline_us', (extract(epoch from l.deadline_at) * 1000000)::bigint,
	'now_us', (extract(epoch from now()) * 1000000)::bigint) as job
from public.generation_jobs j
left join public.generation_live l on l.owner_id = j.owner_id and l.job_id = j.id
where ($1::uuid is null or j.owner_id = $1::uuid)
	and ($2::text is null or l.state = $2::text or ($2::text = 'settled' and l.state is null))
	and ($3::text is null or j.status = $3::text)
	and ($4::bigint is null or (j.created_at <= now() - $4::bigint * interval '1 millisecond'
		and j.id < (lpad(to_hex(greatest((extract(epoch from now()) * 1000)::bigint - $4::bigint, 0)
			+ 3600000), 12, '0') || repeat('0', 20))::uuid))
order by j.id desc
limit $5::integer
