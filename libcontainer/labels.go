package libcontainer

import (
	"errors"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/libcontainer/internal/lsm"
)

// checkLabels returns an error for each label that the host cannot apply.
func checkLabels(h lsm.Host, s *specs.Spec) error {
	var errs []error
	check := func(field string, err error) {
		if err != nil {
			errs = append(errs, &Failure{Field: field, Err: err})
		}
	}
	if p := s.Process; p != nil {
		check("/process/apparmorProfile", h.CheckAppArmor(p.ApparmorProfile))
		check("/process/selinuxLabel", h.CheckSELinux(p.SelinuxLabel))
	}
	if s.Linux != nil {
		check("/linux/mountLabel", h.CheckSELinux(s.Linux.MountLabel))
	}
	return oneLine(errors.Join(errs...))
}
