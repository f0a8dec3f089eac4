-- Be the one process that does what has that name, unless one has begun it shortly before.
-- No row: one has.
-- $1 name  $2 how shortly, ms
insert into public.generation_shared as s (name, value)
values ($1::text, 'true')
on conflict (name) do update set value = excluded.value, updated_at = now()
where s.updated_at <= now() - $2::bigint * interval '1 millisecond'
returning name
