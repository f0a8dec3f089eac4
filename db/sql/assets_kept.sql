-- The outputs of a job that are kept, and until when each one's signed address is
-- good, in microseconds since 1970; null: it has none.
-- $1 owner  $2 job
select index, storage_key,
	(extract(epoch from signed_until) * 1000000)::bigint as signed_until_us
from public.generation_assets
where owner_id = $1::uuid and job_id = $2::uuid and stored_at is not null
order by index
