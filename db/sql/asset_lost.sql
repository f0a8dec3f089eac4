-- An output cannot be had any more.
-- $1 owner  $2 job  $3 index  $4 error code
update public.generation_assets
set inline = null, error_code = $4::text
where owner_id = $1::uuid and job_id = $2::uuid and index = $3::smallint
	and stored_at is null
