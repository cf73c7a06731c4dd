//go:build ignore

// The helper as a program of its own: standard input is a file with a request,
// and the reply goes to standard output.
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper.h"

static int failed(const char *what)
{
	perror(what);
	return 1;
}

// A limit that is lower already stays.
static int limit(int resource, rlim_t most)
{
	struct rlimit l;
	if (getrlimit(resource, &l) != 0)
		return -1;
	if (l.rlim_max > most)
		l.rlim_max = most;
	if (l.rlim_cur > l.rlim_max)
		l.rlim_cur = l.rlim_max;
	return setrlimit(resource, &l);
}

int main(void)
{
	// What the parent was given for a container, by --preserve-fds, is not for us.
	if (close_range(STDERR_FILENO + 1, ~0U, 0) != 0)
		return failed("close_range");

	// Time ends a helper whose parent, which has a deadline, died first. Memory
	// ends what a few characters can ask of regcomp: ((a{1,255}){1,255}){1,255}.
	if (limit(RLIMIT_CPU, 20) != 0 || limit(RLIMIT_AS, 512 << 20) != 0)
		return failed("setrlimit");

	struct stat st;
	if (fstat(STDIN_FILENO, &st) != 0)
		return failed("request");
	const void *request = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, STDIN_FILENO, 0);
	if (request == MAP_FAILED)
		return failed("request");

	size_t size;
	const unsigned char *reply = helper_answer(request, (size_t)st.st_size, &size);
	if (reply == NULL)
		return failed("reply");
	while (size > 0) {
		ssize_t n = write(STDOUT_FILENO, reply, size);
		if (n <= 0)
			return failed("write");
		reply += n;
		size -= (size_t)n;
	}
	return 0;
}
