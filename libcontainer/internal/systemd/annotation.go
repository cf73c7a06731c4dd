package systemd

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// AnnotationPrefix stands before the names of properties.
const AnnotationPrefix = "org.systemd.property."

// Annotations returns the properties that config.json sets with
// org.systemd.property.NAME and a GVariant text. Engines use them for settings that
// only systemd has, such as TimeoutStopUSec and CollectMode.
func Annotations(annotations map[string]string) ([]Property, error) {
	var all []Property
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		name, ok := strings.CutPrefix(key, AnnotationPrefix)
		if !ok {
			continue
		}
		p, err := annotation(name, annotations[key])
		if err != nil {
			return nil, fmt.Errorf("/annotations/%s: %w", key, err)
		}
		all = append(all, p)
	}
	return all, nil
}

func annotation(name, text string) (Property, error) {
	letter := func(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' }
	if len(name) < 3 || strings.IndexFunc(name, func(r rune) bool { return !letter(r) }) >= 0 {
		return Property{}, fmt.Errorf("%q is not the name of a property", name)
	}
	v, err := parseText(text)
	if err != nil {
		return Property{}, fmt.Errorf("%q is not a value: %w", text, err)
	}
	// The bus has times in microseconds only, with another name than in unit
	// files.
	if base, ok := strings.CutSuffix(name, "Sec"); ok && !strings.HasSuffix(name, "USec") {
		us, ok := microseconds(v.Value)
		if !ok {
			return Property{}, fmt.Errorf("%q is not a number of seconds", text)
		}
		return Property{base + "USec", Variant{"t", us}}, nil
	}
	return Property{name, v}, nil
}

func microseconds(v any) (uint64, bool) {
	const us, most = 1000000, float64(infinity / 2) // far above every time
	var seconds float64
	switch n := v.(type) {
	case byte:
		seconds = float64(n)
	case int16:
		seconds = float64(n)
	case uint16:
		seconds = float64(n)
	case int32:
		seconds = float64(n)
	case uint32:
		seconds = float64(n)
	case int64:
		seconds = float64(n)
	case uint64:
		seconds = float64(n)
	case float64:
		seconds = n
	default:
		return 0, false
	}
	return uint64(seconds * us), seconds >= 0 && seconds*us < most
}

// Override returns p, with the properties of more in place of those of the same name.
func Override(p, more []Property) []Property {
	all := slices.DeleteFunc(slices.Clone(p), func(old Property) bool {
		return slices.ContainsFunc(more, func(n Property) bool { return n.Name == old.Name })
	})
	return append(all, more...)
}
