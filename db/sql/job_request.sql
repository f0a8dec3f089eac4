-- What a job was asked to do, and how it stands.
-- $1 owner  $2 job
select status, model, request, metadata
from public.generation_jobs
where owner_id = $1::uuid and id = $2::uuid
