-- Whose are the jobs in a range of ids?  Three rows at most: more than one is too many.
-- $1 first id  $2 last id  $3 owner, or null for anybody's
select j.owner_id, j.id
from public.generation_jobs j
where j.id between $1::uuid and $2::uuid and ($3::uuid is null or j.owner_id = $3::uuid)
order by j.id, j.owner_id
limit 3
