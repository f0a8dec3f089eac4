-- Come back to a stray that is not dealt with.
-- $1 owner  $2 job  $3 prediction  $4 due in, ms  $5 misses
update public.generation_strays
set due_at = now() + $4::bigint * interval '1 millisecond', lease_until = null,
	attempts = attempts + 1, misses = $5::integer
where owner_id = $1::uuid and job_id = $2::uuid and prediction_id = $3::text and ended_at is null
