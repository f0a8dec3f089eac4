-- Lease the stray that has been due for longest.
-- $1 lease, ms
with due as (
	select owner_id, job_id, prediction_id
	from public.generation_strays
	where due_at <= now() and ended_at is null
		and (lease_until is null or lease_until < now())
	order by due_at
	limit 1
	for update skip locked
)
update public.generation_strays s
set lease_until = now() + $1::bigint * interval '1 millisecond'
from due
where s.owner_id = due.owner_id and s.job_id = due.job_id and s.prediction_id = due.prediction_id
returning s.owner_id, s.job_id, s.prediction_id, s.provider, s.road, s.handle, s.attempts, s.misses
