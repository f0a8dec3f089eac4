-- All that is known of a job, for an operator: the record, the live row, the outputs,
-- predictions that came up beside its own, the trail.  No signed address: whoever has one can read the file.
-- $1 owner  $2 job
select json_build_object(
	'now_us', (extract(epoch from now()) * 1000000)::bigint,
	'job', json_build_object('id', j.id, 'owner', j.owner_id, 'status', j.status,
		'error', j.error_code, 'version', j.version, 'model', j.model, 'provider', j.provider,
		'prediction', j.prediction_id,
		'created_us', (extract(epoch from j.created_at) * 1000000)::bigint,
		'started_us', (extract(epoch from j.started_at) * 1000000)::bigint,
		'completed_us', (extract(epoch from j.completed_at) * 1000000)::bigint,
		'deadline_us', (extract(epoch from j.deadline_at) * 1000000)::bigint,
		'idempotency_key', j.idempotency_key, 'request', j.request, 'metadata', j.metadata),
	'live', (
		select json_build_object('state', l.state, 'slot', l.slot, 'version', l.version,
			'attempts', l.attempts, 'tries', l.tries, 'misses', l.misses,
			'prediction', l.prediction_id,
			'sent_us', (extract(epoch from l.sent_at) * 1000000)::bigint,
			'sent_until_us', (extract(epoch from l.sent_until) * 1000000)::bigint,
			'expires_us', (extract(epoch from l.expires_at) * 1000000)::bigint,
			'due_us', (extract(epoch from l.due_at) * 1000000)::bigint,
			'leased_until_us', (extract(epoch from l.lease_until) * 1000000)::bigint,
			'deadline_us', (extract(epoch from l.deadline_at) * 1000000)::bigint,
			'cancel', l.cancel_reason,
			'cancel_asked_us', (extract(epoch from l.cancel_asked_at) * 1000000)::bigint)
		from public.generation_live l
		where l.owner_id = j.owner_id and l.job_id = j.id),
	'outputs', (
		select coalesce(json_agg(json_build_object('index', a.index, 'source', a.source_url,
			'key', a.storage_key, 'content_type', a.content_type, 'bytes', a.bytes,
			'width', a.width, 'height', a.height, 'sha256', encode(a.sha256, 'hex'),
			'error', a.error_code,
			'stored_us', (extract(epoch from a.stored_at) * 1000000)::bigint) order by a.index), '[]')
		from public.generation_assets a
		where a.owner_id = j.owner_id and a.job_id = j.id),
	'strays', (
		select coalesce(json_agg(json_build_object('prediction', s.prediction_id,
			'provider', s.provider, 'road', s.road, 'attempts', s.attempts, 'verdict', s.verdict,
			'created_us', (extract(epoch from s.created_at) * 1000000)::bigint,
			'due_us', (extract(epoch from s.due_at) * 1000000)::bigint,
			'found_us', (extract(epoch from s.found_at) * 1000000)::bigint,
			'ended_us', (extract(epoch from s.ended_at) * 1000000)::bigint)
			order by s.created_at, s.prediction_id), '[]')
		from public.generation_strays s
		where s.owner_id = j.owner_id and s.job_id = j.id),
	'trail', (
		select coalesce(json_agg(json_build_object(
			'at_us', (extract(epoch from e.at) * 1000000)::bigint,
			'event', e.event, 'from', e.state_from, 'to', e.state_to,
			'delivery', e.delivery, 'detail', e.detail) order by e.id), '[]')
		from public.generation_events e
		where e.owner_id = j.owner_id and e.job_id = j.id)
	) as evidence
from public.generation_jobs j
where j.owner_id = $1::uuid and j.id = $2::uuid
