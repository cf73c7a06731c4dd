//go:build cgo

// A seccomp profile in numbers becomes a program, by libseccomp.
#define _GNU_SOURCE
#include <errno.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper.h"

static struct outcome refused(enum status status, uint32_t index, int error)
{
	return (struct outcome){status, index, error};
}

static const struct outcome done = {DONE, 0, 0}, malformed = {BAD_REQUEST, 0, 0};

// A profile as far as it has been read: the names of all its rules, each once,
// and the architectures besides the native one.
struct profile {
	scmp_filter_ctx filter;
	struct request archs, names; // where they begin
	uint32_t arch_count, name_count;
	int *numbers; // of the names here; __NR_SCMP_ERROR if libseccomp does not know one
};

static struct outcome add_architectures(struct profile *p, struct request *in)
{
	p->arch_count = take_count(in, sizeof(uint32_t));
	p->archs = *in;
	for (uint32_t i = 0; i < p->arch_count; i++) {
		int rc = seccomp_arch_add(p->filter, take_number(in));
		if (rc != 0 && rc != -EEXIST) // the native one is there from the start
			return refused(BAD_ARCHITECTURE, i, -rc);
	}
	return done;
}

static struct outcome resolve_names(struct profile *p, struct request *in)
{
	p->name_count = take_count(in, sizeof(uint32_t) + 1);
	p->names = *in;
	p->numbers = calloc((size_t)p->name_count + 1, sizeof *p->numbers);
	if (p->numbers == NULL)
		return refused(BAD_FILTER, 0, ENOMEM);
	for (uint32_t i = 0; i < p->name_count; i++)
		p->numbers[i] = seccomp_syscall_resolve_name(take_text(in));
	return done;
}

static void take_comparison(struct scmp_arg_cmp *c, struct request *in)
{
	c->arg = take_number(in);
	uint32_t op = take_number(in);
	const unsigned char *values = take_bytes(in, 2 * sizeof(scmp_datum_t));
	if (values == NULL || c->arg > 5 || op < SCMP_CMP_NE || op > SCMP_CMP_MASKED_EQ) {
		in->bad = true;
		return;
	}
	c->op = (enum scmp_compare)op;
	memcpy(&c->datum_a, values, sizeof c->datum_a);
	memcpy(&c->datum_b, values + sizeof c->datum_a, sizeof c->datum_b);
}

// From so many rules on, a binary tree is worth its instructions. It must not
// be asked for without any rule: up to version 2.5.4 the default action is then
// lost (libseccomp issue 370).
enum { BUSHY = 16 };

// A rule is for one name, and holds if all of its comparisons do. A number
// below -1 is good: libseccomp gives it to a name that only other architectures
// have, and leaves a rule out where there is no such call.
static struct outcome add_rules(struct profile *p, struct request *in)
{
	uint32_t count = take_count(in, 3 * sizeof(uint32_t)), added = 0;
	for (uint32_t i = 0; i < count; i++) {
		struct scmp_arg_cmp comparisons[6];
		uint32_t action = take_number(in), name = take_number(in), n = take_number(in);
		if (n > sizeof comparisons / sizeof *comparisons)
			return malformed;
		for (uint32_t j = 0; j < n; j++)
			take_comparison(&comparisons[j], in);
		if (in->bad || name >= p->name_count)
			return malformed;
		if (p->numbers[name] == __NR_SCMP_ERROR)
			continue;
		int rc = seccomp_rule_add_array(p->filter, action, p->numbers[name], n, comparisons);
		if (rc != 0)
			return refused(BAD_RULE, i, -rc);
		added++;
	}
	if (!request_complete(in))
		return malformed;
	int rc = added < BUSHY ? 0 : seccomp_attr_set(p->filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	return rc == 0 ? done : refused(BAD_FILTER, 0, -rc);
}

// The numbers of all names, here and then on each of the architectures.
static void put_numbers(struct reply *out, struct profile *p)
{
	for (uint32_t i = 0; i < p->name_count; i++)
		put_number(out, (uint32_t)p->numbers[i]);
	for (uint32_t a = 0; a < p->arch_count && !out->failed; a++) {
		uint32_t arch = take_number(&p->archs);
		struct request names = p->names;
		for (uint32_t i = 0; i < p->name_count; i++)
			put_number(out, (uint32_t)seccomp_syscall_resolve_name_arch(arch, take_text(&names)));
	}
}

// libseccomp writes a program to descriptors only, before version 2.6.
static int put_program(struct reply *out, scmp_filter_ctx filter, int fd)
{
	int rc = seccomp_export_bpf(filter, fd);
	struct stat st;
	if (rc != 0)
		return -rc;
	if (fstat(fd, &st) != 0)
		return errno;
	void *code = put_room(out, (size_t)st.st_size);
	if (code != NULL && pread(fd, code, (size_t)st.st_size, 0) != st.st_size)
		return EIO;
	return 0;
}

static struct outcome export(struct reply *out, scmp_filter_ctx filter)
{
	int fd = memfd_create("filter", MFD_CLOEXEC);
	if (fd < 0)
		return refused(BAD_FILTER, 0, errno);
	int error = put_program(out, filter, fd);
	close(fd);
	return error == 0 ? done : refused(BAD_FILTER, 0, error);
}

static struct outcome compile(struct profile *p, struct request *in, struct reply *out)
{
	struct outcome o = add_architectures(p, in);
	if (o.status == DONE)
		o = resolve_names(p, in);
	if (o.status == DONE)
		o = add_rules(p, in);
	if (o.status != DONE)
		return o;
	put_numbers(out, p);
	return export(out, p->filter);
}

struct outcome answer_filter(struct request *in, struct reply *out)
{
	const struct scmp_version *version = seccomp_version();
	put_number(out, version->major);
	put_number(out, version->minor);
	put_number(out, version->micro);
	put_number(out, seccomp_arch_native());

	struct profile p = {.filter = seccomp_init(take_number(in))};
	if (p.filter == NULL)
		return refused(BAD_DEFAULT, 0, EINVAL);
	struct outcome o = compile(&p, in, out);
	free(p.numbers);
	seccomp_release(p.filter);
	return o;
}
