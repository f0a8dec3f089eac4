-- Come back to a job later; its state stays.  One row if it was still the same.
-- $1 owner  $2 job  $3 the version that the caller saw  $4 due in, ms
-- $5 count of attempts
update public.generation_live
set due_at = now() + $4::bigint * interval '1 millisecond',
	lease_until = null, attempts = $5::integer
where owner_id = $1::uuid and job_id = $2::uuid and version = $3::integer
returning version
