-- Be the one process that prunes, or go on being it.  No row when another one is.
-- Whose trails are gone already is told, and can be put.
-- $1 a number drawn by the process  $2 for how long, ms
-- $3 the job up to which all trails are gone, or null for no change
insert into public.generation_shared as s (name, value, expires_at)
values ('pruning', jsonb_strip_nulls(jsonb_build_object('by', $1::text, 'trails', $3::uuid)),
	now() + $2::bigint * interval '1 millisecond')
on conflict (name) do update
set value = s.value || excluded.value, expires_at = excluded.expires_at, updated_at = now()
where s.expires_at <= now() or s.value ->> 'by' = $1::text
returning value ->> 'trails' as trails
