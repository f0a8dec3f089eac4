-- Is there such a job, live or settled?
-- $1 owner  $2 job
select 1 from public.generation_jobs where owner_id = $1::uuid and id = $2::uuid
