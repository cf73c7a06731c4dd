// Command registry serves images with busybox on loopback, as a registry that can only be
// read. containerd's client tests pull them; see clienttests.sh.
//
//	registry -digest           print the digest of the image index, and end
//	registry 127.0.0.1:5055    serve it under every name and every tag
//
// The index has one manifest, for the machine's architecture, of two layers. The bytes
// depend on busybox alone.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path"
	"runtime"
	"strconv"
	"strings"
)

const (
	indexType    = "application/vnd.oci.image.index.v1+json"
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: registry -digest | ADDRESS")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "registry:", err)
		os.Exit(1)
	}
}

func run(arg string) error {
	s := store{}
	index, err := s.image()
	if err != nil {
		return err
	}
	if arg == "-digest" {
		fmt.Println(index)
		return nil
	}
	return http.ListenAndServe(arg, handler(s, index))
}

// blob is a stored file with its media type.
type blob struct {
	kind string
	data []byte
}

// store has blobs by digest.
type store map[string]blob

// descriptor names a blob in an index or in a manifest.
type descriptor struct {
	MediaType string            `json:"mediaType"`
	Digest    string            `json:"digest"`
	Size      int               `json:"size"`
	Platform  map[string]string `json:"platform,omitempty"`
}

func digest(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

func (s store) add(kind string, data []byte) descriptor {
	d := descriptor{MediaType: kind, Digest: digest(data), Size: len(data)}
	s[d.Digest] = blob{kind, data}
	return d
}

func (s store) addJSON(kind string, v any) (descriptor, error) {
	data, err := json.Marshal(v)
	return s.add(kind, data), err
}

// image adds an image and returns the digest of its index.
func (s store) image() (string, error) {
	first, err := system()
	if err != nil {
		return "", err
	}
	second, err := layer([]file{{"etc/motd", tar.TypeReg, 0o644, "busybox\n"}})
	if err != nil {
		return "", err
	}
	platform := map[string]string{"architecture": runtime.GOARCH, "os": "linux"}
	config, err := s.addJSON(configType, map[string]any{
		"architecture": platform["architecture"], "os": platform["os"],
		"config": map[string]any{"Env": []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, "Cmd": []string{"sh"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest(first), digest(second)}},
	})
	if err != nil {
		return "", err
	}
	var layers []descriptor
	for _, data := range [][]byte{first, second} {
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		if _, err := w.Write(data); err != nil {
			return "", err
		}
		if err := w.Close(); err != nil {
			return "", err
		}
		layers = append(layers, s.add(layerType, packed.Bytes()))
	}
	manifest, err := s.addJSON(manifestType, map[string]any{"schemaVersion": 2, "mediaType": manifestType, "config": config, "layers": layers})
	if err != nil {
		return "", err
	}
	manifest.Platform = platform
	index, err := s.addJSON(indexType, map[string]any{"schemaVersion": 2, "mediaType": indexType, "manifests": []descriptor{manifest}})
	return index.Digest, err
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

// handler answers /v2/NAME/manifests/TAG-OR-DIGEST and /v2/NAME/blobs/DIGEST.
func handler(s store, index string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		reference := path.Base(r.URL.Path)
		if path.Base(path.Dir(r.URL.Path)) == "manifests" && !strings.Contains(reference, ":") {
			reference = index
		}
		b, ok := s[reference]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", b.kind)
		w.Header().Set("Content-Length", strconv.Itoa(len(b.data)))
		w.Header().Set("Docker-Content-Digest", reference)
		if r.Method != http.MethodHead {
			w.Write(b.data) // the client sees a short answer itself
		}
	}
}
