-- A live job as the service works on it; no row when it has settled.
-- $1 owner  $2 job
select l.owner_id, l.job_id, l.state, l.version, l.attempts, l.tries, l.misses,
	0 as leased_by, l.prediction_id, l.handle, l.cancel_reason, l.sent_as,
	(extract(epoch from l.deadline_at - now()) * 1000)::bigint as time_left_ms,
	(extract(epoch from now() - coalesce(l.sent_at, j.created_at)) * 1000)::bigint as sent_age_ms,
	(extract(epoch from now() - l.sent_until) * 1000)::bigint as unsure_age_ms,
	(extract(epoch from now() - j.created_at) * 1000)::bigint as age_ms,
	j.status, j.model, j.provider, j.request
from public.generation_live l
join public.generation_jobs j on j.owner_id = l.owner_id and j.id = l.job_id
where l.owner_id = $1::uuid and l.job_id = $2::uuid
