//go:build cgo

// Which names an extended regular expression of POSIX matches.
#include <regex.h>
#include <string.h>

#include "helper.h"

// regcomp calls itself for each parenthesis, and so many are some 3 MiB of stack.
enum { LONGEST = 4096 };

static struct outcome refused(struct reply *out, int error)
{
	char why[128];
	regerror(error, NULL, why, sizeof why);
	void *text = put_room(out, strlen(why));
	if (text != NULL)
		memcpy(text, why, strlen(why));
	return (struct outcome){BAD_PATTERN, 0, 0};
}

static struct outcome match(const regex_t *pattern, struct request *in, struct reply *out)
{
	size_t start = out->size;
	uint32_t count = take_count(in, sizeof(uint32_t) + 1);
	for (uint32_t i = 0; i < count; i++) {
		int error = regexec(pattern, take_text(in), 0, NULL, 0);
		if (error != 0 && error != REG_NOMATCH) {
			out->size = start;
			return refused(out, error);
		}
		put_number(out, error == 0);
	}
	return (struct outcome){request_complete(in) ? DONE : BAD_REQUEST, 0, 0};
}

struct outcome answer_pattern(struct request *in, struct reply *out)
{
	regex_t pattern;
	const char *text = take_text(in);
	if (in->bad)
		return (struct outcome){BAD_REQUEST, 0, 0};
	if (strlen(text) > LONGEST)
		return refused(out, REG_ESIZE);
	int error = regcomp(&pattern, text, REG_EXTENDED | REG_NOSUB);
	if (error != 0)
		return refused(out, error);
	struct outcome o = match(&pattern, in, out);
	regfree(&pattern);
	return o;
}
