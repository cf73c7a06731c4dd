package registry

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestRegistry(t *testing.T) {
	var r *Registry
	var asked []string
	r = New(func(name, tag string) string {
		asked = append(asked, name+":"+tag)
		if tag == "none" {
			return ""
		}
		layer := []byte("a layer")
		return r.AddImage("amd64", map[string]any{"Cmd": []string{"sh"}}, []Descriptor{r.Add(LayerType, layer)}, []string{Digest(layer)}).Digest
	})
	server := httptest.NewServer(r)
	defer server.Close()
	get := func(method, path string) (int, string, http.Header) {
		t.Helper()
		request, err := http.NewRequest(method, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(body), answer.Header
	}
	code, manifest, header := get("GET", "/v2/library/web/manifests/1")
	if code != http.StatusOK || header.Get("Content-Type") != ManifestType || header.Get("Docker-Content-Digest") != Digest([]byte(manifest)) {
		t.Errorf("manifest = %d %q %v", code, manifest, header)
	}
	for _, tc := range []struct {
		method, path string
		code         int
		body         string
	}{
		{"GET", "/v2/", http.StatusOK, ""},
		{"HEAD", "/v2/library/web/manifests/1", http.StatusOK, ""},
		{"GET", "/v2/library/web/manifests/" + Digest([]byte(manifest)), http.StatusOK, manifest},
		{"GET", "/v2/other/blobs/" + Digest([]byte("a layer")), http.StatusOK, "a layer"},
		{"GET", "/v2/web/manifests/none", http.StatusNotFound, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`},
		{"GET", "/v2/web/blobs/sha256:0", http.StatusNotFound, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`},
	} {
		code, body, _ := get(tc.method, tc.path)
		if code != tc.code || strings.TrimSpace(body) != tc.body {
			t.Errorf("%s %s = %d %q; want %d %q", tc.method, tc.path, code, body, tc.code, tc.body)
		}
	}
	if got, want := strings.Join(asked, " "), "library/web:1 library/web:1 web:none"; got != want {
		t.Errorf("resolved %q; want %q", got, want)
	}
}
