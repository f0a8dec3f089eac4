#include "config.h"

#include "base/http_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "base/mem.h"
#include "tests/unit/unit.h"

static const struct { const char *ip; bool is_public; } rows[] = {
	{ "8.8.8.8", true },
	{ "1.1.1.1", true },
	{ "0.0.0.0", false },
	{ "0.255.255.255", false },
	{ "1.0.0.0", true },
	{ "9.255.255.255", true },
	{ "10.0.0.0", false },
	{ "10.255.255.255", false },
	{ "11.0.0.0", true },
	{ "100.63.255.255", true },
	{ "100.64.0.0", false },
	{ "100.127.255.255", false },
	{ "100.128.0.0", true },
	{ "127.0.0.1", false },
	{ "127.255.255.255", false },
	{ "128.0.0.1", true },
	{ "169.254.169.254", false },
	{ "169.253.255.255", true },
	{ "172.15.255.255", true },
	{ "172.16.0.0", false },
	{ "172.31.255.255", false },
	{ "172.32.0.0", true },
	{ "192.0.0.170", false },
	{ "192.0.1.0", true },
	{ "192.0.2.1", false },
	{ "192.88.99.1", false },
	{ "192.167.255.255", true },
	{ "192.168.0.1", false },
	{ "192.169.0.0", true },
	{ "198.17.255.255", true },
	{ "198.18.0.0", false },
	{ "198.19.255.255", false },
	{ "198.20.0.0", true },
	{ "198.51.100.7", false },
	{ "203.0.113.7", false },
	{ "223.255.255.255", true },
	{ "224.0.0.1", false },
	{ "239.255.255.255", false },
	{ "240.0.0.0", false },
	{ "255.255.255.255", false },

	{ "2606:4700:4700::1111", true },
	{ "2a00:1450:4001:80b::200e", true },
	{ "::", false },
	{ "::1", false },
	{ "::2", false },
	{ "::8.8.8.8", false },			/* compatible, given up */
	{ "::ffff:127.0.0.1", false },
	{ "::ffff:10.1.2.3", false },
	{ "::ffff:169.254.169.254", false },
	{ "::ffff:8.8.8.8", true },
	{ "64:ff9b::7f00:1", false },
	{ "64:ff9b::192.168.1.1", false },
	{ "64:ff9b::8.8.8.8", true },
	{ "64:ff9b:1::8.8.8.8", false },	/* local NAT64 */
	{ "64:ff9b::1:8.8.8.8", false },
	{ "2002:7f00:1::", false },
	{ "2002:a9fe:a9fe::1", false },
	{ "2002:808:808::1", true },
	{ "2001::1", false },			/* Teredo */
	{ "2001:1ff::1", false },
	{ "2001:200::1", true },
	{ "2001:db8::1", false },
	{ "2001:db9::1", true },
	{ "3fff::1", false },
	{ "3fff:1000::1", true },
	{ "100::1", false },
	{ "1fff::1", false },
	{ "4000::1", false },
	{ "5f00::1", false },
	{ "fc00::1", false },
	{ "fdff::1", false },
	{ "fe80::1", false },
	{ "febf::1", false },
	{ "fec0::1", false },
	{ "ff02::1", false },
};

static bool
check_sockaddr(const char *ip)
{
	struct sockaddr_storage ss = { .ss_family = AF_UNSPEC };
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

	if (inet_pton(AF_INET, ip, &in.sin_addr) == 1) {
		memcpy(&ss, &in, sizeof in);
	} else {
		assert_int_equal(inet_pton(AF_INET6, ip, &in6.sin6_addr), 1);
		memcpy(&ss, &in6, sizeof in6);
	}
	return http_address_is_public((struct sockaddr *)&ss);
}

static void
only_the_internet_is_public(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (check_sockaddr(rows[i].ip) != rows[i].is_public ||
		    http_address_text_is_public(rows[i].ip) != rows[i].is_public)
			fail_msg("%s", rows[i].ip);
	}
}

static void
everything_else_is_not(void **state)
{
	static const char *const texts[] = {
		"", "localhost", "8.8.8", "8.8.8.8.", " 8.8.8.8", "08.8.8.8",
		"8.8.8.8:80", "fe80::1%lo", "2606:4700:4700::1111%1", "[2606:4700::1]",
	};
	struct sockaddr_storage ss = { .ss_family = AF_UNIX };

	(void)state;
	assert_false(http_address_is_public((struct sockaddr *)&ss));
	ss.ss_family = AF_UNSPEC;
	assert_false(http_address_is_public((struct sockaddr *)&ss));
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		assert_false(http_address_text_is_public(texts[i]));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_internet_is_public),
		cmocka_unit_test(everything_else_is_not),
	};

	return cmocka_run_group_tests_name("http_address", tests, NULL, NULL);
}
