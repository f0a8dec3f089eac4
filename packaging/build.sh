# Sourced by demo and check: long steps with their output in a file, and what
# comes before `make`.  Needs `set -eu` and the project as working directory.

child=
unwind() {
	trap - INT TERM HUP
	if [ -n "$child" ]; then
		kill -TERM "-$child" 2>/dev/null || :
		n=0
		while kill -0 "-$child" 2>/dev/null && [ $n -lt 100 ]; do
			sleep 0.1
			n=$((n + 1))
		done
		kill -KILL "-$child" 2>/dev/null || :
	fi
	exit "$1"
}
trap 'unwind 130' INT
trap 'unwind 143' TERM HUP

# step LOG COMMAND...: in a group of its own, so that it can be ended as a whole.
step() {
	step_log=$1
	shift
	setsid "$@" >"$step_log" 2>&1 </dev/null &
	child=$!
	step_status=0
	wait "$child" || step_status=$?
	child=
	return "$step_status"
}

# must LOG COMMAND...: the same, but its failure ends the script.
must() {
	if ! step "$@"; then
		tail -n "${TAIL:-40}" "$1" >&2
		echo "Failed; all of it is in $1" >&2
		exit 1
	fi
}

jobs=$(nproc 2>/dev/null || echo 2)

# build_dir DIR: ours to write in?
build_dir() {
	if ! mkdir -p "$1" 2>/dev/null || [ ! -w "$1" ]; then
		echo "$PWD/$1 cannot be written to; did another user build here?" >&2
		exit 1
	fi
}

# configure_in DIR [ARGUMENT...]: configure there if that is needed.  Without
# arguments any earlier configuration will do.
configure_in() {
	dir=$1
	shift
	build_dir "$dir"
	if [ ! -e configure ] || [ -n "$(find configure.ac Makefile.am ./*/local.am ./*/*/local.am \
			-newer configure 2>/dev/null | head -n 1)" ]; then
		must build/autoreconf.log autoreconf -fi
		touch configure
	fi
	if [ -e "$dir/config.status" ] && [ ! configure -nt "$dir/config.status" ]; then
		[ $# -gt 0 ] || return 0
		[ "$*" != "$(cat "$dir/configured" 2>/dev/null)" ] || return 0
	fi
	[ $# -gt 0 ] || [ ! -e "$dir/configured" ] || eval "set -- $(cat "$dir/configured")"
	up=$(echo "$dir" | sed 's,[^/][^/]*,..,g')
	echo "$*" >"$dir/configured.new"
	# Whatever was compiled with other flags does not count.
	changed=
	cmp -s "$dir/configured.new" "$dir/configured" || changed=1
	must "$dir/configure.log" sh -c 'cd "$1" && up=$2 && shift 2 && "$up/configure" -q "$@"' sh "$dir" "$up" "$@"
	[ -z "$changed" ] || must "$dir/clean.log" make -C "$dir" clean
	mv "$dir/configured.new" "$dir/configured"
}
