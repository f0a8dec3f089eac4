-- Is there a prediction that may be this job's, and that nobody has looked at to the end?
-- $1 owner  $2 job
select exists (
	select from public.generation_strays
	where owner_id = $1::uuid and job_id = $2::uuid and ended_at is null
)::integer as open
