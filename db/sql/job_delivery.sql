-- Is a webhook's delivery in the job's trail?
-- $1 owner  $2 job  $3 delivery
select exists (
	select from public.generation_events
	where owner_id = $1::uuid and job_id = $2::uuid and delivery = $3::text
)::integer as known
