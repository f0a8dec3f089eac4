-- What is in flight, by state; for monitoring.  Looks at every live row.
-- unstored_us: how long ago the oldest outputs came that are not all kept
select l.state, count(*) as jobs,
	(extract(epoch from clock_timestamp() - min(j.created_at)) * 1000000)::bigint as oldest_us,
	(extract(epoch from clock_timestamp() - min(e.at)) * 1000000)::bigint as unstored_us
from public.generation_live l
join public.generation_jobs j on j.owner_id = l.owner_id and j.id = l.job_id
left join lateral (
	select min(at) as at
	from public.generation_events
	where l.state = 'storing' and owner_id = l.owner_id and job_id = l.job_id
		and state_to = 'storing'
) e on true
group by l.state
