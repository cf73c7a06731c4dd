package inflate

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

// samples are what is hard in one way or another.
func samples(t testing.TB) map[string][]byte {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 200_000)
	for i, r := 0, rand.New(rand.NewPCG(1, 2)); i < len(noise); i++ {
		noise[i] = byte(r.Uint32())
	}
	return map[string][]byte{
		"nothing":           {},
		"a byte":            {1},
		"one after another": bytes.Repeat([]byte{7}, 100_000),
		"two in turn":       bytes.Repeat([]byte("ab"), 5000),
		"far away":          slices.Concat(noise[:1000], make([]byte, 30_000), noise[:1000]),
		"noise":             noise,
		"an executable":     self[:min(len(self), 1<<20)],
	}
}

// pack writes what gzip -n does, at a level.
func pack(t testing.TB, b []byte, level int) string {
	t.Helper()
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.String()
}

func TestGunzip(t *testing.T) {
	for name, want := range samples(t) {
		for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
			if got, err := Gunzip(pack(t, want, level)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s, level %d: Gunzip() = %d bytes, %v; want the %d there were", name, level, len(got), err, len(want))
			}
		}
	}
}

func TestGunzipDamaged(t *testing.T) {
	want := samples(t)["an executable"][:6000]
	whole := pack(t, want, flate.BestCompression)
	for n := range len(whole) {
		if got, err := Gunzip(whole[:n]); err == nil {
			t.Errorf("Gunzip() of %d bytes of %d = %d bytes", n, len(whole), len(got))
		}
	}
	for i := range whole { // a wrong bit may make other bytes, of the same number: that is all
		b := []byte(whole)
		b[i] ^= 1 << (i % 8)
		if got, err := Gunzip(string(b)); err == nil && len(got) != len(want) {
			t.Errorf("byte %d: Gunzip() = %d bytes; want %d or an error", i, len(got), len(want))
		}
	}
}

// stream is a file with these bytes for a deflate stream.
func stream(deflated []byte, size int) string {
	head := append([]byte("\x1f\x8b\x08\x00"), make([]byte, header-4)...)
	tail := []byte{0, 0, 0, 0, byte(size), byte(size >> 8), byte(size >> 16), byte(size >> 24)}
	return string(slices.Concat(head, deflated, tail))
}

// What Gunzip makes of a stream is what compress/flate makes of it.
func FuzzGunzip(f *testing.F) {
	f.Add([]byte{3, 0})
	f.Add([]byte{1, 0, 0, 0xff, 0xff})
	for _, b := range samples(f) {
		file := pack(f, b[:min(len(b), 3000)], flate.BestCompression)
		f.Add([]byte(file[header : len(file)-trailer]))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 1 << 20
		rest := bytes.NewReader(b)
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(rest), limit))
		if len(want) == limit {
			return
		}
		if wantErr == nil && rest.Len() > 0 {
			wantErr = errDamaged // more than a stream
		}
		got, err := Gunzip(stream(b, len(want)))
		if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(got, want) {
			t.Errorf("Gunzip() of %x = %x, %v; want %x, %v", b, got, err, want, wantErr)
		}
	})
}

func BenchmarkGunzip(b *testing.B) {
	file := pack(b, samples(b)["an executable"], flate.BestCompression)
	for b.Loop() {
		if _, err := Gunzip(file); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFlate(b *testing.B) {
	file := []byte(pack(b, samples(b)["an executable"], flate.BestCompression))
	for b.Loop() {
		if _, err := io.Copy(io.Discard, flate.NewReader(bytes.NewReader(file[header:]))); err != nil {
			b.Fatal(err)
		}
	}
}
