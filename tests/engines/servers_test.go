package engines

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// servers is the image of a Debian with redis and nginx, if debian.sh has made it.
const servers = "docker.io/library/servers:1"

// Their command lines: redis in memory only, for anybody; nginx as Debian configures it, in the foreground.
var (
	redisServer = []string{"redis-server", "--save", "", "--protected-mode", "no"}
	nginxServer = []string{"nginx", "-g", "daemon off;"}
)

// serversArchive builds the image once and returns its archive.
func serversArchive(t *testing.T) string {
	t.Helper()
	archive := filepath.Join(env.dir, "servers-image.tar")
	if _, err := os.Stat(archive); err == nil {
		return archive
	}
	layer, err := os.ReadFile(filepath.Join(env.dir, "debian.tar"))
	if err != nil {
		t.Skip("no servers: make bin/debian.tar")
	}
	if err := writeImage(archive, servers, layer); err != nil {
		t.Fatal(err)
	}
	return archive
}

// speaksRedis waits until the server at address answers, stores a value and reads it back. An engine's proxy listens earlier
// than the server.
func (c *client) speaksRedis(address string) {
	c.Helper()
	var said string
	var err error
	for deadline := time.Now().Add(slowly(10 * time.Second)); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if said, err = converse(address, "SET key value\r\nGET key\r\nQUIT\r\n"); err == nil && said != "" {
			c.is(strings.ReplaceAll(said, "\r\n", " "), "+OK $5 value +OK ")
			return
		}
	}
	c.Fatalf("redis says %q: %v", said, err)
}

// converse sends text to a server and returns its whole answer.
func converse(address, text string) (string, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(slowly(10 * time.Second)))
	fmt.Fprint(conn, text)
	said, err := io.ReadAll(conn)
	return string(said), err
}
