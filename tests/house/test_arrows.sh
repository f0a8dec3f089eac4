#!/bin/sh
# The house: arrows go one way, and each library is included in one folder only.
# TAP.
set -u
cd "${srcdir:-.}" || exit 1

tests=0
result() {
	# result STATUS NAME: what was printed before it is the reason
	tests=$((tests + 1))
	if [ "$1" -eq 0 ]; then echo "ok $tests - $2"; else echo "not ok $tests - $2"; fi
}

# may FOLDER REGEX: from there, only folders of ours that match are included.
includes_of_ours() {
	grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]+"[a-z]+/' "$1" --include='*.[ch]'
}
breaks_arrows() {
	# Prints the lines that break the rule; 0 if there is one.
	includes_of_ours "$1" | grep -vE "include[[:space:]]+\"($2)/" | sed 's/^/# /' | grep .
}
may() {
	breaks_arrows "$1" "$2"
	[ $? -ne 0 ]
	result $? "$1/ includes nothing but $2"
}

# alone HEADER FOLDERS: a library's header in these folders only.
breaks_alone() {
	grep -rnE "^[[:space:]]*#[[:space:]]*include[[:space:]]+<($1)>" \
		base db storage providers core fcgi cli --include='*.[ch]' |
		grep -vE "^($2)/" | sed 's/^/# /' | grep .
}
alone() {
	breaks_alone "$1" "$2"
	[ $? -ne 0 ]
	result $? "<$1> is included in $2/ alone"
}

may base 'base'
may db 'db|base'
may storage 'storage|base'
may providers 'providers|base'
may core 'core|providers|storage|db|base'
may fcgi 'fcgi|core|providers|storage|db|base'
may cli 'cli|fcgi|core|providers|storage|db|base'

alone 'fcgiapp\.h|fcgi_stdio\.h' 'fcgi'
alone 'libpq-fe\.h|postgres_ext\.h' 'db'
alone 'curl/.*' 'base'
alone 'openssl/.*' 'base'
alone 'jose/.*' 'base'

# Every .c includes config.h first.
late=$(for f in base/*.c db/*.c storage/*.c providers/*.c core/*.c fcgi/*.c cli/*.c; do
	first=$(grep -m1 '^#include' "$f")
	[ "$first" = '#include "config.h"' ] || echo "# $f: $first"
done)
[ -z "$late" ] || echo "$late"
[ -z "$late" ]
result $? 'config.h comes first'

# A check that cannot fail is none: seeded breaches are found.
seed=$(mktemp -d)
mkdir -p "$seed/base" "$seed/db" "$seed/storage" "$seed/providers" "$seed/core" "$seed/fcgi" "$seed/cli"
echo '#include "core/job.h"' >"$seed/base/bad.c"
echo '#  include <libpq-fe.h>' >"$seed/core/bad.h"
found=0
(cd "$seed" && breaks_arrows base base >/dev/null) && found=$((found + 1))
(cd "$seed" && breaks_alone 'libpq-fe\.h' db >/dev/null) && found=$((found + 1))
rm -rf "$seed"
[ "$found" -eq 2 ]
result $? 'seeded breaches are found'

echo "1..$tests"
