-- An output that came inside an answer: kept here until it is in the bucket.  It is
-- committed before its job moves on, and listed by that move.
-- $1 owner  $2 job  $3 index  $4 the output in base64
insert into public.generation_assets as a (owner_id, job_id, index, source_url, inline)
select l.owner_id, l.job_id, $3::smallint, 'data:', $4::text
from public.generation_live l
where l.owner_id = $1::uuid and l.job_id = $2::uuid
on conflict (owner_id, job_id, index) do update
set inline = excluded.inline
where a.source_url = 'data:' and a.stored_at is null and a.error_code is null
