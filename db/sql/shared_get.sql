-- What the processes share under a name, and how old it is.
-- $1 name
select value #>> '{}' as value,
	(extract(epoch from now() - updated_at) * 1000)::bigint as age_ms
from public.generation_shared
where name = $1::text
