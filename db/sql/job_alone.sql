-- May a prediction that says nobody's name be this job's?  Not if another job has it, or
-- if another job of those days asked for the same and could be meant: at that provider,
-- or gone on from one to another.  Ids sort by age, by the clocks of our hosts; a job lives
-- for a day at most before it is stored.  No row for a job that is not there.
-- $1 owner  $2 job  $3 prediction  $4 provider  $5 a webhook of the job's named it: then only
-- who has it counts
with this as (
	select j.request ->> 'prompt' as prompt,
		coalesce(l.sent_at, j.created_at) as sent_at,
		(lpad(to_hex(greatest((extract(epoch from j.created_at) * 1000)::bigint - 2 * 86400000, 0)),
			12, '0') || repeat('0', 20))::uuid as oldest
	from public.generation_jobs j
	left join public.generation_live l on l.owner_id = j.owner_id and l.job_id = j.id
	where j.owner_id = $1::uuid and j.id = $2::uuid
)
select not exists (
		select from public.generation_live l
		where l.prediction_id = $3::text and l.job_id <> $2::uuid
	) and not exists (
		select from public.generation_jobs j
		where j.id >= this.oldest and j.id <> $2::uuid
			and ((j.prediction_id = $3::text and j.provider = $4::text)
				or (not $5::boolean and j.request ->> 'prompt' is not distinct from this.prompt
					and coalesce(j.completed_at, now()) > this.sent_at - interval '15 minutes'
					and (j.provider = $4::text or exists (
						select from public.generation_events e
						where e.owner_id = j.owner_id and e.job_id = j.id
							and e.detail ->> 'next_provider' is not null))))
	) as alone
from this
