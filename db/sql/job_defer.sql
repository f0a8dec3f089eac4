-- Come back to a job later and give its lease back; its state stays.  One row if the
-- lease was still this claim's.  Whoever moved the job meanwhile wants it looked at
-- when he said, and its counts are of what was before.
-- $1 owner  $2 job  $3 the version that the caller saw  $4 due in, ms
-- $5 tries  $6 misses  $7 the number of the claim
update public.generation_live
set due_at = case when version = $3::integer then now() + $4::bigint * interval '1 millisecond'
		else least(due_at, now() + $4::bigint * interval '1 millisecond') end,
	tries = case when version = $3::integer then $5::integer else tries end,
	misses = case when version = $3::integer then $6::integer else misses end,
	lease_until = null, leased_by = null
where owner_id = $1::uuid and job_id = $2::uuid and leased_by = $7::bigint
returning version
