// SPDX-License-Identifier: GPL-2.0-only
/* JSON, written as it goes. */
#include <inttypes.h>
#include <stdio.h>

#include "cli.h"

static void put_text(const char *text)
{
	putchar('"');
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c == '"' || *c == '\\')
			printf("\\%c", *c);
		else if (*c < ' ')
			printf("\\u%04x", *c);
		else
			putchar(*c);
	}
	putchar('"');
}

static void next(struct json *js, const char *key)
{
	if (js->depth) {
		if (js->some[js->depth])
			printf(js->flat ? ", " : ",");
		js->some[js->depth] = true;
		if (!js->flat)
			printf("\n%*s", js->depth * 2, "");
	}
	if (key) {
		put_text(key);
		printf(": ");
	}
}

void json_begin(struct json *js, const char *key, char bracket)
{
	next(js, key);
	putchar(bracket);
	js->some[++js->depth] = false;
}

void json_end(struct json *js, char bracket)
{
	const bool some = js->some[js->depth--];

	if (some && !js->flat)
		printf("\n%*s", js->depth * 2, "");
	putchar(bracket);
	if (!js->depth)
		putchar('\n');
}

void json_text(struct json *js, const char *key, const char *value)
{
	next(js, key);
	put_text(value);
}

void json_number(struct json *js, const char *key, uint64_t value)
{
	next(js, key);
	printf("%" PRIu64, value);
}

void json_signed(struct json *js, const char *key, int64_t value)
{
	next(js, key);
	printf("%" PRId64, value);
}

void json_bool(struct json *js, const char *key, bool value)
{
	next(js, key);
	printf(value ? "true" : "false");
}

void json_hex(struct json *js, const char *key, uint64_t value, int digits)
{
	next(js, key);
	printf("\"%0*" PRIx64 "\"", digits, value);
}
