// Package registry serves images on loopback, as a registry that can only be read. The engines of the tests pull from it
// in place of the Internet. It depends on nothing but the standard library, because the command in the directory serve is
// built for tests of other modules too.
package registry

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

// Media types of the OCI image specification.
const (
	IndexType     = "application/vnd.oci.image.index.v1+json"
	ManifestType  = "application/vnd.oci.image.manifest.v1+json"
	ConfigType    = "application/vnd.oci.image.config.v1+json"
	LayerType     = "application/vnd.oci.image.layer.v1.tar"
	GzipLayerType = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// Descriptor names a blob in an index or in a manifest.
type Descriptor struct {
	MediaType string            `json:"mediaType"`
	Digest    string            `json:"digest"`
	Size      int               `json:"size"`
	Platform  map[string]string `json:"platform,omitempty"`
}

// Digest returns the digest of a blob, with the name of its algorithm.
func Digest(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

// Registry is a registry. It answers /v2/NAME/manifests/TAG-OR-DIGEST and /v2/NAME/blobs/DIGEST.
type Registry struct {
	resolve func(name, tag string) (digest string)
	mu      sync.Mutex // held by resolve
	blobs   map[string]blob
}

// blob is a stored file with its media type.
type blob struct {
	kind string
	data []byte
}

// New returns a registry without blobs. resolve returns the digest of the manifest or index of an image. It may add blobs.
// It is called for one request at a time.
func New(resolve func(name, tag string) (digest string)) *Registry {
	return &Registry{resolve: resolve, blobs: map[string]blob{}}
}

// Add stores a blob. It must be called before the registry serves, or by resolve.
func (r *Registry) Add(kind string, data []byte) Descriptor {
	d := Descriptor{MediaType: kind, Digest: Digest(data), Size: len(data)}
	r.blobs[d.Digest] = blob{kind, data}
	return d
}

// AddJSON stores a document.
func (r *Registry) AddJSON(kind string, document any) Descriptor {
	data, err := json.Marshal(document)
	if err != nil {
		panic(err) // a caller of the tests has given a type without a form in JSON
	}
	return r.Add(kind, data)
}

// AddImage stores the configuration and the manifest of an image. diffIDs are the digests of the unpacked layers.
func (r *Registry) AddImage(architecture string, config map[string]any, layers []Descriptor, diffIDs []string) Descriptor {
	return r.AddJSON(ManifestType, map[string]any{
		"schemaVersion": 2, "mediaType": ManifestType, "layers": layers, "config": r.AddJSON(ConfigType, map[string]any{
			"architecture": architecture, "os": "linux", "config": config, "rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs},
		}),
	})
}

// ServeHTTP answers a request of an engine.
func (r *Registry) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if request.URL.Path == "/v2/" {
		return
	}
	reference, b, ok := r.find(request.URL.Path)
	if !ok {
		http.Error(w, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`, http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", b.kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(b.data)))
	w.Header().Set("Docker-Content-Digest", reference)
	if request.Method == http.MethodGet {
		w.Write(b.data) // the client sees a short answer itself
	}
}

// find returns the digest and the blob that a path names.
func (r *Registry) find(url string) (reference string, b blob, ok bool) {
	dir, reference := path.Split(url)
	name, kind := path.Split(path.Clean(dir))
	r.mu.Lock()
	defer r.mu.Unlock()
	if kind == "manifests" && !strings.HasPrefix(reference, "sha256:") {
		reference = r.resolve(strings.TrimPrefix(path.Clean(name), "/v2/"), reference)
	}
	b, ok = r.blobs[reference]
	return reference, b, ok
}
