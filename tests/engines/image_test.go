package engines

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// image is the name of an image with busybox, which all engines have.
const image = "docker.io/library/bb:1"

// writeImage writes a docker-archive: the form that all engines can load without a registry.
func writeImage(path, name string, layers ...[]byte) error {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	var ids, files []string
	var history []map[string]string // one entry a layer: builds on top count them
	for _, layer := range layers {
		history = append(history, map[string]string{"created_by": "tests/engines"})
		id := digest(layer)
		ids, files = append(ids, "sha256:"+id), append(files, id+".tar")
		if err := file(w, id+".tar", 0o644, layer); err != nil {
			return err
		}
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Cmd": []string{"sleep", "1000000"}, "Env": []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": ids}, "history": history,
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]map[string]any{{
		"Config": digest(config) + ".json", "RepoTags": []string{name}, "Layers": files,
	}})
	if err != nil {
		return err
	}
	err = errorsOf(
		file(w, digest(config)+".json", 0o644, config),
		file(w, "manifest.json", 0o644, manifest),
		w.Close())
	if err != nil {
		return err
	}
	return os.WriteFile(path, archive.Bytes(), 0o644)
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// busyboxImage writes the archive of image.
func busyboxImage(path string) error {
	layer, err := busyboxLayer()
	if err != nil {
		return err
	}
	return writeImage(path, image, layer)
}

func busyboxLayer() ([]byte, error) {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return nil, fmt.Errorf("%w: apt-get install busybox-static", err)
	}
	busybox, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	applets, err := exec.Command(path, "--list").Output()
	if err != nil {
		return nil, err
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, dir := range []string{"bin", "dev", "etc", "home", "proc", "root", "run", "sys", "usr", "var", "var/www"} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755}); err != nil {
			return nil, err
		}
	}
	err = errorsOf(
		w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}),
		file(w, "bin/busybox", 0o755, busybox),
		file(w, "etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home:/bin/sh\n")),
		file(w, "etc/group", 0o644, []byte("root:x:0:\nuser:x:1000:\n")),
		file(w, "etc/notexec", 0o644, []byte("#!/bin/sh\n")),
		file(w, "var/www/index.html", 0o644, []byte("it works\n")))
	for _, applet := range strings.Fields(string(applets)) {
		if applet != "busybox" && err == nil {
			err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeLink, Name: "bin/" + applet, Linkname: "bin/busybox", Mode: 0o755})
		}
	}
	if err := errorsOf(err, w.Close()); err != nil {
		return nil, err
	}
	return layer.Bytes(), nil
}

func file(w *tar.Writer, name string, mode int64, data []byte) error {
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(data))}); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

// errorsOf returns the first error.
func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
