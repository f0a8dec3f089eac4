-- A job that is about to be made has these inputs.  What is uploaded for it is ours
-- to remove one day, and so is what was uploaded for an earlier job; what the user
-- has put there is not.
-- $1 owner  $2 job  $3 inputs: an array of {"key", "uploaded"}
insert into public.generation_inputs (owner_id, job_id, key)
select $1::uuid, $2::uuid, k.key
from jsonb_to_recordset($3::jsonb) as k (key text, uploaded boolean)
where k.uploaded or exists (select from public.generation_inputs i
	where i.owner_id = $1::uuid and i.key = k.key)
on conflict do nothing
