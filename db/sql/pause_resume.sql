-- An operator ends a pause, and what is queued for that provider is due at once.
-- One row if it was paused.
-- $1 name  $2 provider
with ended as (
	update public.generation_shared
	set value = 'null'::jsonb, updated_at = now()
	where name = $1::text and value <> 'null'::jsonb
	returning name
), woken as (
	update public.generation_live l
	set due_at = now()
	from ended, public.generation_jobs j
	where l.state = 'queued' and l.due_at > now()
		and j.owner_id = l.owner_id and j.id = l.job_id and j.provider = $2::text
)
select 1 from ended
