-- Delete up to 500 jobs that ended long enough ago, with their outputs' rows and their
-- trails; their inputs become work to do, and their outputs if they are to go, too.  One row: the last id,
-- null when there was none, and how many rows went.
-- The limit is written out, and ids are bounded on both sides: so a generic plan, too,
-- knows that this is a few rows from one end of the index generation_jobs_id.
-- $1 since when they have ended, ms  $2 the id to go on after  $3 their files, too
with old as (
	select j.owner_id, j.id
	from public.generation_jobs j
	where j.id > $2::uuid
		and j.id < (lpad(to_hex(greatest((extract(epoch from now()) * 1000)::bigint - $1::bigint, 0)),
			12, '0') || repeat('0', 20))::uuid
		and j.completed_at < now() - $1::bigint * interval '1 millisecond'
		-- A prediction that may still cost something keeps what it is told from.
		and not exists (select from public.generation_strays s
			where s.owner_id = j.owner_id and s.job_id = j.id and s.ended_at is null)
	order by j.id
	limit 500
	for update skip locked
), inputs as (
	delete from public.generation_inputs i
	using old o
	where i.owner_id = o.owner_id and i.job_id = o.id
	returning i.owner_id, i.job_id, i.key
), files as (
	-- The foreign key takes the assets' rows; this statement still sees them.
	insert into public.generation_removals (owner_id, job_id, keys, input_keys)
	select o.owner_id, o.id, k.keys, k.input_keys
	from old o
	cross join lateral (select
		(select coalesce(jsonb_agg(a.storage_key order by a.index), '[]')
			from public.generation_assets a
			where $3::boolean and a.owner_id = o.owner_id and a.job_id = o.id
				and a.storage_key is not null) as keys,
		(select coalesce(jsonb_agg(i.key order by i.key), '[]')
			from inputs i
			where i.owner_id = o.owner_id and i.job_id = o.id) as input_keys) k
	where k.keys <> '[]' or k.input_keys <> '[]'
	on conflict do nothing
	returning keys, input_keys
), strays as (
	delete from public.generation_strays s
	using old o
	where s.owner_id = o.owner_id and s.job_id = o.id and s.ended_at is not null
), trail as (
	delete from public.generation_events e
	using old o
	where e.owner_id = o.owner_id and e.job_id = o.id
	returning 1
), gone as (
	delete from public.generation_jobs j
	using old o
	where j.owner_id = o.owner_id and j.id = o.id
	returning 1
)
select (select o.id from old o order by o.id desc limit 1) as last,
	(select count(*) from gone) as jobs,
	(select count(*) from trail) as events,
	(select coalesce(sum(jsonb_array_length(f.keys) + jsonb_array_length(f.input_keys)), 0)
		from files f) as files
