-- Something named a prediction that its job does not have: to be looked at.
-- Nothing changes when it is known already.
-- $1 owner  $2 job  $3 prediction  $4 provider  $5 the road it came by, or null
-- $6 how it is reached, or null
insert into public.generation_strays (owner_id, job_id, prediction_id, provider, road, handle)
values ($1::uuid, $2::uuid, $3::text, $4::text, $5::text, $6::text)
on conflict do nothing
