-- A stray is dealt with.  One row when it was ended here.
-- $1 owner  $2 job  $3 prediction  $4 verdict
update public.generation_strays
set ended_at = now(), verdict = $4::text, lease_until = null
where owner_id = $1::uuid and job_id = $2::uuid and prediction_id = $3::text and ended_at is null
returning verdict
