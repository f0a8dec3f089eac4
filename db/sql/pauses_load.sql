-- Which providers are paused, for how long, and why.  The row of one that was
-- resumed stays, with a null of JSON's in it.
select substr(s.name, length('pause:') + 1) as provider, s.value ->> 'reason' as reason,
	s.value ->> 'by' as by, (s.value ->> 'operator')::boolean::integer as operator,
	coalesce((s.value ->> 'probe_until')::timestamptz > now(), false)::integer as probed,
	(extract(epoch from (s.value ->> 'since')::timestamptz) * 1000000)::bigint as since_us,
	(extract(epoch from (s.value ->> 'until')::timestamptz) * 1000000)::bigint as until_us,
	(extract(epoch from (s.value ->> 'until')::timestamptz - now()) * 1000)::bigint as left_ms,
	(s.value ->> 'rounds')::bigint as rounds
from public.generation_shared s
where s.name like 'pause:%' and s.value <> 'null'::jsonb
order by s.name
