-- Share a text under a name; its age is 0 again.
-- $1 name  $2 text
insert into public.generation_shared as s (name, value)
values ($1::text, to_jsonb($2::text))
on conflict (name) do update set value = excluded.value, updated_at = now()
