-- A job was not made: the inputs that were uploaded for it become work to do, unless
-- it is there after all.
-- $1 owner  $2 job
with dropped as (
	delete from public.generation_inputs i
	where i.owner_id = $1::uuid and i.job_id = $2::uuid and not exists (
		select from public.generation_jobs j where j.owner_id = $1::uuid and j.id = $2::uuid)
	returning i.key
)
insert into public.generation_removals (owner_id, job_id, keys, input_keys)
select $1::uuid, $2::uuid, '[]', jsonb_agg(d.key order by d.key)
from dropped d
having count(*) > 0
on conflict (owner_id, job_id) do update
	set input_keys = generation_removals.input_keys || excluded.input_keys
returning 1
