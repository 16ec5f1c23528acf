package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// resetFlags say where a group's offsets go to. The names are those of Kafka's
// own kafka-consumer-groups.
type resetFlags struct {
	scope

	earliest, latest, current bool
	offset, shift             int64
	datetime, duration, file  string

	dry, execute, export bool
}

// resets are the flags of which there is to be one.
var resets = []string{"to-earliest", "to-latest", "to-current", "to-offset", "to-datetime", "by-duration", "shift-by", "from-file"}

func groupResetCmd(f *adminFlags) *cobra.Command {
	var r resetFlags
	cmd := &cobra.Command{
		Use: "reset-offsets GROUP", Short: "Commit other offsets for a group without members", Args: cobra.ExactArgs(1),
		Long: `Commit other offsets for a group without members. Without --execute it only
shows what it would commit. An offset beyond the partition's first or last is
set to that. --export prints TOPIC,PARTITION,OFFSET, which --from-file reads.`,
		Example: `  millrace group reset-offsets billing --topic events --to-earliest
  millrace group reset-offsets billing --topic events:0,2 --shift-by -100 \
    --execute
  millrace group reset-offsets billing --all-topics --by-duration 2h30m
  millrace group reset-offsets billing --all-topics --to-current \
    --export > billing.csv
  millrace group reset-offsets billing --from-file billing.csv --execute`,
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := r.target(cmd, time.Now())
			if err != nil {
				return usage(err)
			}
			if r.export && f.json {
				return usage(errors.New("--export prints CSV and --json JSON: choose one"))
			}
			return f.admin(cmd, func(ctx context.Context, a *kadm.Client) error {
				plan, err := planReset(ctx, a, args[0], to, cmd.ErrOrStderr())
				if err != nil {
					return err
				}
				if r.execute {
					if err := plan.commit(ctx, a, args[0]); err != nil {
						return err
					}
				}
				if r.export {
					return plan.export(cmd.OutOrStdout())
				}
				if err := f.show(cmd.OutOrStdout(), plan, plan.rows()); err != nil || r.execute {
					return err
				}
				fmt.Fprintln(cmd.ErrOrStderr(), "nothing was committed: add --execute to do so")
				return nil
			})
		},
	}
	r.scope.register(cmd)
	fl := cmd.Flags()
	fl.BoolVar(&r.all, "all-topics", false, "all partitions that it has committed")
	fl.BoolVar(&r.earliest, "to-earliest", false, "each partition's first offset")
	fl.BoolVar(&r.latest, "to-latest", false, "each partition's end")
	fl.BoolVar(&r.current, "to-current", false, "what is committed; otherwise the end")
	fl.Int64Var(&r.offset, "to-offset", 0, "this `OFFSET`")
	fl.StringVar(&r.datetime, "to-datetime", "", "first record at or after `TIME`, such as\n2026-01-31T18:00:00 (UTC) or with +02:00")
	fl.StringVar(&r.duration, "by-duration", "", "first record since so long ago: `TIME`,\nsuch as 2h30m or P1DT12H")
	fl.Int64Var(&r.shift, "shift-by", 0, "`N` records on; back where negative")
	fl.StringVar(&r.file, "from-file", "", "`CSV` of TOPIC,PARTITION,OFFSET")
	fl.BoolVar(&r.dry, "dry-run", false, "only show what would be committed (default)")
	fl.BoolVar(&r.execute, "execute", false, "commit")
	fl.BoolVar(&r.export, "export", false, "print CSV")
	return cmd
}

// resetTarget is what the flags ask for.
type resetTarget struct {
	scope
	kind  string // one of resets
	n     int64  // of to-offset and shift-by; of the two times, ms since 1970
	named []resetRow
}

// target checks the flags; now is what a duration counts back from.
func (r *resetFlags) target(cmd *cobra.Command, now time.Time) (resetTarget, error) {
	to := resetTarget{scope: r.scope}
	for _, name := range resets {
		if !cmd.Flags().Changed(name) {
			continue
		}
		if to.kind != "" {
			return to, fmt.Errorf("--%s and --%s: choose one", to.kind, name)
		}
		to.kind = name
	}
	switch {
	case to.kind == "":
		return to, errors.New("say where to: --to-earliest, --to-latest, --to-offset N, --to-datetime TIME, --by-duration TIME, --shift-by N, --to-current or --from-file CSV")
	case r.dry && r.execute:
		return to, errors.New("--dry-run and --execute: choose one")
	case to.kind == "from-file" && (r.all || len(r.topics) > 0):
		return to, errors.New("--from-file names the partitions itself: leave out --topic and --all-topics")
	case to.kind != "from-file" && !r.all && len(r.topics) == 0:
		return to, errors.New("say which --topic, or --all-topics")
	case r.all && len(r.topics) > 0:
		return to, errors.New("--topic and --all-topics: choose one")
	case to.kind == "to-offset" && r.offset < 0:
		return to, fmt.Errorf("--to-offset %d: there are none below 0", r.offset)
	}
	if err := to.scope.parse(); err != nil {
		return to, err
	}
	var err error
	switch to.kind {
	case "to-offset":
		to.n = r.offset
	case "shift-by":
		to.n = r.shift
	case "to-datetime":
		var at time.Time
		at, err = parseTime(r.datetime)
		to.n = at.UnixMilli()
	case "by-duration":
		var d time.Duration
		d, err = parseAgo(r.duration)
		to.n = now.Add(-d).UnixMilli()
	case "from-file":
		to.named, err = readOffsets(r.file)
	}
	if to.kind == "to-datetime" || to.kind == "by-duration" {
		to.n = max(to.n, 0) // below are Kafka's special times
	}
	return to, err
}

type resetRow struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Committed int64  `json:"committed"` // -1: nothing
	New       int64  `json:"new"`
}

// resetPlan is what would be committed, by topic and partition.
type resetPlan []resetRow

// planReset finds the offsets; what it had to change goes to warn.
func planReset(ctx context.Context, a *kadm.Client, group string, to resetTarget, warn io.Writer) (resetPlan, error) {
	g, err := lookAt(ctx, a, group)
	if err == nil && g.active() {
		err = g.errActive()
	}
	if err != nil {
		return nil, err
	}
	committed, err := fetchCommitted(ctx, a, group)
	if err != nil {
		return nil, err
	}
	set, err := to.partitions(committed)
	if err != nil {
		return nil, told(group, err, "")
	}
	asked := map[string]map[int32]int64{}
	for _, r := range to.named {
		set.Add(r.Topic, r.Partition)
		if asked[r.Topic] == nil {
			asked[r.Topic] = map[int32]int64{}
		}
		asked[r.Topic][r.Partition] = r.New
	}
	ends, err := listed(set, func() (kadm.ListedOffsets, error) { return a.ListEndOffsets(ctx, set.Topics()...) })
	if err != nil {
		return nil, err
	}
	starts, err := listed(set, func() (kadm.ListedOffsets, error) { return a.ListStartOffsets(ctx, set.Topics()...) })
	if err != nil {
		return nil, err
	}
	var times kadm.ListedOffsets
	if to.kind == "to-datetime" || to.kind == "by-duration" {
		if times, err = listed(set, func() (kadm.ListedOffsets, error) { return a.ListOffsetsAfterMilli(ctx, to.n, set.Topics()...) }); err != nil {
			return nil, err
		}
	}
	plan := resetPlan{}
	var errs []error
	for _, end := range ends.Offsets().Sorted() {
		if ps := set[end.Topic]; len(ps) > 0 {
			if _, ok := ps[end.Partition]; !ok {
				continue
			}
		}
		start, _ := starts.Lookup(end.Topic, end.Partition)
		row := resetRow{end.Topic, end.Partition, -1, end.At}
		if o, ok := committed.Lookup(end.Topic, end.Partition); ok {
			row.Committed = o.At
		}
		switch to.kind {
		case "to-earliest":
			row.New = start.Offset
		case "to-current":
			if row.Committed >= 0 {
				row.New = row.Committed
			}
		case "to-offset":
			row.New = to.n
		case "to-datetime", "by-duration":
			at, _ := times.Lookup(end.Topic, end.Partition)
			row.New = at.Offset
		case "from-file":
			row.New = asked[end.Topic][end.Partition]
		case "shift-by":
			if row.Committed < 0 {
				errs = append(errs, fmt.Errorf("%s partition %d: nothing is committed to count from: use --to-earliest or another", row.Topic, row.Partition))
				continue
			}
			row.New = row.Committed + to.n
		}
		if within := min(max(row.New, start.Offset), end.At); within != row.New && to.kind != "to-current" {
			fmt.Fprintf(warn, "%s partition %d: %d is not within %d to %d: %d is taken\n", row.Topic, row.Partition, row.New, start.Offset, end.At, within)
			row.New = within
		}
		plan = append(plan, row)
	}
	return plan, errors.Join(errs...)
}

// listed makes sure that what is listed has every partition of the set, and that
// none of those has an error.
func listed(set kadm.TopicsSet, list func() (kadm.ListedOffsets, error)) (kadm.ListedOffsets, error) {
	if len(set) == 0 {
		return nil, nil // no topic would mean all of them
	}
	got, err := list()
	if err != nil {
		return nil, err
	}
	for _, t := range set.Sorted() {
		for p, o := range got[t.Topic] {
			switch {
			case o.Err != nil && p < 0: // kadm's way to speak of the topic
				return nil, told(t.Topic, o.Err, "")
			case o.Err != nil:
				return nil, told(fmt.Sprintf("%s partition %d", t.Topic, p), o.Err, "")
			}
		}
		for _, p := range t.Partitions {
			if _, ok := got.Lookup(t.Topic, p); !ok {
				return nil, told(fmt.Sprintf("%s partition %d", t.Topic, p), kerr.UnknownTopicOrPartition, "")
			}
		}
	}
	return got, nil
}

func (p resetPlan) rows() [][]string {
	rows := [][]string{{"TOPIC", "PARTITION", "COMMITTED", "NEW"}}
	for _, r := range p {
		rows = append(rows, []string{r.Topic, fmt.Sprint(r.Partition), fmt.Sprint(r.Committed), fmt.Sprint(r.New)})
	}
	return rows
}

func (p resetPlan) export(w io.Writer) error {
	out := csv.NewWriter(w)
	for _, r := range p {
		if err := out.Write([]string{r.Topic, fmt.Sprint(r.Partition), fmt.Sprint(r.New)}); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func (p resetPlan) commit(ctx context.Context, a *kadm.Client, group string) error {
	if len(p) == 0 {
		return nil
	}
	offsets := kadm.Offsets{}
	for _, r := range p {
		offsets.AddOffset(r.Topic, r.Partition, r.New, -1)
	}
	err := a.CommitAllOffsets(ctx, group, offsets)
	if errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.IllegalGeneration) || errors.Is(err, kerr.StaleMemberEpoch) {
		return fmt.Errorf("%s: %w: a member has joined since: stop it first, then try again", group, err)
	}
	return told(group, err, "")
}

// readOffsets reads what --export wrote, or Kafka's own tool, which may put the
// group in front.
func readOffsets(path string) ([]resetRow, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	in := csv.NewReader(file)
	in.FieldsPerRecord = -1
	var out []resetRow
	for {
		words, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		line, _ := in.FieldPos(0)
		if len(words) == 4 {
			words = words[1:]
		}
		if len(words) != 3 {
			return nil, fmt.Errorf("%s:%d: want TOPIC,PARTITION,OFFSET", path, line)
		}
		p, err := strconv.ParseInt(words[1], 10, 32)
		if err != nil || p < 0 {
			return nil, fmt.Errorf("%s:%d: %q is no partition", path, line, words[1])
		}
		offset, err := strconv.ParseInt(words[2], 10, 64)
		if err != nil || offset < 0 {
			return nil, fmt.Errorf("%s:%d: %q is no offset", path, line, words[2])
		}
		out = append(out, resetRow{Topic: words[0], Partition: int32(p), New: offset})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: no offsets in it: want lines of TOPIC,PARTITION,OFFSET", path)
	}
	return out, nil
}
