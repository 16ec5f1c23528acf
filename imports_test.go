// Package millrace_test holds the checks that are about the tree as a whole.
package millrace_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// rule says which of our own packages a package may import, and why no more.
// A rule covers the package and everything below it, unless a longer path has
// a rule of its own.
type rule struct {
	may    []string
	reason string
}

// rules are the directions of ARCHITECTURE.md. Everyone may import
// internal/knob, which imports nothing of ours.
var rules = map[string]rule{
	"internal/knob":  {nil, "every package declares its settings through it, so it can know none of them"},
	"batching":       {nil, "a format: bytes in, bytes out"},
	"core/wire":      {nil, "a format: bytes in, bytes out; the lean client uses it without a broker"},
	"core/meta":      {nil, "records and images: the journal is passed in"},
	"core/producers": {[]string{"batching"}, "what a log says of its producers, in memory"},
	"core/quota":     {nil, "a pure state machine: time is passed in"},
	"core/group":     {nil, "a pure state machine: no I/O, so that scripts and fake time can drive it"},
	"core/txn":       {nil, "a pure state machine, as core/group"},
	"netio":          {nil, "moves frames without knowing what they mean; a span meets its Part structurally"},
	"results":        {nil, "the file is the interface between measuring and showing"},
	"scenarios":      {nil, "data and its schema"},
	"diskio":         {[]string{"batching"}, "a log of batches, not of topics"},
	"dashboards":     {[]string{"results"}, "shows what lies in run directories, and nothing that only a live run knows"},
	"core":           {[]string{"core/wire", "core/meta", "core/producers", "core/group", "core/txn", "core/quota", "netio", "diskio", "batching"}, "the broker never knows the lab"},
	"harness/load":   {[]string{"core/wire", "batching"}, "a client: whatever it can do to our broker it can do to any"},
	"harness/limits": {[]string{"batching", "results"}, "the bare host: it knows neither broker nor scenario"},
	"harness/soak":   {[]string{"harness/load", "core/wire", "batching"}, "peers, good and bad: the broker is another process"},
	"harness":        {[]string{"harness/load", "harness/limits", "core", "core/wire", "batching", "results", "scenarios"}, "core only for the in-process target"},
	"cmd":            {[]string{"harness", "harness/limits", "harness/soak", "core", "results", "dashboards"}, "thin: flags in, text out"},
}

type listed struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

// faults is the core of the test, apart so that its negative control can feed
// it a tree that breaks a rule.
func faults(pkgs []listed) []string {
	const module = "millrace/"
	var out []string
	for _, p := range pkgs {
		from, ours := strings.CutPrefix(p.ImportPath, module)
		if !ours {
			continue // the root: this file
		}
		room := from
		for rules[room].reason == "" && strings.Contains(room, "/") {
			room = room[:strings.LastIndex(room, "/")]
		}
		r, ok := rules[room]
		if !ok {
			out = append(out, from+" has no import rule: name the room it belongs to in imports_test.go")
			continue
		}
		for _, imp := range p.Imports {
			to, ours := strings.CutPrefix(imp, module)
			if !ours || to == "internal/knob" || to == room || strings.HasPrefix(to, from+"/") && rules[to].reason == "" {
				continue
			}
			allowed := false
			for _, m := range r.may {
				allowed = allowed || to == m
			}
			if !allowed {
				out = append(out, from+" imports "+to+"; "+room+": "+r.reason)
			}
		}
	}
	return out
}

func TestImportDirections(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var pkgs []listed
	for dec := json.NewDecoder(out); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else {
			require.NoError(t, err)
		}
		pkgs = append(pkgs, p)
	}
	require.NoError(t, cmd.Wait())
	require.Greater(t, len(pkgs), 8, "go list saw too few packages for the test to mean anything")
	require.Empty(t, faults(pkgs))
}

// TestImportRulesCatch is the negative control.
func TestImportRulesCatch(t *testing.T) {
	bad := []listed{
		{ImportPath: "millrace/netio", Imports: []string{"fmt", "millrace/diskio"}},
		{ImportPath: "millrace/core", Imports: []string{"millrace/harness"}},
		{ImportPath: "millrace/util", Imports: nil},
		{ImportPath: "millrace/core/wire", Imports: []string{"millrace/core"}},
	}
	require.Len(t, faults(bad), 4)
	good := []listed{
		{ImportPath: "millrace/core", Imports: []string{"millrace/core/wire", "millrace/internal/knob"}},
		{ImportPath: "millrace/cmd/millrace", Imports: []string{"millrace/harness"}},
	}
	require.Empty(t, faults(good))
}
