-- Delete a settled job; its files become work to do in the same statement.  One
-- row when it was deleted here; none when it is live, or not there.  What another job was
-- made of, too, is found out when the files are removed (removal_claim.sql).
-- $1 owner  $2 job
with gone as (
	delete from public.generation_jobs j
	where j.owner_id = $1::uuid and j.id = $2::uuid and j.completed_at is not null
	returning j.owner_id, j.id
), inputs as (
	delete from public.generation_inputs i
	using gone g
	where i.owner_id = g.owner_id and i.job_id = g.id
	returning i.key
), files as (
	-- The foreign key takes the assets' rows; this statement still sees them.
	insert into public.generation_removals (owner_id, job_id, keys, input_keys)
	select g.owner_id, g.id, k.keys, k.input_keys
	from gone g
	cross join lateral (select
		(select coalesce(jsonb_agg(a.storage_key order by a.index), '[]')
			from public.generation_assets a
			where a.owner_id = g.owner_id and a.job_id = g.id and a.storage_key is not null) as keys,
		(select coalesce(jsonb_agg(i.key order by i.key), '[]') from inputs i) as input_keys) k
	where k.keys <> '[]' or k.input_keys <> '[]'
	on conflict do nothing
), strays as (
	-- Those that may still cost something stay until they are dealt with.
	delete from public.generation_strays s
	using gone g
	where s.owner_id = g.owner_id and s.job_id = g.id and s.ended_at is not null
), trail as (
	delete from public.generation_events e
	using gone g
	where e.owner_id = g.owner_id and e.job_id = g.id
)
select 1 from gone
