/*
 * Which addresses belong to the internet, and which lead into a house: asked
 * before fetching what somebody else named (server-side request forgery).
 */
#ifndef GENGATE_BASE_HTTP_ADDRESS_H
#define GENGATE_BASE_HTTP_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

/* False for loopback, private, link-local, shared (CGNAT), multicast, reserved,
 * benchmark and documentation addresses, for IPv4 ones of that kind inside an
 * IPv6 one, and for every other family. */
bool http_address_is_public(const struct sockaddr *sa);

/* The same for an address in words, without a port; false if it is none. */
bool http_address_text_is_public(const char *text);

#endif
