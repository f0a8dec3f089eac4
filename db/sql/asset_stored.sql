-- An output is in the bucket.  Repeating it changes nothing.
-- $1 owner  $2 job  $3 index  $4 key  $5 content type  $6 bytes
-- $7 width or null  $8 height or null  $9 sha256, hex
-- $10 signed address or null  $11 until when it is good, in microseconds since 1970, or null
update public.generation_assets
set inline = null, storage_key = $4::text, content_type = $5::text, bytes = $6::bigint,
	width = $7::integer, height = $8::integer,
	sha256 = decode($9::text, 'hex'), stored_at = now(), error_code = null,
	signed_url = $10::text, signed_until = to_timestamp($11::bigint / 1000000.0)
where owner_id = $1::uuid and job_id = $2::uuid and index = $3::smallint
	and stored_at is null
