-- What the owner may see of a job.
-- $1 owner  $2 job
select j.id, j.status, j.version, j.model, j.provider, j.error_code,
	j.metadata,
	case when j.cost is not null then
		json_build_object('amount', j.cost, 'currency', j.currency) end as cost,
	(extract(epoch from j.created_at) * 1000000)::bigint as created_us,
	(extract(epoch from j.started_at) * 1000000)::bigint as started_us,
	(extract(epoch from j.completed_at) * 1000000)::bigint as completed_us,
	case when j.completed_at is not null then
		(select json_agg(json_build_object('index', a.index, 'key', a.storage_key,
				'content_type', a.content_type, 'bytes', a.bytes,
				'width', a.width, 'height', a.height,
				'sha256', encode(a.sha256, 'hex'), 'signed_url', a.signed_url,
				'signed_until_us', (extract(epoch from a.signed_until) * 1000000)::bigint) order by a.index)
			from public.generation_assets a
			where a.owner_id = j.owner_id and a.job_id = j.id
				and a.stored_at is not null)
	end as assets
from public.generation_jobs j
where j.owner_id = $1::uuid and j.id = $2::uuid
