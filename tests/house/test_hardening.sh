#!/bin/sh
# The program that is installed: is it built as ./configure promises?  TAP.
set -u
program=${builddir:-.}/gengate

skip() {
	echo "1..0 # SKIP $*"
	exit 0
}
command -v readelf >/dev/null || skip "no readelf here; Debian: binutils"
readelf -h "$program" >/dev/null 2>&1 || skip "$program is no ELF file"
# Not asked for, or not possible: sanitizers, an old compiler, no optimization.
flags=$(sed -n 's/^HARD_\(CFLAGS\|LDFLAGS\) = //p' "${builddir:-.}/Makefile")
case $flags in
*-pie*relro*FORTIFY* | *FORTIFY*-pie*relro*) ;;
*) skip "configured without" ;;
esac

tests=0
result() {
	# result STATUS NAME
	tests=$((tests + 1))
	if [ "$1" -eq 0 ]; then echo "ok $tests - $2"; else echo "not ok $tests - $2"; fi
}
# has PROGRAM READELF_OPTIONS REGEX
has() {
	readelf -W $2 "$1" 2>/dev/null | grep -qE "$3"
}

has "$program" -h 'Type: +DYN'
result $? "its place in memory is drawn at each start (PIE)"
has "$program" -l 'GNU_RELRO'
result $? "addresses of functions are read-only (RELRO)"
has "$program" -d 'BIND_NOW|FLAGS_1.*NOW'
result $? "... all of them, from the start (BIND_NOW)"
has "$program" -l 'GNU_STACK.* RW '
result $? "no code runs on the stack"
has "$program" --dyn-syms '__stack_chk_fail'
result $? "stacks have canaries"
has "$program" --dyn-syms '__(memcpy|snprintf|vsnprintf|printf|fprintf|read|realpath|memset)_chk'
result $? "copies are checked (_FORTIFY_SOURCE)"

# A check that cannot fail is none.
seed=$(mktemp -d)
echo 'int main(void) { return 0; }' >"$seed/soft.c"
if ${CC:-cc} -O0 -no-pie -fno-stack-protector -Wl,-z,norelro -Wl,-z,lazy "$seed/soft.c" -o "$seed/soft" 2>/dev/null; then
	! has "$seed/soft" -h 'Type: +DYN' && ! has "$seed/soft" -l 'GNU_RELRO' &&
		! has "$seed/soft" -d 'BIND_NOW|FLAGS_1.*NOW' && ! has "$seed/soft" --dyn-syms '__stack_chk_fail'
	result $? "a program without is told from one with"
fi
rm -rf "$seed"
echo "1..$tests"
