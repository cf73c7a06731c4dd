// Package ttrpc is the transport between containerd and a shim: frames over a unix
// socket, each with one request or one response.
//
// A frame has a header of ten bytes: the length of the payload and the number of the
// stream, both 32 bits and big-endian, the type, and flags. A client opens one stream
// for each call, with odd and increasing numbers. The payload is a Request or a Response
// of package wire. Only unary calls exist here, as the task service has no others.
//
// The server keeps one goroutine for each connection. A call that waits for days (Wait)
// needs none: its Call is a value that anybody may answer at any time. Sockets are files
// in non-blocking mode, which Go's poller knows: package net would add a third of a
// megabyte and more to the start than the rest of the shim.
package ttrpc
