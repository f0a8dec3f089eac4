-- Pause a provider that takes nothing from us, or prolong its pause.  What came
-- from calls that were under way when it began prolongs it a little; what comes when
-- its time is over is a probe that failed, and doubles it.  One row, or none: an
-- operator has paused it.
-- $1 name  $2 reason  $3 by  $4 the least wait, ms  $5 the first wait, ms
-- $6 the longest wait of ours, ms  $7 percent of it: the jitter
insert into public.generation_shared as s (name, value)
values ($1::text, jsonb_build_object('reason', $2::text, 'by', $3::text, 'operator', false,
	'since', now(), 'rounds', 0,
	'until', now() + greatest($4::bigint, $5::bigint * $7::integer / 100) * interval '1 millisecond'))
on conflict (name) do update
set updated_at = now(),
	value = case
		when s.value = 'null'::jsonb then excluded.value
		when (s.value ->> 'until')::timestamptz > now() then
			s.value || jsonb_build_object('until', greatest((s.value ->> 'until')::timestamptz,
				(excluded.value ->> 'until')::timestamptz))
		else excluded.value || jsonb_build_object('since', s.value -> 'since',
			'rounds', (s.value ->> 'rounds')::integer + 1,
			'until', now() + greatest($4::bigint, least($6::bigint,
				$5::bigint * 2 ^ least((s.value ->> 'rounds')::integer + 1, 30)) * $7::integer / 100)
				* interval '1 millisecond')
	end
where s.value = 'null'::jsonb or not (s.value ->> 'operator')::boolean
	or (s.value ->> 'until')::timestamptz <= now()
returning 1
