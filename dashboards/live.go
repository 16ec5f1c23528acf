package dashboards

import (
	_ "embed"
	"net/http"
)

//go:embed live.html
var liveText string

var livePage = newPage("live", liveText)

// LivePoint is a second of a running broker, as the live page draws it.
type LivePoint struct {
	At       int64              `json:"at_ms"`     // Unix time
	Topics   map[string]float64 `json:"topics"`    // records appended a second
	Lag      map[string]int64   `json:"lag"`       // of each group, records
	AnswerMs float64            `json:"answer_ms"` // of a request for every partition's end
	Fault    string             `json:"fault,omitempty"`
}

// Live serves the live page of a broker; data answers with
// {"broker": …, "points": [LivePoint…]}, oldest first, at live/data.
func Live(broker string, data http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /live", func(w http.ResponseWriter, _ *http.Request) { send(w, livePage, map[string]any{"Broker": broker}) })
	mux.Handle("GET /live/data", data)
	return mux
}
