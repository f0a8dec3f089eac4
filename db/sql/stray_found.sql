-- The provider's own record says that a stray is this job's.  One row the first time.
-- $1 owner  $2 job  $3 prediction
update public.generation_strays
set found_at = now()
where owner_id = $1::uuid and job_id = $2::uuid and prediction_id = $3::text
	and found_at is null and ended_at is null
returning prediction_id
