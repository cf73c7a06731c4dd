package cgroup

import (
	"fmt"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// hugepages plans linux.resources.hugepageLimits. It sets the limit of used pages
// and, if the kernel has it (5.7), the limit of reserved pages. Exceeding the
// reservation limit makes mmap fail; exceeding the usage limit kills the process.
func (l *limits) hugepages(hs []specs.LinuxHugepageLimit, v view) {
	suffix := "limit_in_bytes"
	if v.v2 {
		suffix = "max"
	}
	for i, h := range hs {
		field := fmt.Sprintf("/hugepageLimits/%d", i)
		file := "hugetlb." + h.Pagesize + "." + suffix
		if h.Pagesize == "" || strings.Contains(h.Pagesize, "/") || !v.has(file) {
			l.refuse(field+"/pageSize", "this host has no huge pages of size %q", h.Pagesize)
			continue
		}
		value := strconv.FormatUint(h.Limit, 10)
		l.add(write{field: resources + field + "/limit", file: file, value: value})
		l.add(write{field: resources + field + "/limit", file: "hugetlb." + h.Pagesize + ".rsvd." + suffix, value: value, optional: true})
	}
}
