package dashboards

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"path/filepath"
	"slices"

	"millrace/results"
)

//go:embed index.html
var indexText string

var index = template.Must(template.New("index").Funcs(formats).Parse(indexText))

// listed is one row of the index: a run, a comparison or a search, or why it
// could not be read.
type listed struct {
	ID         string
	Run        *results.Run
	Comparison *results.Comparison
	Search     *results.Search
	Fault      string
}

// list reads what the store holds, newest first.
func list(store results.Store) ([]listed, error) {
	entries, err := store.Entries()
	if err != nil {
		return nil, err
	}
	rows := make([]listed, 0, len(entries))
	for _, e := range slices.Backward(entries) {
		row, dir := listed{ID: e.ID}, filepath.Join(store.Dir, e.ID)
		switch e.Kind {
		case results.KindRun:
			row.Run, err = results.Open(dir)
		case results.KindComparison:
			row.Comparison, err = results.OpenComparison(dir)
		case results.KindSearch:
			row.Search, err = results.OpenSearch(dir)
		}
		if err != nil {
			row = listed{ID: e.ID, Fault: err.Error()}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// Handler serves everything in the store: the list at /, the page of each run,
// comparison and search at /runs/ID/ and the files of its directory below that.
// Pages are made anew on each request, so that a run that has just ended is
// there.
func Handler(store results.Store) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		rows, err := list(store)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		send(w, index, map[string]any{"Dir": store.Dir, "Rows": rows})
	})
	mux.HandleFunc("GET /runs/{id}/{$}", func(w http.ResponseWriter, r *http.Request) {
		if !known(store, r.PathValue("id")) {
			http.NotFound(w, r)
			return
		}
		var page bytes.Buffer
		if err := writePage(&page, filepath.Join(store.Dir, r.PathValue("id"))); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(page.Bytes())
	})
	mux.HandleFunc("GET /runs/{id}/{file...}", func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		if !known(store, id) {
			http.NotFound(w, r)
			return
		}
		root := http.Dir(filepath.Join(store.Dir, id)) // keeps the path inside
		http.StripPrefix(fmt.Sprintf("/runs/%s/", id), http.FileServer(root)).ServeHTTP(w, r)
	})
	return mux
}

// known tells whether id is in the store, and so no path of a
// stranger's making.
func known(store results.Store, id string) bool {
	entries, err := store.Entries()
	return err == nil && slices.ContainsFunc(entries, func(e results.Entry) bool { return e.ID == id })
}

func send(w http.ResponseWriter, t *template.Template, data any) {
	var page bytes.Buffer
	if err := t.Execute(&page, data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write(page.Bytes())
}
