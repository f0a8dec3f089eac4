/*
 * Is an address public?  Held against the ranges written down a second time, as text,
 * and against the same IPv4 address inside an IPv6 one.
 */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include <arpa/inet.h>

#include "base/http_address.h"

/* First and last of what is not public. */
static const char *const inside[][2] = {
	{ "0.0.0.0", "0.255.255.255" }, { "10.0.0.0", "10.255.255.255" },
	{ "100.64.0.0", "100.127.255.255" }, { "127.0.0.0", "127.255.255.255" },
	{ "169.254.0.0", "169.254.255.255" }, { "172.16.0.0", "172.31.255.255" },
	{ "192.0.0.0", "192.0.0.255" }, { "192.0.2.0", "192.0.2.255" },
	{ "192.88.99.0", "192.88.99.255" }, { "192.168.0.0", "192.168.255.255" },
	{ "198.18.0.0", "198.19.255.255" }, { "198.51.100.0", "198.51.100.255" },
	{ "203.0.113.0", "203.0.113.255" }, { "224.0.0.0", "255.255.255.255" },
};

static uint32_t
number_of(const char *text)
{
	struct in_addr a;

	MUST(inet_pton(AF_INET, text, &a) == 1);
	return ntohl(a.s_addr);
}

static bool
v4_is_inside(uint32_t n)
{
	for (size_t i = 0; i < sizeof inside / sizeof *inside; i++)
		if (n >= number_of(inside[i][0]) && n <= number_of(inside[i][1]))
			return true;
	return false;
}

static bool
v6_is_public(const uint8_t *a)
{
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6 };
	char text[INET6_ADDRSTRLEN];
	bool public;

	memcpy(&sa.sin6_addr, a, 16);
	public = http_address_is_public((const struct sockaddr *)&sa);
	MUST(inet_ntop(AF_INET6, a, text, sizeof text));
	MUST(http_address_text_is_public(text) == public);
	return public;
}

static void
try_v4(const uint8_t *a)
{
	uint32_t n = (uint32_t)a[0] << 24 | (uint32_t)a[1] << 16 | (uint32_t)a[2] << 8 | a[3];
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(n) };
	bool public = http_address_is_public((const struct sockaddr *)&sa);
	uint8_t mapped[16] = { [10] = 0xff, [11] = 0xff }, nat64[16] = { 0x00, 0x64, 0xff, 0x9b },
		sixtofour[16] = { 0x20, 0x02 };

	MUST(public != v4_is_inside(n));
	memcpy(mapped + 12, a, 4);
	memcpy(nat64 + 12, a, 4);
	memcpy(sixtofour + 2, a, 4);
	MUST(v6_is_public(mapped) == public && v6_is_public(nat64) == public &&
		v6_is_public(sixtofour) == public);
}

static void
try_v6(const uint8_t *a)
{
	bool global = (a[0] & 0xe0) == 0x20;

	if (v6_is_public(a))
		MUST(global || (a[0] == 0 && (a[10] == 0xff || a[1] == 0x64)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = INPUT(data, size);
	char *text = input_rest(&in);
	uint8_t a[16];

	fuzz_begin();
	if (http_address_text_is_public(text))
		MUST(inet_pton(AF_INET, text, a) == 1 || inet_pton(AF_INET6, text, a) == 1);
	if (inet_pton(AF_INET, text, a) == 1)
		try_v4(a);
	if (inet_pton(AF_INET6, text, a) == 1)
		try_v6(a);
	if (size == 4)
		try_v4(data);
	if (size == 16)
		try_v6(data);
	mem_free(text);
	return 0;
}
