-- Lease one job, if it is due and nobody has it.
-- $1 owner  $2 job  $3 lease, ms
-- $4 a number drawn for this claim: a repetition, sent because the first answer was
-- lost, knows its own lease by it
with claimed as (
	update public.generation_live
	set lease_until = now() + $3::bigint * interval '1 millisecond', leased_by = $4::bigint
	where owner_id = $1::uuid and job_id = $2::uuid
		and (lease_until is null or lease_until < now() or leased_by = $4::bigint)
		and due_at <= now()
	returning *
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
