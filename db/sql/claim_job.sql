-- Lease one job, unless somebody else has it.
-- $1 owner  $2 job  $3 lease, ms  $4 also when it is not due yet
with claimed as (
	update public.generation_live
	set lease_until = now() + $3::bigint * interval '1 millisecond'
	where owner_id = $1::uuid and job_id = $2::uuid
		and (lease_until is null or lease_until < now())
		and ($4::boolean or due_at <= now())
	returning *
)
select l.owner_id, l.job_id, l.state, l.version, l.attempts, l.prediction_id, l.cancel_reason,
	(extract(epoch from l.deadline_at - now()) * 1000)::bigint as time_left_ms,
	(extract(epoch from now() - j.created_at) * 1000)::bigint as age_ms,
	j.status, j.model, j.provider, j.request
from claimed l
join public.generation_jobs j on j.owner_id = l.owner_id and j.id = l.job_id
