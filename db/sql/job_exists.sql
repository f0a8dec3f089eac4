-- Is there such a job, live or settled?  Its prediction is known here once it has settled.
-- $1 owner  $2 job
select status, provider, prediction_id, handle
from public.generation_jobs
where owner_id = $1::uuid and id = $2::uuid
