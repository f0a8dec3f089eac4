-- Keep the lease of a job that is being worked on, unless it is over or given back.
-- $1 owner  $2 job  $3 lease, ms
update public.generation_live
set lease_until = now() + $3::bigint * interval '1 millisecond'
where owner_id = $1::uuid and job_id = $2::uuid and lease_until > now()
