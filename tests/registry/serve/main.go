// Command serve serves an image with busybox on loopback. containerd's client tests pull it;
// see tests/shim/clienttests.sh.
//
//	serve -digest           print the digest of the image index, and end
//	serve 127.0.0.1:5055    serve it under every name and every tag
//
// The index has one manifest, for the machine's architecture, of two layers. The bytes
// depend on busybox alone.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/onggi-dev/onggi/tests/registry"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: serve -digest | ADDRESS")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		os.Exit(1)
	}
}

func run(arg string) error {
	var index string
	r := registry.New(func(string, string) string { return index })
	index, err := addImage(r)
	if err != nil {
		return err
	}
	if arg == "-digest" {
		fmt.Println(index)
		return nil
	}
	return http.ListenAndServe(arg, r)
}

// addImage adds the image and returns the digest of its index.
func addImage(r *registry.Registry) (string, error) {
	first, err := system()
	if err != nil {
		return "", err
	}
	second, err := layer([]file{{"etc/motd", tar.TypeReg, 0o644, "busybox\n"}})
	if err != nil {
		return "", err
	}
	var layers []registry.Descriptor
	for _, data := range [][]byte{first, second} {
		packed, err := pack(data)
		if err != nil {
			return "", err
		}
		layers = append(layers, r.Add(registry.GzipLayerType, packed))
	}
	config := map[string]any{"Env": []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, "Cmd": []string{"sh"}}
	manifest := r.AddImage(runtime.GOARCH, config, layers, []string{registry.Digest(first), registry.Digest(second)})
	manifest.Platform = map[string]string{"architecture": runtime.GOARCH, "os": "linux"}
	return r.AddJSON(registry.IndexType, map[string]any{
		"schemaVersion": 2, "mediaType": registry.IndexType, "manifests": []registry.Descriptor{manifest},
	}).Digest, nil
}

func pack(data []byte) ([]byte, error) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	err := w.Close()
	return packed.Bytes(), err
}

// file is an entry of a layer. The content of a link is its target.
type file struct {
	name    string
	kind    byte
	mode    int64
	content string
}

// system returns the layer with busybox, its applets, and the users that the tests want.
func system() ([]byte, error) {
	program, err := exec.LookPath("busybox")
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	list, err := exec.Command(program, "--list").Output()
	if err != nil {
		return nil, err
	}
	var files []file
	for _, dir := range []string{"bin", "dev", "etc", "home", "proc", "root", "run", "sys", "usr", "usr/bin", "usr/sbin", "var", "var/www"} {
		files = append(files, file{dir, tar.TypeDir, 0o755, ""})
	}
	files = append(files,
		file{"tmp", tar.TypeDir, 0o1777, ""},
		file{"bin/busybox", tar.TypeReg, 0o755, string(data)},
		file{"bin/bash", tar.TypeReg, 0o755, "#!/bin/sh\nexec /bin/sh \"$@\"\n"},
		file{"usr/bin/passwd", tar.TypeReg, 0o4755, "#!/bin/sh\n"},
		file{"etc/passwd", tar.TypeReg, 0o644, "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nsys:x:3:3:sys:/dev:/bin/false\nwww-data:x:33:33:www-data:/var/www:/bin/false\n"},
		file{"etc/group", tar.TypeReg, 0o644, "root:x:0:\ndaemon:x:1:\nsys:x:3:\nwww-data:x:33:\n"},
	)
	for applet := range strings.FieldsSeq(string(list)) {
		if applet != "busybox" && applet != "bash" && applet != "passwd" {
			files = append(files, file{"bin/" + applet, tar.TypeSymlink, 0o777, "/bin/busybox"})
		}
	}
	return layer(files)
}

func layer(files []file) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Typeflag: f.kind, Mode: f.mode}
		if f.kind == tar.TypeSymlink {
			h.Linkname = f.content
		} else {
			h.Size = int64(len(f.content))
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if f.kind == tar.TypeReg {
			if _, err := w.Write([]byte(f.content)); err != nil {
				return nil, err
			}
		}
	}
	err := w.Close()
	return out.Bytes(), err
}
