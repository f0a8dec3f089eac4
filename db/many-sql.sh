#!/bin/sh
# Make a statement that looks up eight jobs from one that looks up one: the same
# columns, and in front of them n, which of the eight.  A pair of nulls finds nothing.
# usage: many-sql.sh FILE      The file has $1::uuid, the owner, and $2::uuid, the job.
set -eu
cat <<'END'
-- Always eight: with an array Postgres would think short ones worth a plan of their own, each time.
select w.n, found.*
from (values
END
for n in 1 2 3 4 5 6 7 8; do
	[ "$n" -lt 8 ] && comma=, || comma=
	printf '\t(%d, $%d::uuid, $%d::uuid)%s\n' "$n" $((2 * n - 1)) $((2 * n)) "$comma"
done
cat <<'END'
) as w(n, owner_id, id)
cross join lateral (
END
sed -e '/^--/d' -e 's/\$1::uuid/w.owner_id/g' -e 's/\$2::uuid/w.id/g' "$1"
printf ') as found\n'
