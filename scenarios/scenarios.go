// Package scenarios is the library of scenario files, and the JSON Schema of
// their form, embedded in the binary.
package scenarios

import (
	"embed"
	"io/fs"
	"sort"
	"strings"
)

//go:embed *.yaml schema.json
var files embed.FS

// Names lists the library, sorted.
func Names() []string {
	entries, _ := fs.ReadDir(files, ".")
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".yaml"); ok {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// Text is the file of the named scenario; false: the library has none.
func Text(name string) ([]byte, bool) {
	b, err := files.ReadFile(name + ".yaml")
	return b, err == nil
}

// Schema is the JSON Schema of a scenario file, for editors. It is made from
// the harness's own declaration of the form; a test fails when it is stale.
func Schema() []byte {
	b, err := files.ReadFile("schema.json")
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return b
}
