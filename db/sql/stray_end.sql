-- A stray is dealt with.  One row when it was ended here.  It stays with its job, so
-- that the next webhook about it costs nothing; without a job it goes.
-- $1 owner  $2 job  $3 prediction  $4 verdict
with job as (
	select from public.generation_jobs
	where owner_id = $1::uuid and id = $2::uuid
), ended as (
	update public.generation_strays
	set ended_at = now(), verdict = $4::text, lease_until = null
	where owner_id = $1::uuid and job_id = $2::uuid and prediction_id = $3::text
		and ended_at is null and exists (select from job)
	returning 1
), gone as (
	delete from public.generation_strays
	where owner_id = $1::uuid and job_id = $2::uuid and prediction_id = $3::text
		and ended_at is null and not exists (select from job)
	returning 1
)
select 1 as ended from ended union all select 1 from gone
