-- Not all files of a deleted job could be removed: try again.
-- $1 owner  $2 job  $3 due in, ms
update public.generation_removals
set due_at = now() + $3::bigint * interval '1 millisecond', lease_until = null,
	attempts = attempts + 1
where owner_id = $1::uuid and job_id = $2::uuid
