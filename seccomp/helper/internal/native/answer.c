//go:build cgo

// Requests and replies, whatever they are about.
#include <stdlib.h>
#include <string.h>

#include "helper.h"

static void spoil(struct request *in)
{
	in->bad = true;
	in->at = in->end;
}

bool request_complete(const struct request *in)
{
	return !in->bad && in->at == in->end;
}

const void *take_bytes(struct request *in, size_t size)
{
	if (size > (size_t)(in->end - in->at)) {
		spoil(in);
		return NULL;
	}
	in->at += size;
	return in->at - size;
}

uint32_t take_number(struct request *in)
{
	uint32_t n = 0;
	const void *bytes = take_bytes(in, sizeof n);
	if (bytes != NULL)
		memcpy(&n, bytes, sizeof n);
	return n;
}

uint32_t take_count(struct request *in, size_t least)
{
	uint32_t n = take_number(in);
	if (n <= (size_t)(in->end - in->at) / least)
		return n;
	spoil(in);
	return 0;
}

// A string has its length before it, and one NUL, which is behind it.
const char *take_text(struct request *in)
{
	size_t length = take_count(in, 1);
	const char *text = take_bytes(in, length + 1);
	if (text != NULL && memchr(text, 0, length + 1) == text + length)
		return text;
	spoil(in);
	return "";
}

void *put_room(struct reply *out, size_t size)
{
	enum { MOST = 32 << 20 }; // what ../subprocess reads; no sum below overflows
	if (out->failed || size > MOST || out->size > MOST) {
		out->failed = true;
		return NULL;
	}
	if (size > out->room - out->size) {
		size_t room = 2 * out->size + size;
		unsigned char *bytes = realloc(out->bytes, room);
		if (bytes == NULL) {
			out->failed = true;
			return NULL;
		}
		out->bytes = bytes;
		out->room = room;
	}
	out->size += size;
	return out->bytes + out->size - size;
}

void put_number(struct reply *out, uint32_t n)
{
	void *bytes = put_room(out, sizeof n);
	if (bytes != NULL)
		memcpy(bytes, &n, sizeof n);
}

static struct outcome answer(struct request *in, struct reply *out)
{
	switch (take_number(in)) {
	case 1:
		return answer_filter(in, out);
	case 2:
		return answer_pattern(in, out);
	}
	return (struct outcome){BAD_REQUEST, 0, 0};
}

unsigned char *helper_answer(const void *request, size_t size, size_t *reply_size)
{
	struct request in = {request, (const unsigned char *)request + size, false};
	struct reply out = {NULL, 0, 0, false};
	uint32_t header[4];
	put_room(&out, sizeof header);
	struct outcome o = answer(&in, &out);
	if (out.failed) {
		free(out.bytes);
		return NULL;
	}
	header[0] = (uint32_t)out.size;
	header[1] = o.status;
	header[2] = o.index;
	header[3] = (uint32_t)o.error;
	memcpy(out.bytes, header, sizeof header);
	*reply_size = out.size;
	return out.bytes;
}
