package packed

import (
	"bytes"
	"math/rand/v2"
	"os"
	"testing"
)

// samples are what is hard in one way or another.
func samples(t testing.TB) map[string][]byte {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 100_000)
	for i, r := 0, rand.New(rand.NewPCG(1, 2)); i < len(noise); i++ {
		noise[i] = byte(r.Uint32())
	}
	return map[string][]byte{
		"nothing":           {},
		"a byte":            {1},
		"too short":         []byte("aaaaaaaaaaaa"),
		"one after another": bytes.Repeat([]byte{7}, 100_000),
		"two in turn":       bytes.Repeat([]byte("ab"), 5000),
		"far away":          append(append(bytes.Clone(noise[:1000]), make([]byte, 65_000)...), noise[:1000]...),
		"too far away":      append(append(bytes.Clone(noise[:1000]), make([]byte, 66_000)...), noise[:1000]...),
		"noise":             noise,
		"15 literals":       append(bytes.Clone(noise[:15]), make([]byte, 19)...),
		"270 literals":      append(bytes.Clone(noise[:270]), make([]byte, 274+5)...),
		"an executable":     self[:min(len(self), 1<<20)],
	}
}

func TestPack(t *testing.T) {
	for name, want := range samples(t) {
		image := Pack(want)
		if got, err := Unpack(string(image)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: Unpack(Pack()) = %d bytes, %v; want the %d there were", name, len(got), err, len(want))
		}
		if most := header + len(want) + len(want)/255 + 16; len(image) > most {
			t.Errorf("%s: Pack() = %d bytes; want %d at most", name, len(image), most)
		}
	}
	if n := len(Pack(samples(t)["one after another"])); n > 1000 {
		t.Errorf("100000 times one byte is packed into %d", n)
	}
}

func TestIdentity(t *testing.T) {
	a, b := Identity(string(Pack([]byte("a")))), Identity(string(Pack([]byte("b"))))
	if a == b || len(a) != header {
		t.Errorf("Identity() = %x for a, %x for b", a, b)
	}
}

func TestUnpackDamaged(t *testing.T) {
	whole := string(Pack([]byte("0123456789012345678901234567890123456789")))
	for n := range len(whole) {
		if got, err := Unpack(whole[:n]); err == nil {
			t.Errorf("Unpack() of %d bytes of %d = %q", n, len(whole), got)
		}
	}
	size := func(n byte) string { return "\x00\x00\x00\x00\x00\x00\x00\x00" + string(n) + "\x00\x00\x00" }
	for name, image := range map[string]string{
		"no block":             size(0),
		"more than its size":   size(1) + "\x20ab",
		"less than its size":   size(3) + "\x20ab",
		"before its beginning": size(20) + "\x10a\x02\x00\x00",
		"offset 0":             size(20) + "\x10a\x00\x00\x00",
		"half an offset":       size(20) + "\x10a\x01",
		"a length without end": size(20) + "\xf0\xff\xff",
		"no last literals":     size(5) + "\x10a\x01\x00",
		"larger than any":      "\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\x00",
	} {
		if got, err := Unpack(image); err == nil {
			t.Errorf("%s: Unpack() = %q", name, got)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x14\x00\x00\x00\x10a\x01\x00\x10b"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := Unpack(string(b)); err == nil {
			if again, err := Unpack(string(Pack(got))); err != nil || !bytes.Equal(again, got) {
				t.Errorf("Unpack(Pack(%x)) = %x, %v", got, again, err)
			}
		}
		if again, err := Unpack(string(Pack(b))); err != nil || !bytes.Equal(again, b) {
			t.Errorf("Unpack(Pack(%x)) = %x, %v", b, again, err)
		}
	})
}
