-- A kept output has another signed address.  The record's version follows, so
-- that who watches is told and a cached answer is no longer true.
-- $1 owner  $2 job  $3 index  $4 key  $5 signed address
-- $6 until when it is good, in microseconds since 1970
with signed as (
	update public.generation_assets
	set signed_url = $5::text, signed_until = to_timestamp($6::bigint / 1000000.0)
	where owner_id = $1::uuid and job_id = $2::uuid and index = $3::smallint
		and storage_key = $4::text and stored_at is not null
	returning owner_id, job_id
)
update public.generation_jobs j
set version = j.version + 1
from signed s
where j.owner_id = s.owner_id and j.id = s.job_id
