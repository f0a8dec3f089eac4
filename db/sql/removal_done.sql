-- The files of a deleted job are gone.
-- $1 owner  $2 job
delete from public.generation_removals
where owner_id = $1::uuid and job_id = $2::uuid
