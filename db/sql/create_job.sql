-- Take a job or say why not; see the function in migrations/0007_slots.sql.
-- $1 owner  $2 id  $3 slots  $4 idempotency key or null  $5 fingerprint, hex
-- $6 model  $7 provider  $8 request  $9 metadata or null  $10 time left, ms
-- created_us is of a job that is new.  What create_job() has just inserted is not
-- visible here: only a repeated call finds its job.
select outcome, job_id,
	(extract(epoch from coalesce((select j.created_at from public.generation_jobs j
			where j.owner_id = $1::uuid and j.id = $2::uuid), now())) * 1000000)::bigint
		as created_us
from public.create_job($1::uuid, $2::uuid, $3::integer, $4::text,
	decode($5::text, 'hex'), $6::text, $7::text, $8::json, $9::json,
	$10::bigint * interval '1 millisecond')
