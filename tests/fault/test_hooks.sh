#!/bin/sh
# What only tests are to have is in the tests' program and not in the product.
# TAP.
cd "${builddir:-build}" || exit 1
[ -e tests/fault/gengate ] || { echo "1..0 # SKIP without cmocka there is no tests/fault/gengate"; exit 0; }

number=0
for word in PAUSE_POINT_FILE CLOCK_WRONG_BY_S MEM_FAULT_FILE create.committed; do
	number=$((number + 1))
	if grep -q "$word" tests/fault/gengate && ! grep -q "$word" gengate; then
		echo "ok $number - $word is a hook of the tests alone"
	else
		echo "not ok $number - $word is a hook of the tests alone"
	fi
done
echo "1..$number"
