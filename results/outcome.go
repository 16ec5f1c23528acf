package results

// Outcome is how a trial, or one of its goals, came out.
type Outcome string

// The outcomes. Goals are PASS, FAIL, INCONCLUSIVE or INVALID; the rest
// belong to a whole trial.
const (
	Pass         Outcome = "PASS"
	Fail         Outcome = "FAIL"         // a goal was missed
	Inconclusive Outcome = "INCONCLUSIVE" // too few samples to say
	Invalid      Outcome = "INVALID"      // the generator or the environment was the limit
	Violation    Outcome = "VIOLATION"    // an acknowledged record was lost, doubled, reordered or damaged
	Interrupted  Outcome = "INTERRUPTED"  // stopped by the user; what was measured is kept
	Error        Outcome = "ERROR"        // the trial could not be carried out
)

// Exit codes of the commands that print a verdict. 1 is our own error, 2 bad
// usage or an invalid scenario.
const (
	ExitPass         = 0
	ExitError        = 1
	ExitUsage        = 2
	ExitFail         = 10
	ExitInconclusive = 11
	ExitInvalid      = 12
	ExitViolation    = 13
	ExitInterrupted  = 130
)

// ExitCode is what a command that ends with the outcome exits with.
func (o Outcome) ExitCode() int {
	switch o {
	case Pass:
		return ExitPass
	case Fail:
		return ExitFail
	case Inconclusive:
		return ExitInconclusive
	case Invalid:
		return ExitInvalid
	case Violation:
		return ExitViolation
	case Interrupted:
		return ExitInterrupted
	}
	return ExitError
}

// severity orders outcomes for Worst: a violation outweighs an interruption,
// since data that is known to be lost stays lost.
var severity = map[Outcome]int{
	Pass: 0, Inconclusive: 1, Fail: 2, Invalid: 3, Error: 4, Interrupted: 5, Violation: 6,
}

// Worst is the outcome of several: the gravest. None: PASS.
func Worst(outcomes ...Outcome) Outcome {
	worst := Pass
	for _, o := range outcomes {
		if severity[o] > severity[worst] {
			worst = o
		}
	}
	return worst
}
