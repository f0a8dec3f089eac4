-- How many outputs of a job were given up, and the first reason.
-- $1 owner  $2 job
select count(*), (array_agg(error_code order by index))[1] as why
from public.generation_assets
where owner_id = $1::uuid and job_id = $2::uuid and error_code is not null
