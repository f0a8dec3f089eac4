-- Jobs by their id alone: for pruning, and for an operator who has nothing else.
--
-- Ids are UUIDv7, so this is the order of age, of all owners together: what is old
-- enough to go is the left end, and finding it costs the same with a thousand rows
-- as with ten million.  Chosen over
--   completed_at, which changes when a job ends: with an index on it that update
--     would write an entry into every index of the row;
--   BRIN, whose ranges never get narrower: where pruned rows' space is used again,
--     each range soon holds old and new, and a look for what is old reads everything.
-- An id never changes, so updates of a job stay HOT; new ones go to the right
-- end.  Ten million take 300 MB.  Not unique: that is the primary key's to say, for
-- each owner.
--
-- On a large table that must not be locked meanwhile, this can be made before, by
--   create index concurrently generation_jobs_id on public.generation_jobs (id);
create index if not exists generation_jobs_id on public.generation_jobs (id);

-- What is pruned leaves room that new rows use, once vacuum has been there: after a
-- twentieth, not after a fifth of a large table.
alter table public.generation_jobs   set (autovacuum_vacuum_scale_factor = 0.05);
alter table public.generation_assets set (autovacuum_vacuum_scale_factor = 0.05);
alter table public.generation_events set (autovacuum_vacuum_scale_factor = 0.05);
