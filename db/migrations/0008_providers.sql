-- What providers that differ from the first one need.

alter table public.generation_live
	-- How the prediction is reached, in its adapter's words, where the id alone does
	-- not say it; before the create's answer what the request knew.
	add column handle  text,
	-- As the profile had it when the create was sent: {"per", "amount", "currency"}.
	add column price   jsonb,
	-- That the provider worked, by its own account.
	add column seconds double precision;

alter table public.generation_jobs
	add column handle   text,		-- as prediction_id: once it has settled
	add column cost     numeric,		-- of what the provider made, by the profile's price
	add column currency text;

-- An output that came inside an answer, in base64, until it is kept or given up; its
-- source_url is "data:" then.  Pictures do not get any smaller.
alter table public.generation_assets add column inline text;
alter table public.generation_assets alter column inline set storage external;

alter table public.generation_strays add column handle text;
