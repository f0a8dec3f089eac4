-- How watched jobs stand: one question for all of them.
-- $1 owners  $2 jobs, arrays of the same length
select w.owner_id, w.job_id, j.version, coalesce(l.state, 'settled') as state
from unnest($1::uuid[], $2::uuid[]) as w(owner_id, job_id)
join public.generation_jobs j on j.owner_id = w.owner_id and j.id = w.job_id
left join public.generation_live l on l.owner_id = w.owner_id and l.job_id = w.job_id
