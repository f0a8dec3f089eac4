-- Take a job or say why not; see the function in migrations/0001_init.sql.
-- $1 owner  $2 id  $3 slots  $4 idempotency key or null  $5 fingerprint, hex
-- $6 model  $7 provider  $8 request  $9 metadata or null  $10 time left, ms
select outcome, job_id
from public.create_job($1::uuid, $2::uuid, $3::integer, $4::text,
	decode($5::text, 'hex'), $6::text, $7::text, $8::json, $9::json,
	$10::bigint * interval '1 millisecond')
