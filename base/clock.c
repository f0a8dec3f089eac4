#include "config.h"

#include "base/clock.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define US_PER_S INT64_C(1000000)
#define S_PER_DAY 86400
#define FIRST_YEAR 1970
#define LAST_YEAR 9999

/* A moment as people write it, UTC. */
struct civil {
	int year, month, day;		/* month and day from 1 */
	int hour, minute, second;	/* second 60: a leap second */
};

/* Reads from the front; a mismatch sticks, so that one look at the end does. */
struct scan {
	const char *p, *end;
	bool bad;
};

static bool
read_clock(clockid_t id, int64_t *ret_us)
{
	struct timespec ts;

	if (clock_gettime(id, &ts) != 0)
		return false;
	*ret_us = (int64_t)ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
	return true;
}

/* By how much the tests put our wall clock wrong. */
static int64_t
wrong_by_us(void)
{
#ifdef GENGATE_TEST_HOOKS
	const char *s = getenv("CLOCK_WRONG_BY_S");

	return s ? strtol(s, NULL, 10) * US_PER_S : 0;
#else
	return 0;
#endif
}

int64_t
clock_wall_us(void)
{
	int64_t us = 0;
	bool ok = read_clock(CLOCK_REALTIME, &us);

	assert(ok);	/* POSIX has it everywhere */
	(void)ok;
	return us + wrong_by_us();
}

int64_t
clock_mono_us(void)
{
	int64_t us = 0;
	bool ok = read_clock(CLOCK_MONOTONIC, &us);

	assert(ok);
	(void)ok;
	return us;
}

int64_t
clock_boot_us(void)
{
#if HAVE_DECL_CLOCK_BOOTTIME
	int64_t us;

	/* Declared by the C library does not mean known to the kernel. */
	if (read_clock(CLOCK_BOOTTIME, &us))
		return us;
#endif
	return clock_mono_us();
}

static bool
is_leap(int year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int
days_in_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days from 1970-01-01 to the first day of a year from 1970 on. */
static int64_t
days_to_year(int year)
{
	int64_t past = year - 1;	/* leap days lie in the years before */
	int64_t leaps = past / 4 - past / 100 + past / 400;

	return (int64_t)365 * (year - FIRST_YEAR) + leaps - 477;	/* 477 up to 1969 */
}

static int64_t
civil_to_s(const struct civil *c)
{
	int64_t days = days_to_year(c->year) + c->day - 1;

	for (int m = 1; m < c->month; m++)
		days += days_in_month(c->year, m);
	return days * S_PER_DAY + c->hour * 3600 + c->minute * 60 + c->second;
}

static struct civil
civil_from_s(int64_t s)
{
	int64_t days = s / S_PER_DAY;
	int rest = (int)(s % S_PER_DAY);
	struct civil c = {
		.hour = rest / 3600, .minute = rest / 60 % 60, .second = rest % 60,
		.year = (int)(FIRST_YEAR + days / 366), .month = 1,
	};

	/* Counted in leap years the guess is never late, and few years early. */
	while (days >= days_to_year(c.year + 1))
		c.year++;
	days -= days_to_year(c.year);
	while (days >= days_in_month(c.year, c.month))
		days -= days_in_month(c.year, c.month++);
	c.day = (int)days + 1;
	return c;
}

/* Whether seconds since 1970 lie in the years that we speak of. */
static bool
in_our_years(int64_t s)
{
	return s >= 0 && s < days_to_year(LAST_YEAR + 1) * S_PER_DAY;
}

static bool
civil_valid(const struct civil *c)
{
	return c->year >= FIRST_YEAR && c->year <= LAST_YEAR &&
	       c->month >= 1 && c->month <= 12 &&
	       c->day >= 1 && c->day <= days_in_month(c->year, c->month) &&
	       c->hour <= 23 && c->minute <= 59 && c->second <= 60;
}

/*
 * The moment of c, written offset_s east of UTC.  A leap second is one only at
 * the end of a month in UTC; there it is the first second of the next.
 */
static enum err_code
civil_to_moment(const struct civil *c, int offset_s, int64_t *ret_s)
{
	int64_t s;

	if (!civil_valid(c))
		return ERR_INVALID;
	s = civil_to_s(c) - offset_s;
	if (!in_our_years(s))
		return ERR_INVALID;
	if (c->second == 60) {
		struct civil next = civil_from_s(s);

		if (next.day != 1 || s % S_PER_DAY != 0)
			return ERR_INVALID;
	}
	*ret_s = s;
	return ERR_OK;
}

/* The last `width` digits of n, and the character behind them. */
static char *
put_digits(char *to, unsigned n, int width, char behind)
{
	for (int i = width; i-- > 0; n /= 10)
		to[i] = (char)('0' + n % 10);
	to[width] = behind;
	return to + width + 1;
}

void
rfc3339_format(int64_t wall_us, char out[RFC3339_SIZE])
{
	const int64_t end_us = days_to_year(LAST_YEAR + 1) * S_PER_DAY * US_PER_S;
	struct civil c;

	if (wall_us < 0)
		wall_us = 0;
	if (wall_us >= end_us)
		wall_us = end_us - 1;
	c = civil_from_s(wall_us / US_PER_S);
	out = put_digits(out, (unsigned)c.year, 4, '-');
	out = put_digits(out, (unsigned)c.month, 2, '-');
	out = put_digits(out, (unsigned)c.day, 2, 'T');
	out = put_digits(out, (unsigned)c.hour, 2, ':');
	out = put_digits(out, (unsigned)c.minute, 2, ':');
	out = put_digits(out, (unsigned)c.second, 2, '.');
	out = put_digits(out, (unsigned)(wall_us % US_PER_S), 6, 'Z');
	*out = '\0';
}

static bool
scan_char(struct scan *in, char c)
{
	if (in->bad || in->p == in->end || *in->p != c)
		return false;
	in->p++;
	return true;
}

static void
scan_text(struct scan *in, const char *text)
{
	for (; *text; text++)
		if (!scan_char(in, *text))
			in->bad = true;
}

static bool
scan_digit(struct scan *in, int *ret)
{
	if (in->bad || in->p == in->end || *in->p < '0' || *in->p > '9')
		return false;
	*ret = *in->p++ - '0';
	return true;
}

/* Exactly that many digits. */
static int
scan_number(struct scan *in, int digits)
{
	int n = 0, d;

	for (int i = 0; i < digits; i++) {
		if (!scan_digit(in, &d)) {
			in->bad = true;
			return 0;
		}
		n = n * 10 + d;
	}
	return n;
}

/* The index of one of n names, which are as HTTP writes them, case and all. */
static int
scan_name(struct scan *in, const char *const *names, int n)
{
	for (int i = 0; i < n; i++) {
		size_t len = strlen(names[i]);

		if (!in->bad && (size_t)(in->end - in->p) >= len &&
		    memcmp(in->p, names[i], len) == 0) {
			in->p += len;
			return i;
		}
	}
	in->bad = true;
	return -1;
}

static bool
scan_done(const struct scan *in)
{
	return !in->bad && in->p == in->end;
}

static void
scan_time(struct scan *in, struct civil *c)
{
	c->hour = scan_number(in, 2);
	scan_text(in, ":");
	c->minute = scan_number(in, 2);
	scan_text(in, ":");
	c->second = scan_number(in, 2);
}

/* ".1" to ".123456789", or nothing; in microseconds, the rest cut off. */
static int
scan_fraction(struct scan *in)
{
	int us = 0, digits = 0, d;

	if (!scan_char(in, '.'))
		return 0;
	for (; scan_digit(in, &d); digits++)
		if (digits < 6)
			us = us * 10 + d;
	if (digits < 1 || digits > 9)
		in->bad = true;
	for (; digits < 6; digits++)
		us *= 10;
	return us;
}

/* "Z", or "+01:30": seconds east of UTC. */
static int
scan_offset(struct scan *in)
{
	int sign, hours, minutes;

	if (scan_char(in, 'Z') || scan_char(in, 'z'))
		return 0;
	sign = scan_char(in, '-') ? -1 : 1;
	if (sign > 0)
		scan_text(in, "+");
	hours = scan_number(in, 2);
	scan_text(in, ":");
	minutes = scan_number(in, 2);
	if (hours > 23 || minutes > 59)
		in->bad = true;
	return sign * (hours * 3600 + minutes * 60);
}

enum err_code
rfc3339_parse(const char *s, size_t len, int64_t *ret_wall_us)
{
	struct scan in = { s, s + len, false };
	struct civil c;
	int us, offset_s;
	int64_t moment_s;

	c.year = scan_number(&in, 4);
	scan_text(&in, "-");
	c.month = scan_number(&in, 2);
	scan_text(&in, "-");
	c.day = scan_number(&in, 2);
	if (!scan_char(&in, 't'))
		scan_text(&in, "T");
	scan_time(&in, &c);
	us = scan_fraction(&in);
	offset_s = scan_offset(&in);
	if (!scan_done(&in) || civil_to_moment(&c, offset_s, &moment_s))
		return ERR_INVALID;
	*ret_wall_us = moment_s * US_PER_S + us;
	return ERR_OK;
}

static const char *const days[] = {
	"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun",
};
static const char *const long_days[] = {
	"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday",
};
static const char *const months[] = {
	"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
};

/* "Sun, 06 Nov 1994 08:49:37 GMT".  The weekday says nothing that the date does
 * not, so a wrong one does no harm. */
static bool
scan_imf_date(struct scan in, struct civil *c)
{
	scan_name(&in, days, 7);
	scan_text(&in, ", ");
	c->day = scan_number(&in, 2);
	scan_text(&in, " ");
	c->month = scan_name(&in, months, 12) + 1;
	scan_text(&in, " ");
	c->year = scan_number(&in, 4);
	scan_text(&in, " ");
	scan_time(&in, c);
	scan_text(&in, " GMT");
	return scan_done(&in);
}

/* A year of two digits is the last such year that is at most 50 years ahead
 * (RFC 9110 section 5.6.7). */
static void
choose_century(struct civil *c)
{
	struct civil limit = civil_from_s(clock_wall_us() / US_PER_S);
	int two_digits = c->year;

	limit.year += 50;
	c->year = limit.year - (limit.year - two_digits) % 100;
	if (c->year == limit.year && civil_valid(c) && civil_to_s(c) > civil_to_s(&limit))
		c->year -= 100;
}

/* "Sunday, 06-Nov-94 08:49:37 GMT" */
static bool
scan_rfc850_date(struct scan in, struct civil *c)
{
	scan_name(&in, long_days, 7);
	scan_text(&in, ", ");
	c->day = scan_number(&in, 2);
	scan_text(&in, "-");
	c->month = scan_name(&in, months, 12) + 1;
	scan_text(&in, "-");
	c->year = scan_number(&in, 2);
	scan_text(&in, " ");
	scan_time(&in, c);
	scan_text(&in, " GMT");
	if (!scan_done(&in))
		return false;
	choose_century(c);
	return true;
}

/* "Sun Nov  6 08:49:37 1994" */
static bool
scan_asctime_date(struct scan in, struct civil *c)
{
	scan_name(&in, days, 7);
	scan_text(&in, " ");
	c->month = scan_name(&in, months, 12) + 1;
	scan_text(&in, " ");
	c->day = scan_number(&in, scan_char(&in, ' ') ? 1 : 2);
	scan_text(&in, " ");
	scan_time(&in, c);
	scan_text(&in, " ");
	c->year = scan_number(&in, 4);
	return scan_done(&in);
}

enum err_code
http_date_parse(const char *s, size_t len, int64_t *ret_wall_s)
{
	struct scan in = { s, s + len, false };
	struct civil c;

	if (!scan_imf_date(in, &c) && !scan_rfc850_date(in, &c) &&
	    !scan_asctime_date(in, &c))
		return ERR_INVALID;
	return civil_to_moment(&c, 0, ret_wall_s);
}
