-- An output is about to be put into the bucket under this name.  One row while it
-- is neither kept nor given up.
-- $1 owner  $2 job  $3 index  $4 key
update public.generation_assets
set storage_key = $4::text
where owner_id = $1::uuid and job_id = $2::uuid and index = $3::smallint
	and stored_at is null and error_code is null
returning index
