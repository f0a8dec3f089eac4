-- Inputs that were uploaded long enough ago: of a job that is there they are looked at
-- no more; those of one that was never made become work to do.  Whole jobs, so that
-- each is one removal.  How many jobs were looked at, and how many were never made.
with due as materialized (
	select i.owner_id, i.job_id, exists (select from public.generation_jobs j
		where j.owner_id = i.owner_id and j.id = i.job_id) as made
	from (select owner_id, job_id from public.generation_inputs
		where due_at <= now() order by due_at limit 100) i
	group by i.owner_id, i.job_id
), kept as (
	update public.generation_inputs i
	set due_at = null
	from due d
	where i.owner_id = d.owner_id and i.job_id = d.job_id and d.made
), dropped as (
	delete from public.generation_inputs i
	using due d
	where i.owner_id = d.owner_id and i.job_id = d.job_id and not d.made
	returning i.owner_id, i.job_id, i.key
), files as (
	insert into public.generation_removals (owner_id, job_id, keys, input_keys)
	select d.owner_id, d.job_id, '[]', jsonb_agg(d.key order by d.key)
	from dropped d
	group by d.owner_id, d.job_id
	on conflict (owner_id, job_id) do update
		set input_keys = generation_removals.input_keys || excluded.input_keys
	returning 1
)
select (select count(*) from due) as looked, (select count(*) from files) as dropped
