-- A probe went well: the pause ends, unless it is another's by now.  One row if it
-- ended here.
-- $1 name  $2 the probe's number
update public.generation_shared
set value = 'null'::jsonb, updated_at = now()
where name = $1::text and (value ->> 'probe')::bigint = $2::bigint
returning 1
