#include "config.h"

#include "cli/terminal.h"

#include <string.h>

static const char blanks[] = " \t\r\n";

static bool
ends_blank(const struct buf *out)
{
	return out->len > 0 && out->p[out->len - 1] == ' ';
}

static void
put_byte(struct buf *out, unsigned char c)
{
	if (!c || !strchr(blanks, c))
		buf_putc(out, c < 0x20 || c == 0x7f ? '?' : (char)c);
	else if (!ends_blank(out))
		buf_putc(out, ' ');
}

void
terminal_put(struct buf *out, const char *s, size_t max)
{
	size_t len = strlen(s), shown;

	while (len > 0 && strchr(blanks, s[len - 1]))
		len--;
	shown = len < max ? len : max;
	/* Not in the middle of a character. */
	while (shown < len && shown > 0 && ((unsigned char)s[shown] & 0xc0) == 0x80)
		shown--;
	for (size_t i = 0; i < shown; i++) {
		unsigned char c = (unsigned char)s[i];
		bool c1 = c == 0xc2 && (unsigned char)s[i + 1] < 0xa0;

		put_byte(out, c1 ? 0x7f : c);
		i += c1;
	}
	if (shown < len)
		buf_printf(out, "...[%zu bytes]", len);
}
