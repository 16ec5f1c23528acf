package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"millrace/harness"
	"millrace/results"
)

type flagOf = pflag.Flag

// outputs are the files for CI systems: JUnit's XML where asked for, and the
// summary page of a GitHub job where there is one.
type outputs struct {
	file string

	junit    results.JUnit
	markdown bytes.Buffer
	err      error
}

func (o *outputs) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.file, "junit", "", "write goals and outcomes as JUnit XML to `FILE`")
}

func (o *outputs) run(r *results.Run) {
	o.junit.Run(r)
	o.err = errors.Join(o.err, results.MarkdownRun(&o.markdown, r))
}

func (o *outputs) comparison(c *results.Comparison) {
	o.junit.Comparison(c)
	o.err = errors.Join(o.err, results.MarkdownComparison(&o.markdown, c))
}

func (o *outputs) search(s *results.Search) {
	o.junit.Search(s)
	o.err = errors.Join(o.err, results.MarkdownSearch(&o.markdown, s))
}

// fault adds why something could not be carried out to its end.
func (o *outputs) fault(name string, err error) {
	outcome := results.Error
	var end *harness.OutcomeError
	if errors.As(err, &end) {
		outcome = end.Outcome
	}
	o.junit.Ended(name, outcome, err)
	fmt.Fprintf(&o.markdown, "### ❌ %s: %s\n\n```\n%v\n```\n\n", name, outcome, err)
}

// write writes what was collected.
func (o *outputs) write() error {
	err := o.err
	if o.file != "" {
		var b bytes.Buffer
		err = errors.Join(err, o.junit.Write(&b))
		if werr := os.WriteFile(o.file, b.Bytes(), 0o644); werr != nil {
			err = errors.Join(err, fmt.Errorf("--junit: %w", werr))
		}
	}
	if page := os.Getenv("GITHUB_STEP_SUMMARY"); page != "" && o.markdown.Len() > 0 {
		f, ferr := os.OpenFile(page, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if ferr == nil {
			_, ferr = f.Write(o.markdown.Bytes())
			ferr = errors.Join(ferr, f.Close())
		}
		if ferr != nil {
			err = errors.Join(err, fmt.Errorf("GITHUB_STEP_SUMMARY: %w", ferr))
		}
	}
	return err
}
