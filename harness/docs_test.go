package harness

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// Every example of the reference parses, and passes the published schema.
func TestScenarioDocs(t *testing.T) {
	doc, err := os.ReadFile("../docs/scenarios.md")
	require.NoError(t, err)
	blocks := yamlBlock.FindAllStringSubmatch(string(doc), -1)
	require.Greater(t, len(blocks), 5)
	schema := compileSchema(t)
	for _, b := range blocks {
		s, err := parse("docs", []byte(b[1]), nil)
		require.NoError(t, err, b[1])
		require.NoError(t, schema.Validate(generic(t, []byte(b[1]))), b[1])
		again, err := parse("docs", s.YAML(), nil)
		require.NoError(t, err, "%s", s.YAML())
		require.Equal(t, s, again)
	}
	for _, word := range append(targetFaults, phaseKinds...) {
		require.Contains(t, string(doc), "`"+word+"`")
	}

	list := figureList()
	if *update {
		doc = regexp.MustCompile(`(?s)(FIGURES|\| figure \|.*?)\n\nLatencies are`).ReplaceAll(doc, []byte(strings.ReplaceAll(list, "$", "$$")+"\nLatencies are"))
		require.NoError(t, os.WriteFile("../docs/scenarios.md", doc, 0o644))
		return
	}
	require.Contains(t, string(doc), list, "stale: go test ./harness -run TestScenarioDocs -update")
}

// figureList is what goals may name, but for latencies, as a table.
func figureList() string {
	var b strings.Builder
	b.WriteString("| figure | what |\n|---|---|\n")
	for _, name := range sortedKeys(figures) {
		whole := ""
		if figures[name].whole {
			whole = " *"
		}
		fmt.Fprintf(&b, "| `%s`%s | %s |\n", name, whole, figures[name].doc)
	}
	return b.String()
}
