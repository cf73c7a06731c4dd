// Package ttrpc is the transport between containerd and a shim: frames over a Unix
// socket. Each frame carries one request or one response.
//
// A frame has a header of ten bytes, in big-endian order:
//
//	0        4        8      9       10
//	+--------+--------+------+-------+
//	| length | stream | type | flags |
//	+--------+--------+------+-------+
//
// length is that of the payload. A client opens one stream for each call, with odd and
// increasing numbers. The payload is a Request or a Response of package wire. The task
// service has only unary calls, so this package supports no others.
//
// The server needs one goroutine for each connection, and none for a call that waits for
// days (Wait): any goroutine may answer its Call later. Sockets are files in non-blocking
// mode, which Go's poller supports. Package net would cost a third of a megabyte, and more
// time at the start than the rest of the shim.
package ttrpc
