package engines

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// registryAddress is where the registry listens. The engines' configuration for tests sends all pulls to it.
const registryAddress = "127.0.0.1:5000"

// registry is a read-only registry with an image for every name: the layers and the command depend on the name. It serves
// the images of test suites that would pull them from the Internet.
type registry struct {
	busybox, extras, web, grep layer
	mu                         sync.Mutex
	blobs                      map[string]blob
	images                     map[string]string // digests of manifests, by name
}

type blob struct {
	kind string
	data []byte
}

// layer is a layer of an image: its digest, and how a manifest describes it.
type layer struct {
	digest      string
	description object
}

const (
	manifestKind = "application/vnd.oci.image.manifest.v1+json"
	configKind   = "application/vnd.oci.image.config.v1+json"
	layerKind    = "application/vnd.oci.image.layer.v1.tar"
)

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
	r := &registry{blobs: map[string]blob{}, images: map[string]string{}}
	grep, err := grepLayer()
	if err != nil {
		t.Fatal(err)
	}
	r.busybox, r.extras, r.web, r.grep = r.layer(busybox), r.layer(extras), r.layer(debian), r.layer(grep)
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

// keep stores a blob and describes it as manifests do.
func (r *registry) keep(kind string, data []byte) object {
	name := "sha256:" + digest(data)
	r.blobs[name] = blob{kind, data}
	return object{"mediaType": kind, "digest": name, "size": len(data)}
}

func (r *registry) layer(data []byte) layer {
	description := r.keep(layerKind, data)
	return layer{description["digest"].(string), description}
}

func (r *registry) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	dir, reference := path.Split(request.URL.Path)
	name, kind := path.Split(path.Clean(dir))
	switch {
	case request.URL.Path == "/v2/":
		return
	case kind == "manifests" && !strings.HasPrefix(reference, "sha256:"):
		image := path.Base(name)
		if image == "pause" { // critest counts the tags of one version
			image += ":" + reference
		}
		reference = r.image(image)
	}
	b, ok := r.blobs[reference]
	if !ok {
		http.Error(w, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`, http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", b.kind)
	w.Header().Set("Content-Length", fmt.Sprint(len(b.data)))
	w.Header().Set("Docker-Content-Digest", reference)
	if request.Method == http.MethodGet {
		w.Write(b.data)
	}
}

// imageUsers are the users of critest's images, by the end of their name.
var imageUsers = map[string]string{
	"user-uid": "1002", "user-username": "www-data", "user-uid-group": "1003:users", "user-username-group": "www-data:100",
	"predefined-group": "1000",
}

// image returns the digest of the manifest of the image with this name. Images of different names differ.
func (r *registry) image(name string) string {
	if r.images[name] == "" {
		r.images[name] = r.make(name)
	}
	return r.images[name]
}

func (r *registry) make(name string) string {
	layers, command := []layer{r.busybox, r.extras}, []string{"sleep", "1000000"}
	switch {
	case strings.Contains(name, "nginx"), strings.Contains(name, "servers"):
		layers, command = []layer{r.web, r.extras, r.grep}, nginxServer
	case strings.Contains(name, "httpd"):
		layers, command = []layer{r.web, r.extras, r.grep}, []string{"sh", "-c", "echo httpd; exec nginx -g 'daemon off;'"}
	case strings.Contains(name, "pause"):
		command = []string{"/pause"}
	}
	var ids []string
	var described []object
	for _, layer := range layers {
		ids, described = append(ids, layer.digest), append(described, layer.description)
	}
	config := object{"Cmd": command, "User": "", "Labels": object{"name": name}, "Env": []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}}
	for suffix, user := range imageUsers {
		if strings.HasSuffix(name, suffix) {
			config["User"] = user
		}
	}
	return r.document(manifestKind, object{
		"schemaVersion": 2, "mediaType": manifestKind, "layers": described, "config": r.document(configKind, object{
			"architecture": runtime.GOARCH, "os": "linux", "config": config, "rootfs": object{"type": "layers", "diff_ids": ids},
		}),
	})["digest"].(string)
}

// document stores a piece of JSON.
func (r *registry) document(kind string, content object) object {
	data, err := json.Marshal(content)
	if err != nil {
		panic(err) // only strings, numbers, lists and maps
	}
	return r.keep(kind, data)
}
