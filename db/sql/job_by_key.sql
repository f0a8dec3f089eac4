-- Which job has that idempotency key, and is it the same request?
-- $1 owner  $2 key  $3 fingerprint, hex
select id as job_id, (fingerprint = decode($3::text, 'hex'))::integer as same
from public.generation_jobs
where owner_id = $1::uuid and idempotency_key = $2::text
