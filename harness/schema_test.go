package harness

import (
	"bytes"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"millrace/scenarios"
)

var update = flag.Bool("update", false, "rewrite scenarios/schema.json")

// The published schema is the form's declaration, so that keys cannot drift.
func TestSchemaIsCurrent(t *testing.T) {
	if *update {
		require.NoError(t, os.WriteFile("../scenarios/schema.json", Schema(), 0o644))
		return
	}
	require.Equal(t, string(Schema()), string(scenarios.Schema()), "stale: go test ./harness -run TestSchemaIsCurrent -update")
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource("scenario.json", doc))
	schema, err := c.Compile("scenario.json")
	require.NoError(t, err)
	return schema
}

// Every file of the library passes the schema and the strict parser, and so
// does its resolved form, which means the same.
func TestLibrary(t *testing.T) {
	schema := compileSchema(t)
	for _, name := range scenarios.Names() {
		t.Run(name, func(t *testing.T) {
			text, ok := scenarios.Text(name)
			require.True(t, ok)
			require.NoError(t, schema.Validate(generic(t, text)))

			var sets []string
			if name == "logs" { // the one that asks for a file
				_, err := Load(name, nil)
				require.ErrorContains(t, err, "payload.file is missing")
				sets = []string{"payload.file=" + logFile(t)}
			}
			s, err := Load(name, sets)
			require.NoError(t, err)
			require.Equal(t, name, s.Name)
			require.NotEmpty(t, s.Goals, "a run that nothing judges")

			resolved := s.YAML()
			require.NoError(t, schema.Validate(generic(t, resolved)), "%s", resolved)
			again, err := parse("resolved.yaml", resolved, nil)
			require.NoError(t, err, "%s", resolved)
			require.Equal(t, string(resolved), string(again.YAML()))
			require.Equal(t, s, again)

			p, err := s.planIn("")
			require.NoError(t, err)
			require.Empty(t, p.Warnings)
		})
	}
}

var (
	commandLine = regexp.MustCompile(`(?m)^#\s+millrace (\w+) (\S+)(.*)$`)
	knobFlag    = regexp.MustCompile(`--knob (\S+?)=(\S+)`)
)

// The command that a scenario's text gives is of the scenario, and its knobs
// and their values are those of the broker. Each knob scenario gives one.
func TestLibraryCommands(t *testing.T) {
	for _, name := range scenarios.Names() {
		text, _ := scenarios.Text(name)
		lines := commandLine.FindAllStringSubmatch(string(text), -1)
		compares := 0
		for _, l := range lines {
			require.Equal(t, name, l[2], l[0])
			if l[1] != "compare" {
				continue
			}
			flags := knobFlag.FindAllStringSubmatch(l[3], -1)
			if len(flags) > 0 {
				compares++
			}
			for _, f := range flags {
				for _, value := range strings.Split(f[2], ",") {
					_, err := Load(name, []string{f[1] + "=" + value})
					require.NoError(t, err, l[0])
				}
			}
		}
		if strings.HasPrefix(name, "knob-") {
			require.Equal(t, 1, compares, name)
		}
	}
}

// The schema refuses what the parser refuses by shape.
func TestSchemaRefuses(t *testing.T) {
	schema := compileSchema(t)
	for _, bad := range []string{
		"{name: x, question: q, topics: [], phases: [], colour: red}",
		"{name: x, question: q, topics: [{name: a, partition: 1}], phases: []}",
		"{name: x, question: q, topics: [], phases: [{steady: 5, rate: 1/s}]}",
		"{name: x, question: q, topics: [], phases: [{steady: 5s, rate: 50k}]}",
		"{name: x, question: q, topics: [], phases: [], payload: {size: 1 KiBB}}",
		"{name: x, question: q, topics: [], phases: [], producers: {acks: some}}",
		"{name: x, question: q, topics: [], phases: [], broker: {no.such: 1}}",
		"{question: q, topics: [], phases: []}",
	} {
		require.Error(t, schema.Validate(generic(t, []byte(bad))), bad)
	}
}

func generic(t *testing.T, text []byte) any {
	var v any
	require.NoError(t, yaml.Unmarshal(text, &v))
	return v
}

// logFile is a small file of log lines.
func logFile(t *testing.T) string {
	f := t.TempDir() + "/app.log"
	var b bytes.Buffer
	for i := range 500 {
		b.WriteString("2026-01-02T03:04:05Z INFO request served path=/api/v1/orders/")
		b.WriteString(string(rune('a' + i%26)))
		b.WriteString(" status=200 took=12ms\n")
	}
	require.NoError(t, os.WriteFile(f, b.Bytes(), 0o644))
	return f
}
