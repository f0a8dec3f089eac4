#!/bin/sh
# Write SQL files as rows of C: ROW(name, "text").
# usage: embed-sql.sh ROW FILE...      Leading "--" lines are for readers only.
set -eu
row=$1
shift
for file in "$@"; do
	name=$(basename "$file" .sql)
	printf '%s(%s,\n' "$row" "$name"
	awk '
		!body && /^(--|[ \t]*$)/ { next }
		{
			body = 1
			gsub(/\\/, "\\\\")
			gsub(/"/, "\\\"")
			printf "\t\"%s\\n\"\n", $0
		}
	' "$file"
	printf ')\n'
done
