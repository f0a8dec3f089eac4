-- The outputs of a job that are neither kept nor given up.
-- $1 owner  $2 job
select index, source_url
from public.generation_assets
where owner_id = $1::uuid and job_id = $2::uuid
	and stored_at is null and error_code is null
order by index
