-- Which job is in the way of another one of that owner?  No row: none is.
-- $1 owner  $2 slots
select l.job_id
from public.generation_live l
where l.owner_id = $1::uuid and (select count(*) from public.generation_live f
	where f.owner_id = $1::uuid and f.slot < $2::integer) >= $2::integer
order by l.job_id
limit 1
