-- An operator pauses a provider.
-- $1 name  $2 reason  $3 by  $4 for how long, ms, or null: until it is resumed
insert into public.generation_shared as s (name, value)
values ($1::text, jsonb_build_object('reason', $2::text, 'by', $3::text, 'operator', true,
	'since', now(), 'rounds', 0, 'until', now() + $4::bigint * interval '1 millisecond'))
on conflict (name) do update set updated_at = now(), value = excluded.value
