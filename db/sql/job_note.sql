-- Something came that moved nothing: keep it in the trail, once per delivery.
-- $1 owner  $2 job  $3 event  $4 delivery or null  $5 detail or null
insert into public.generation_events
	(owner_id, job_id, event, state_from, state_to, delivery, detail)
select j.owner_id, j.id, $3::text, l.state, l.state, $4::text, $5::jsonb
from public.generation_jobs j
left join public.generation_live l on l.owner_id = j.owner_id and l.job_id = j.id
where j.owner_id = $1::uuid and j.id = $2::uuid
on conflict do nothing
