-- The time of a pause is over: who tries whether it may end?  One row if it is the
-- caller, for as long as the lease; a lease of 0 gives the probe back.
-- $1 name  $2 a number that the caller drew  $3 lease, ms
update public.generation_shared
set value = value || jsonb_build_object('probe', $2::bigint,
	'probe_until', now() + $3::bigint * interval '1 millisecond')
where name = $1::text and (value ->> 'until')::timestamptz <= now()
	and (value ->> 'probe' is null or (value ->> 'probe_until')::timestamptz <= now()
		or (value ->> 'probe')::bigint = $2::bigint)
returning 1
