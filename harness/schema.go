package harness

import "encoding/json"

// Schema is the JSON Schema of a scenario file, made from the form's
// declaration. What it cannot say (goals beyond the schedule, a payload file
// that is missing) Load checks.
func Schema() []byte {
	js := defaults().fields().schema()
	js["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	js["title"] = "millrace scenario"
	js["required"] = []string{"name", "question", "topics", "phases"}
	b, err := json.MarshalIndent(js, "", "  ")
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return append(b, '\n')
}
