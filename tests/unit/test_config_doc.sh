# docs/config.md is what the program says about its own configuration.
page=$srcdir/docs/config.md
echo 1..1
if "$builddir/gengate" config --markdown | diff -u "$page" - >test_config_doc.$$; then
	echo "ok 1 - docs/config.md is up to date"
else
	sed 's/^/# /' test_config_doc.$$
	echo "# To refresh it: build/gengate config --markdown >docs/config.md"
	echo "not ok 1 - docs/config.md is up to date"
fi
rm -f test_config_doc.$$
