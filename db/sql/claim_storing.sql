-- Lease up to $1 jobs in `storing` that are due; the one whose outputs the provider
-- removes first goes first.  All that are due are sorted: they are few, since each is
-- one that could not be kept at once.
-- Writes nothing that an index holds.
-- $1 limit  $2 lease, ms
-- $3 a number drawn for this claim: a repetition, sent because the first answer was
-- lost, knows its own leases by it
with due as (
	select owner_id, slot
	from public.generation_live
	where due_at <= now() and state = 'storing'
		and (lease_until is null or lease_until < now() or leased_by = $3::bigint)
	order by expires_at nulls first, due_at
	limit $1::integer
	for update skip locked
), claimed as (
	update public.generation_live l
	set lease_until = now() + $2::bigint * interval '1 millisecond', leased_by = $3::bigint
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
order by l.expires_at nulls first, l.due_at
