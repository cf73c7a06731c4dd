package main

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// receive has the arguments PROTOCOL PORT MILLISECONDS. It counts the bytes of all flows to the port, from the first byte on
// for this time, and prints the sum every 100 ms: "milliseconds bytes".
func receive(args []string) error {
	fd, err := listenOn(args[0], number(args[1]))
	if err != nil {
		return err
	}
	var sum atomic.Int64
	begun := make(chan struct{})
	begin := sync.OnceFunc(func() { close(begun) })
	count := func(fd int) {
		buffer := make([]byte, 256<<10)
		for {
			n, err := unix.Read(fd, buffer)
			if err == unix.EINTR {
				continue
			}
			if n <= 0 || err != nil {
				return
			}
			sum.Add(int64(n))
			begin()
		}
	}
	fmt.Println("ready")
	if args[0] == "udp" {
		go count(fd)
	} else {
		go func() {
			for {
				if conn, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC); err == nil {
					go count(conn)
				}
			}
		}()
	}
	<-begun
	tick := time.NewTicker(100 * time.Millisecond)
	for start := time.Now(); ; {
		now := (<-tick.C).Sub(start).Milliseconds()
		fmt.Println(now, sum.Load())
		if now >= int64(number(args[2])) {
			return nil
		}
	}
}

func listenOn(protocol string, port int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET6, socketType(protocol)|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet6{Port: port}); err != nil {
		return -1, os.NewSyscallError("bind", err)
	}
	if protocol == "udp" {
		return fd, nil
	}
	return fd, os.NewSyscallError("listen", unix.Listen(fd, 64))
}

func socketType(protocol string) int {
	if protocol == "udp" {
		return unix.SOCK_DGRAM
	}
	return unix.SOCK_STREAM
}

// send has the arguments PROTOCOL ADDRESS PORT FLOWS MILLISECONDS BITS. It sends BITS a second; 0 means the full speed of TCP.
// Then it prints the number of sent segments, and of retransmitted ones.
func send(args []string) error {
	end := time.Now().Add(time.Duration(number(args[4])) * time.Millisecond)
	var wg sync.WaitGroup
	var again, all atomic.Int64
	for range number(args[3]) {
		fd, err := dial(args[0], args[1], number(args[2]))
		if err != nil {
			return err
		}
		wg.Go(func() {
			if args[0] == "udp" {
				sendDatagrams(fd, end, number(args[5])/number(args[3]))
				return
			}
			sendStream(fd, end, number(args[5])/number(args[3]))
			if info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
				again.Add(int64(info.Total_retrans))
				all.Add(int64(info.Data_segs_out))
			}
		})
	}
	wg.Wait()
	fmt.Println(again.Load(), all.Load())
	return nil
}

func dial(protocol, address string, port int) (int, error) {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return -1, err
	}
	family, to := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: port, Addr: ip.As16()})
	if ip.Is4() {
		family, to = unix.AF_INET, &unix.SockaddrInet4{Port: port, Addr: ip.As4()}
	}
	fd, err := unix.Socket(family, socketType(protocol)|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	return fd, os.NewSyscallError("connect", unix.Connect(fd, to))
}

func sendStream(fd int, end time.Time, bits int) {
	data := make([]byte, 64<<10)
	if bits > 0 {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MAX_PACING_RATE, bits/8)
	}
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Usec: 100_000})
	for time.Now().Before(end) {
		_, _ = unix.Write(fd, data) // the loop repeats it if there is no room
	}
}

// sendDatagrams sends 1400 bytes each, 1428 with the headers of IPv4.
func sendDatagrams(fd int, end time.Time, bits int) {
	data := make([]byte, 1400)
	start, sent := time.Now(), 0
	for now := start; now.Before(end); now = time.Now() {
		for due := int(now.Sub(start).Seconds() * float64(bits) / 8); sent < due; sent += len(data) {
			_, _ = unix.Write(fd, data) // a full queue is no news
		}
		time.Sleep(time.Millisecond)
	}
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

// socket prints the mark and the priority of a new socket of each family, once for each.
func socket([]string) error {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return os.NewSyscallError("socket", err)
		}
		mark, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK)
		if err != nil {
			return os.NewSyscallError("getsockopt(SO_MARK)", err)
		}
		priority, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PRIORITY)
		if err != nil {
			return os.NewSyscallError("getsockopt(SO_PRIORITY)", err)
		}
		fmt.Printf("%#x %d\n", mark, priority)
	}
	return nil
}
