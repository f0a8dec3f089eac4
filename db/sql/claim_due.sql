-- Lease up to $2 jobs in one of the states $1 that are due, the longest due first.
-- Writes nothing that an index holds.
-- $1 states, as an array  $2 limit  $3 lease, ms
-- $4 a number drawn for this claim: a repetition, sent because the first answer was
-- lost, knows its own leases by it
with due as (
	select owner_id, slot
	from public.generation_live
	where due_at <= now() and state = any($1::text[])
		and (lease_until is null or lease_until < now() or leased_by = $4::bigint)
	order by due_at
	limit $2::integer
	for update skip locked
), claimed as (
	update public.generation_live l
	set lease_until = now() + $3::bigint * interval '1 millisecond', leased_by = $4::bigint
	from due
	where l.owner_id = due.owner_id and l.slot = due.slot
	returning l.*
)
select l.owner_id, l.job_id, l.state, l.version, l.attempts, l.tries, l.misses,
	l.leased_by, l.prediction_id, l.handle, l.cancel_reason, l.sent_as,
	(extract(epoch from l.deadline_at - now()) * 1000)::bigint as time_left_ms,
	(extract(epoch from now() - coalesce(l.sent_at, j.created_at)) * 1000)::bigint as sent_age_ms,
	(extract(epoch from now() - l.sent_until) * 1000)::bigint as unsure_age_ms,
	(extract(epoch from now() - j.created_at) * 1000)::bigint as age_ms,
	j.status, j.model, j.provider, j.request
from claimed l
join public.generation_jobs j on j.owner_id = l.owner_id and j.id = l.job_id
order by l.due_at
