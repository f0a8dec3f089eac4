-- What `gengate check` wants to know of the schema and of the rights that this
-- role has.  One row, also where a table is missing.
with needed (name, rights) as (values
	('generation_jobs', array['select', 'insert', 'update', 'delete']),
	('generation_live', array['select', 'insert', 'update', 'delete']),
	('generation_removals', array['select', 'insert', 'update', 'delete']),
	('generation_inputs', array['select', 'insert', 'update', 'delete']),
	('generation_strays', array['select', 'insert', 'update', 'delete']),
	('generation_assets', array['select', 'insert', 'update']),
	('generation_events', array['select', 'insert', 'delete']),
	('generation_shared', array['select', 'insert', 'update']),
	('generation_migrations', array['select'])
)
select current_user::text as who,
	(select string_agg(a.attname::text, ', ' order by k.n)
		from pg_catalog.pg_constraint c
		cross join lateral unnest(c.conkey) with ordinality as k (attnum, n)
		join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.attnum
		where c.conrelid = to_regclass('public.generation_live') and c.contype = 'p') as live_key,
	(select string_agg(r.what || ' on ' || n.name, ', ' order by n.name, r.what)
		from needed n
		cross join lateral unnest(n.rights) as r (what)
		where not has_table_privilege(to_regclass('public.' || n.name)::oid, r.what)) as missing_rights,
	-- Row level security shows nothing, without an error, to a role without a policy.
	(select string_agg(n.name, ', ' order by n.name)
		from needed n
		join pg_catalog.pg_class c on c.oid = to_regclass('public.' || n.name)
		where row_security_active(c.oid) and not exists (
			select from pg_catalog.pg_policy p
			cross join lateral unnest(p.polroles) as r (oid)
			where p.polrelid = c.oid and p.polcmd = '*' and (r.oid = 0 or pg_has_role(r.oid, 'usage')))
		) as hidden_tables,
	case
		when not exists (select from pg_catalog.pg_publication where pubname = 'supabase_realtime') then 'none'
		when exists (select from pg_catalog.pg_publication_tables where pubname = 'supabase_realtime'
			and schemaname = 'public' and tablename = 'generation_jobs') then 'in'
		else 'out'
	end as realtime
