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

// redis is the image of a redis server, if redis.sh has made its files.
const redis = "docker.io/library/redis:1"

// redisServer is its command line: in memory only, for anybody.
var redisServer = []string{redis, "redis-server", "--save", "", "--protected-mode", "no"}

// redisArchive makes the image from busybox's layer and the one of redis.sh, and returns its archive.
func redisArchive(t *testing.T) string {
	t.Helper()
	layer, err := os.ReadFile(filepath.Join(env.dir, "redis.tar"))
	if err != nil {
		t.Skip("no redis: make bin/redis.tar")
	}
	busybox, err := busyboxLayer()
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(env.dir, "redis-image.tar")
	if err := writeImage(archive, redis, busybox, layer); err != nil {
		t.Fatal(err)
	}
	return archive
}

// speaksRedis stores a value in the server at address and reads it back, as soon as it answers: an engine's proxy listens
// before the server does.
func (c *client) speaksRedis(address string) {
	c.Helper()
	var said string
	var err error
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if said, err = converse(address, "SET key value\r\nGET key\r\nQUIT\r\n"); err == nil && said != "" {
			c.is(strings.ReplaceAll(said, "\r\n", " "), "+OK $5 value +OK ")
			return
		}
	}
	c.Fatalf("redis says %q: %v", said, err)
}

// converse sends text to a server and returns all that it answers.
func converse(address, text string) (string, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(conn, text)
	said, err := io.ReadAll(conn)
	return string(said), err
}
