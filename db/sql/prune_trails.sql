-- Delete the trails of up to 500 jobs that ended long enough ago.  One row: the last
-- id looked at, null when there was none; how many events went; and whether a job has
-- yet to end, or ended too lately, or has another prediction that may still cost
-- something, so that it has to be looked at again.
-- The limit and the ids' bounds are for the plan, as in prune_jobs.sql.
-- $1 since when they have ended, ms  $2 the id to go on after
with seen as (
	select j.owner_id, j.id,
		coalesce(j.completed_at < now() - $1::bigint * interval '1 millisecond', false)
			and not exists (select from public.generation_strays s
				where s.owner_id = j.owner_id and s.job_id = j.id and s.ended_at is null) as is_old
	from public.generation_jobs j
	where j.id > $2::uuid
		and j.id < (lpad(to_hex(greatest((extract(epoch from now()) * 1000)::bigint - $1::bigint, 0)),
			12, '0') || repeat('0', 20))::uuid
	order by j.id
	limit 500
), gone as (
	delete from public.generation_events e
	using seen s
	where s.is_old and e.owner_id = s.owner_id and e.job_id = s.id
	returning 1
)
select (select s.id from seen s order by s.id desc limit 1) as last,
	(select count(*) from gone) as events,
	exists (select from seen s where not s.is_old) as some_stay
