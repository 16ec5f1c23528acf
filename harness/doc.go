// Package harness carries a scenario out and judges it.
//
// The nouns: a Scenario is a checked scenario file; its Plan says what it will
// cost before anything runs; a target is the broker that is measured and how
// to start and stop it; a trial (Run) drives the scenario against a target and
// leaves a results.Run; a comparison, a search and a profile are trials in
// series. METHOD.md states the rules of measurement that all of them follow.
//
// The way through the code:
//
//	scenario.go, section.go, field.go, check.go   the file, declared once
//	goal.go, plan.go                              what must hold, what it needs
//	target.go, child.go, command.go, process.go   what is measured
//	trial.go, spec.go, topics.go                  one run
//	proc.go, env.go, profiler.go                  what processes and machine spend
//	collect.go, verdict.go, summary.go            figures, judgement, words
//	compare.go, search.go, profile.go, tables.go  runs in series
//
// One goroutine at a time touches a trial: the load generator's callbacks come
// one after the other, and the rest happens before it starts and after it has
// returned.
package harness
