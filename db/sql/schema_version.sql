-- The newest migration that was applied; fails where none ever was.
select coalesce(max(number), 0) from public.generation_migrations
