// What the files of the helper share: how a request is read and a reply made.
// ../doc.go draws both.
#ifndef HELPER_H
#define HELPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What is left of a request. A read beyond its end gives a zero or an empty
// string and leaves it bad and empty, so that one look after the last is enough.
struct request {
	const unsigned char *at, *end;
	bool bad;
};

bool request_complete(const struct request *in); // all was read, and all was good
const void *take_bytes(struct request *in, size_t size); // or NULL
uint32_t take_number(struct request *in);
uint32_t take_count(struct request *in, size_t least); // of elements that have so many bytes at least
const char *take_text(struct request *in);

// A reply that grows. Once memory was short it has failed, and stays as it is.
struct reply {
	unsigned char *bytes;
	size_t size, room;
	bool failed;
};

void *put_room(struct reply *out, size_t size); // to be filled before the next call, or NULL
void put_number(struct reply *out, uint32_t n);

// How far a request got. ../ask.go has the same list.
enum status {
	DONE,
	BAD_REQUEST,
	BAD_DEFAULT,      // seccomp_init
	BAD_ARCHITECTURE, // seccomp_arch_add; index says which
	BAD_RULE,         // seccomp_rule_add_array; index says which
	BAD_FILTER,       // what is done with the filter as a whole
	BAD_PATTERN,      // regcomp or regexec; the body is their reason
};

struct outcome {
	enum status status;
	uint32_t index;
	int error; // an errno
};

// The kinds of request. Each adds its body to the reply.
struct outcome answer_filter(struct request *in, struct reply *out);
struct outcome answer_pattern(struct request *in, struct reply *out);

// The reply to a request, to be freed; NULL if memory is short.
unsigned char *helper_answer(const void *request, size_t size, size_t *reply_size);

#endif
