-- Lease up to $2 jobs in one of the states $1 that are due, the longest due first.
-- Writes lease_until only, which no index holds.
-- $1 states, as an array  $2 limit  $3 lease, ms
with due as (
	select owner_id, slot
	from public.generation_live
	where due_at <= now() and state = any($1::text[])
		and (lease_until is null or lease_until < now())
	order by due_at
	limit $2::integer
	for update skip locked
), claimed as (
	update public.generation_live l
	set lease_until = now() + $3::bigint * interval '1 millisecond'
	from due
	where l.owner_id = due.owner_id and l.slot = due.slot
	returning l.*
)
select l.owner_id, l.job_id, l.state, l.version, l.attempts, l.prediction_id, l.cancel_reason,
	(extract(epoch from l.deadline_at - now()) * 1000)::bigint as time_left_ms,
	(extract(epoch from now() - j.created_at) * 1000)::bigint as age_ms,
	j.status, j.model, j.provider, j.request
from claimed l
join public.generation_jobs j on j.owner_id = l.owner_id and j.id = l.job_id
order by l.due_at
