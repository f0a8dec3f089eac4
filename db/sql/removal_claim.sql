-- Lease the removal that has been due for longest.
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
returning r.owner_id, r.job_id, r.attempts, r.keys, r.input_keys
