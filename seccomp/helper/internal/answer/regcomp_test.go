//go:build cgo

package answer

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
)

// oracle is a script. Bash gives the right side of =~ to regcomp(3) with
// REG_EXTENDED, as crun does with the argument of --regex.
const oracle = `
shopt -u nocasematch
while IFS= read -r expression; do
	IFS= read -r text
	[[ $text =~ $expression ]]
	echo $?
done 2>/dev/null`

// regcomp asks the C library for the texts that the expressions match: 0 for a
// match, 1 for none, 2 for an invalid expression.
func regcomp(t *testing.T, expressions, texts []string) []string {
	t.Helper()
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("the C library's regcomp is asked by way of bash: ", err)
	}
	var in strings.Builder
	for i := range expressions {
		fmt.Fprintf(&in, "%s\n%s\n", expressions[i], texts[i])
	}
	cmd := exec.Command("bash", "-c", oracle)
	cmd.Env = []string{"LC_ALL=C"}
	cmd.Stdin = strings.NewReader(in.String())
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for s := bufio.NewScanner(strings.NewReader(string(out))); s.Scan(); {
		list = append(list, s.Text())
	}
	if len(list) != len(expressions) {
		t.Fatalf("bash gives %d answers to %d questions", len(list), len(expressions))
	}
	return list
}

// TestCompileAgreesWithRegcomp checks that an expression that compiles matches the same texts as regcomp's.
func TestCompileAgreesWithRegcomp(t *testing.T) {
	parts := strings.Split(`a b c - = . \ \\ \. \- \< \> \b \w \d \n \x \' [ ] ^ $ ( ) * + ? { } | , 1 2 {1} {2,} {1,2} {,2} {2,1} [a-c] [^a] [[:alpha:]] [[:digit:]] [: :] [:digit:] [= =] [. .] [=a=] [.-.] a- -c [] [^ [^] ]] ()`, " ")
	letters := strings.Split(`a b c - = . \ [ ] ^ $ ( ) * + ? { } | , 1 2 : d`, " ")
	source := rand.New(rand.NewPCG(1, 2))
	pick := func(from []string, n int) string {
		var b strings.Builder
		for range source.IntN(n + 1) {
			b.WriteString(from[source.IntN(len(from))])
		}
		return b.String()
	}
	const cases = 20000
	var expressions, texts []string
	for range cases {
		expressions = append(expressions, pick(parts, 6))
		texts = append(texts, pick(letters, 5))
	}
	compiled := 0
	for i, want := range regcomp(t, expressions, texts) {
		re, err := compile(expressions[i])
		if err != nil {
			continue
		}
		compiled++
		got := "1"
		if re.MatchString(texts[i]) {
			got = "0"
		}
		if got != want {
			t.Errorf("%q on %q = %s; want %s", expressions[i], texts[i], got, want)
		}
	}
	if compiled < cases/10 {
		t.Errorf("%d of %d expressions compile", compiled, cases)
	}
}
