package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"millrace/core"
	"millrace/internal/knob"
	"millrace/results"
)

func knobsCmd() *cobra.Command {
	var asJSON, asMarkdown bool
	cmd := &cobra.Command{
		Use:   "knobs [WORD]",
		Short: "List the broker's knobs, all or those that mention a word",
		Example: `  millrace knobs
  millrace knobs sync
  millrace knobs --markdown > docs/knobs.md`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg := core.Defaults()
			var list []*knob.Knob
			for _, k := range core.Knobs(&cfg).All() {
				if len(args) == 0 || strings.Contains(k.Name+" "+k.Doc, args[0]) {
					list = append(list, k)
				}
			}
			w := cmd.OutOrStdout()
			switch {
			case asJSON:
				return writeKnobsJSON(w, list)
			case asMarkdown:
				return writeKnobsMarkdown(w, list)
			}
			if len(list) == 0 {
				return fmt.Errorf("no knob mentions %q; millrace knobs lists them all", args[0])
			}
			for _, k := range list {
				fmt.Fprintf(w, "%s = %s\n", k.Name, shown(k.Default))
				for _, line := range results.Wrap(k.Doc, 74) {
					fmt.Fprintln(w, "    "+line)
				}
				for _, line := range results.Wrap(values(k), 74) {
					fmt.Fprintln(w, "    "+line)
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON array")
	cmd.Flags().BoolVar(&asMarkdown, "markdown", false, "the table of docs/knobs.md")
	return cmd
}

func shown(v string) string {
	if v == "" {
		return `""`
	}
	return v
}

// values says in a line what a knob may be set to.
func values(k *knob.Knob) string {
	var parts []string
	switch {
	case k.Kind == knob.Enum:
		alts := make([]string, len(k.Alternatives))
		for i, a := range k.Alternatives {
			alts[i] = shown(a)
		}
		parts = append(parts, strings.Join(alts, " | "))
	case k.Bounded:
		parts = append(parts, fmt.Sprintf("%s, %s", k.Kind, k.Bounds()))
	default:
		parts = append(parts, string(k.Kind))
	}
	if k.PerTopic {
		parts = append(parts, "per topic")
	}
	if k.KafkaName != "" {
		parts = append(parts, "Kafka: "+k.KafkaName)
	}
	return strings.Join(parts, "; ")
}

func writeKnobsJSON(w io.Writer, list []*knob.Knob) error {
	type row struct {
		Name         string   `json:"name"`
		Kind         string   `json:"kind"`
		Default      string   `json:"default"`
		Alternatives []string `json:"alternatives,omitempty"`
		Bounds       string   `json:"bounds,omitempty"`
		PerTopic     bool     `json:"per_topic,omitempty"`
		Kafka        string   `json:"kafka,omitempty"`
		Doc          string   `json:"doc"`
	}
	rows := []row{}
	for _, k := range list {
		r := row{k.Name, string(k.Kind), k.Default, k.Alternatives, "", k.PerTopic, k.KafkaName, k.Doc}
		if k.Bounded {
			r.Bounds = k.Bounds()
		}
		rows = append(rows, r)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(rows)
}

func writeKnobsMarkdown(w io.Writer, list []*knob.Knob) error {
	fmt.Fprint(w, "# Knobs\n\nEvery setting of the broker, from the declarations in the code"+
		" (`millrace knobs --markdown`).\nSet one with `--set name=value`, in the file of `serve --config`, in a scenario's"+
		" `broker:`\nsection, or, where it says *per topic*, with CreateTopics.\n\n"+
		"| knob | default | values | what it does |\n|---|---|---|---|\n")
	cell := strings.NewReplacer("|", `\|`)
	for _, k := range list {
		fmt.Fprintf(w, "| `%s` | `%s` | %s | %s |\n", k.Name, shown(k.Default), cell.Replace(values(k)), cell.Replace(k.Doc))
	}
	return nil
}

// table writes rows in aligned columns.
func table(w io.Writer, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(t, strings.Join(r, "\t"))
	}
	t.Flush()
}
