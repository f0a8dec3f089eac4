-- End a job: its live row goes, its record gets its end.  One row when it ended
-- here, none when somebody was faster; it has the road on which the outputs came,
-- if they did.
-- $1 owner  $2 job  $3 the version that the caller saw  $4 final status
-- $5 error code or null  $6 event  $7 delivery or null  $8 detail or null
-- $9 its prediction, if this event told; what was only hinted at does not count
-- $10 how that is reached, or null  $11 how long the provider worked, s, or null
with ended as (
	delete from public.generation_live l
	where l.owner_id = $1::uuid and l.job_id = $2::uuid and l.version = $3::integer
	returning l.owner_id, l.job_id, l.state,
		coalesce($9::text, case when l.state in ('running', 'storing') then l.prediction_id end)
			as prediction_id,
		coalesce($10::text, l.handle) as handle,
		l.price, coalesce($11::double precision, l.seconds) as seconds
), record as (
	update public.generation_jobs j
	set status = $4::text, error_code = $5::text, completed_at = now(),
		version = j.version + 1, prediction_id = e.prediction_id, handle = e.handle,
		cost = c.cost, currency = case when c.cost is not null then e.price ->> 'currency' end
	from ended e
	-- Of nothing that the provider has said to have made there is no cost.
	cross join lateral (select (e.price ->> 'amount')::numeric
			* case e.price ->> 'per' when 'image' then nullif(made.n, 0) else e.seconds::numeric end
			as cost
		from (select count(*)::numeric as n from public.generation_assets a
			where e.price is not null and a.owner_id = e.owner_id and a.job_id = e.job_id) made) c
	where j.owner_id = e.owner_id and j.id = e.job_id
), dropped as (
	-- What came inside an answer that was never believed.
	update public.generation_assets a
	set inline = null
	from ended e
	where a.owner_id = e.owner_id and a.job_id = e.job_id and a.inline is not null
), trail as (
	insert into public.generation_events
		(owner_id, job_id, event, state_from, state_to, delivery, detail)
	select e.owner_id, e.job_id, $6::text, e.state, 'settled', $7::text, $8::jsonb
	from ended e
	on conflict do nothing
)
select (
	select v.detail ->> 'road'
	from public.generation_events v
	where e.state = 'storing' and v.owner_id = e.owner_id and v.job_id = e.job_id
		and v.state_to = 'storing'
	order by v.id
	limit 1
) as outputs_road
from ended e
