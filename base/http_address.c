#include "config.h"

#include "base/http_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"

/* The special-purpose registries of IANA: RFC 6890 and its updates. */
static const struct {
	uint8_t net[4];
	unsigned bits;
} v4_special[] = {
	{ { 0, 0, 0, 0 }, 8 },		/* this network */
	{ { 10, 0, 0, 0 }, 8 },		/* private */
	{ { 100, 64, 0, 0 }, 10 },	/* carriers' NAT */
	{ { 127, 0, 0, 0 }, 8 },	/* loopback */
	{ { 169, 254, 0, 0 }, 16 },	/* link-local, clouds' metadata */
	{ { 172, 16, 0, 0 }, 12 },	/* private */
	{ { 192, 0, 0, 0 }, 24 },	/* protocol assignments */
	{ { 192, 0, 2, 0 }, 24 },	/* documentation */
	{ { 192, 88, 99, 0 }, 24 },	/* 6to4 relays, given up */
	{ { 192, 168, 0, 0 }, 16 },	/* private */
	{ { 198, 18, 0, 0 }, 15 },	/* benchmarks */
	{ { 198, 51, 100, 0 }, 24 },	/* documentation */
	{ { 203, 0, 113, 0 }, 24 },	/* documentation */
	{ { 224, 0, 0, 0 }, 4 },	/* multicast */
	{ { 240, 0, 0, 0 }, 4 },	/* reserved, broadcast */
};

/* Within 2000::/3, the only part of IPv6 given out to the public. */
static const struct {
	uint8_t net[16];
	unsigned bits;
} v6_special[] = {
	{ { 0x20, 0x01, 0x00 }, 23 },			/* protocols, Teredo */
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32 },		/* documentation */
	{ { 0x3f, 0xff, 0x00 }, 20 },			/* documentation */
};

/* An IPv6 address may carry an IPv4 one, which is where its packets end up. */
static const struct {
	uint8_t net[16];
	unsigned bits;
	unsigned at;		/* the byte where the IPv4 address stands */
} v6_with_v4[] = {
	{ { [10] = 0xff, [11] = 0xff }, 96, 12 },	/* mapped */
	{ { 0x00, 0x64, 0xff, 0x9b }, 96, 12 },		/* NAT64 */
	{ { 0x20, 0x02 }, 16, 2 },			/* 6to4 */
};

static const uint8_t v6_global[16] = { 0x20 };		/* 2000::/3 */

static bool
has_prefix(const uint8_t *a, const uint8_t *net, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a, net, whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ net[whole]) >> (8 - rest)) == 0;
}

static bool
v4_is_public(const uint8_t *a)
{
	for (size_t i = 0; i < sizeof v4_special / sizeof *v4_special; i++)
		if (has_prefix(a, v4_special[i].net, v4_special[i].bits))
			return false;
	return true;
}

static bool
v6_is_public(const uint8_t *a)
{
	for (size_t i = 0; i < sizeof v6_with_v4 / sizeof *v6_with_v4; i++)
		if (has_prefix(a, v6_with_v4[i].net, v6_with_v4[i].bits))
			return v4_is_public(a + v6_with_v4[i].at);
	for (size_t i = 0; i < sizeof v6_special / sizeof *v6_special; i++)
		if (has_prefix(a, v6_special[i].net, v6_special[i].bits))
			return false;
	return has_prefix(a, v6_global, 3);
}

bool
http_address_is_public(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, sa, sizeof in);
		return v4_is_public((const uint8_t *)&in.sin_addr);
	}
	if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, sa, sizeof in6);
		return v6_is_public((const uint8_t *)&in6.sin6_addr);
	}
	return false;
}

bool
http_address_text_is_public(const char *text)
{
	uint8_t a[16];

	if (inet_pton(AF_INET, text, a) == 1)
		return v4_is_public(a);
	return inet_pton(AF_INET6, text, a) == 1 && v6_is_public(a);
}
