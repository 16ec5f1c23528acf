// Package harness carries a scenario out and judges it.
//
// The nouns: a Scenario is a checked scenario file; its Plan says what it will
// cost before anything runs; a Target is the broker that is measured and how
// to start and stop it; a trial (Run) drives the scenario against a target and
// leaves a results.Run; a comparison, a search and a profile are trials in
// series. METHOD.md states the rules of measurement that all of them follow.
//
// The way through the code: scenario.go and section.go read the file, goal.go
// its goals, plan.go the plan; target*.go start what is measured; trial.go
// runs the phases, proc.go counts what processes spend, verdict.go judges,
// summary.go tells.
package harness
