-- A job that is about to be made has these inputs.  What is uploaded for it is ours
-- to remove one day, and so is what was uploaded for an earlier job; what the user
-- has put there is not.  One row: the place in the array, from 0, of the first that goes with its
-- last job just now, or null.
-- The earlier jobs' rows are locked: who deletes one waits for this one to be committed, and
-- removal_claim.sql sees it then; or has been faster, and the row is gone once we have waited.
-- $1 owner  $2 job  $3 inputs: an array of {"key", "uploaded"}
with named as (
	select k.input ->> 'key' as key, (k.input ->> 'uploaded')::boolean as uploaded, k.place - 1 as place
	from jsonb_array_elements($3::jsonb) with ordinality as k (input, place)
), held as materialized (
	select i.key
	from named n
	join public.generation_inputs i on i.owner_id = $1::uuid and i.key = n.key
	where not n.uploaded
	order by i.job_id, i.key
	for key share of i
), kept as (
	insert into public.generation_inputs (owner_id, job_id, key)
	select $1::uuid, $2::uuid, n.key
	from named n
	where n.uploaded or n.key in (select h.key from held h)
	on conflict do nothing
)
select min(n.place) as going
from named n
where not n.uploaded and n.key not in (select h.key from held h) and (
	exists (select from public.generation_inputs i where i.owner_id = $1::uuid and i.key = n.key)
	or exists (select from public.generation_removals r
		where r.owner_id = $1::uuid and r.input_keys ? n.key))
