package engines

import (
	"archive/tar"
	"bytes"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/onggi-dev/onggi/tests/registry"
)

// registryAddress is where the registry listens. The engines' configuration for tests sends all pulls to it.
const registryAddress = "127.0.0.1:5000"

// anyImage has an image for every name: the layers and the command depend on the name. It has the images of test suites
// that would pull them from the Internet.
type anyImage struct {
	*registry.Registry
	busybox, extras, web, grep registry.Descriptor
	images                     map[string]string // digests of manifests, by name
}

// serveRegistry starts a registry that ends with the test.
func serveRegistry(t *testing.T) {
	t.Helper()
	busybox, err := busyboxLayer()
	if err != nil {
		t.Fatal(err)
	}
	extras, err := criExtras()
	if err != nil {
		t.Fatal(err)
	}
	debian, err := os.ReadFile(filepath.Join(env.dir, "debian.tar"))
	if err != nil {
		t.Fatal("no servers: make bin/debian.tar")
	}
	grep, err := grepLayer()
	if err != nil {
		t.Fatal(err)
	}
	r := &anyImage{images: map[string]string{}}
	r.Registry = registry.New(r.image)
	for layer, data := range map[*registry.Descriptor][]byte{&r.busybox: busybox, &r.extras: extras, &r.web: debian, &r.grep: grep} {
		*layer = r.Add(registry.LayerType, data)
	}
	listener, err := net.Listen("tcp", registryAddress)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: r}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
}

// criExtras is a layer with what critest expects of an image beside busybox: users and groups, the programs pgrep and ipcs,
// a first process for pods, and a configuration of nginx that listens on the port of critest's host network too.
func criExtras() ([]byte, error) {
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	err := errorsOf(
		file(w, "etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\nuser:x:1000:1000::/home:/bin/sh\n")),
		file(w, "etc/group", 0o644, []byte("root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\nuser:x:1000:\ngroup-defined-in-image:x:50000:user\n")),
		file(w, "bin/pgrep", 0o755, []byte("#!/bin/sh\nexec pidof \"$1\"\n")),
		file(w, "bin/ipcs", 0o755, []byte("#!/bin/sh\nexec cat /proc/sysvipc/shm\n")),
		file(w, "pause", 0o755, []byte("#!/bin/sh\ntrap 'exit 0' TERM INT\nwhile :; do tail -f /dev/null & wait; done\n")),
		w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "var/run", Linkname: "/run"}),
		file(w, "etc/nginx/sites-enabled/default", 0o644, []byte("server { listen 80; listen 12003; root /var/www/html; }\n")),
		w.Close())
	return layer.Bytes(), err
}

// grepLayer makes grep print lines of binary files, as busybox does: critest searches /proc/1/cmdline.
func grepLayer() ([]byte, error) {
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	err := errorsOf(file(w, "usr/bin/grep", 0o755, []byte("#!/bin/sh\nexec /bin/grep -a \"$@\"\n")), w.Close())
	return layer.Bytes(), err
}

// imageUsers are the users of critest's images, by the end of their name.
var imageUsers = map[string]string{
	"user-uid": "1002", "user-username": "www-data", "user-uid-group": "1003:users", "user-username-group": "www-data:100",
	"predefined-group": "1000",
}

// image returns the digest of the manifest of the image with this name. Images of different names differ.
func (r *anyImage) image(name, tag string) string {
	name = path.Base(name)
	if name == "pause" { // critest counts the tags of one version
		name += ":" + tag
	}
	if r.images[name] == "" {
		r.images[name] = r.make(name)
	}
	return r.images[name]
}

func (r *anyImage) make(name string) string {
	layers, command := []registry.Descriptor{r.busybox, r.extras}, []string{"sleep", "1000000"}
	switch {
	case strings.Contains(name, "nginx"), strings.Contains(name, "servers"):
		layers, command = []registry.Descriptor{r.web, r.extras, r.grep}, nginxServer
	case strings.Contains(name, "httpd"):
		layers, command = []registry.Descriptor{r.web, r.extras, r.grep}, []string{"sh", "-c", "echo httpd; exec nginx -g 'daemon off;'"}
	case strings.Contains(name, "pause"):
		command = []string{"/pause"}
	}
	var ids []string
	for _, layer := range layers {
		ids = append(ids, layer.Digest) // the layers are not packed
	}
	config := object{"Cmd": command, "User": "", "Labels": object{"name": name}, "Env": []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}}
	for suffix, user := range imageUsers {
		if strings.HasSuffix(name, suffix) {
			config["User"] = user
		}
	}
	return r.AddImage(runtime.GOARCH, config, layers, ids).Digest
}
