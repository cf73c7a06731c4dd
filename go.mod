module github.com/onggi-dev/onggi

go 1.26.0

require (
	github.com/aperturerobotics/protobuf-go-lite v0.14.0
	github.com/opencontainers/runtime-spec v1.3.0
	github.com/opencontainers/selinux v1.15.1
	github.com/seccomp/libseccomp-golang v0.11.1
	github.com/sirupsen/logrus v1.10.2
	golang.org/x/sys v0.49.0
)

require (
	github.com/checkpoint-restore/go-criu/v8 v8.3.0
	github.com/cyphar/filepath-securejoin v0.5.1 // indirect
)
