-- Keep the lease of a job that is being worked on, unless it is over, given back, or
-- another claim's.
-- $1 owner  $2 job  $3 lease, ms  $4 the number of the claim
update public.generation_live
set lease_until = now() + $3::bigint * interval '1 millisecond'
where owner_id = $1::uuid and job_id = $2::uuid and lease_until > now() and leased_by = $4::bigint
