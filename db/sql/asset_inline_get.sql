-- An output that came inside an answer and is not kept yet, in base64.
-- $1 owner  $2 job  $3 index
select inline
from public.generation_assets
where owner_id = $1::uuid and job_id = $2::uuid and index = $3::smallint and inline is not null
