-- Lease the removal that has been due for longest.  An input that another job was made of,
-- too, stays for that one: who deletes a job does not see who names its inputs at the same
-- moment, and here it is seen.
-- $1 lease, ms
with due as (
	select owner_id, job_id
	from public.generation_removals
	where due_at <= now() and (lease_until is null or lease_until < now())
	order by due_at
	limit 1
	for update skip locked
)
update public.generation_removals r
set lease_until = now() + $1::bigint * interval '1 millisecond'
from due
where r.owner_id = due.owner_id and r.job_id = due.job_id
returning r.owner_id, r.job_id, r.attempts, r.keys, (
	select coalesce(jsonb_agg(k.key order by k.key), '[]')
	from jsonb_array_elements_text(r.input_keys) as k (key)
	where not exists (select from public.generation_inputs i
		where i.owner_id = r.owner_id and i.key = k.key)) as input_keys
