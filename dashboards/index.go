package dashboards

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"path/filepath"

	"millrace/results"
)

//go:embed index.html
var indexText string

var index = template.Must(template.New("index").Funcs(formats).Parse(indexText))

// listed is one row of the index: a run, or why it could not be read.
type listed struct {
	ID    string
	Run   *results.Run
	Fault string
}

// Handler serves every run of the store: the list at /, each run's report at
// /runs/ID/ and the files of its directory below that. Pages are made anew on
// each request, so that a run that has just ended is there.
func Handler(store results.Store) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		ids, err := store.List()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		rows := make([]listed, 0, len(ids))
		for i := len(ids) - 1; i >= 0; i-- { // newest first
			row := listed{ID: ids[i]}
			if row.Run, err = store.Open(ids[i]); err != nil {
				row.Fault = err.Error()
			}
			rows = append(rows, row)
		}
		send(w, index, map[string]any{"Dir": store.Dir, "Rows": rows})
	})
	mux.HandleFunc("GET /runs/{id}/{$}", func(w http.ResponseWriter, r *http.Request) {
		if !known(store, r.PathValue("id")) {
			http.NotFound(w, r)
			return
		}
		run, err := store.Open(r.PathValue("id"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		var page bytes.Buffer
		if err := Report(&page, run); err != nil {
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

// known tells whether id is one of the store's runs, and so no path of a
// stranger's making.
func known(store results.Store, id string) bool {
	ids, err := store.List()
	if err != nil {
		return false
	}
	for _, have := range ids {
		if have == id {
			return true
		}
	}
	return false
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
