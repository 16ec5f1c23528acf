package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// scope is which partitions of a group are meant.
type scope struct {
	topics []string // TOPIC or TOPIC:0,1
	all    bool     // all that it has committed
	named  map[string][]int32
}

func (s *scope) register(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&s.topics, "topic", nil, "`TOPIC`, or TOPIC:0,2 for some partitions;\nany number of times")
}

func (s *scope) parse() error {
	s.named = map[string][]int32{}
	for _, t := range s.topics {
		topic, list, some := strings.Cut(t, ":")
		if topic == "" {
			return fmt.Errorf("--topic %q: want TOPIC or TOPIC:0,2", t)
		}
		if _, twice := s.named[topic]; twice {
			return fmt.Errorf("--topic %s: named twice; write its partitions as %[1]s:0,2", topic)
		}
		s.named[topic] = nil
		if !some {
			continue
		}
		for _, w := range strings.Split(list, ",") {
			p, err := strconv.ParseInt(w, 10, 32)
			if err != nil || p < 0 {
				return fmt.Errorf("--topic %s: %q is no partition; want TOPIC:0,2", t, w)
			}
			s.named[topic] = append(s.named[topic], int32(p))
		}
	}
	return nil
}

// partitions are those meant; of a topic without any, all.
func (s *scope) partitions(committed kadm.OffsetResponses) (kadm.TopicsSet, error) {
	set := kadm.TopicsSet{}
	for topic, ps := range s.named {
		set.Add(topic, ps...)
	}
	if !s.all {
		return set, nil
	}
	committed.Each(func(o kadm.OffsetResponse) { set.Add(o.Topic, o.Partition) })
	if len(set) == 0 {
		return nil, errors.New("it has committed nothing: name topics with --topic")
	}
	return set, nil
}

// fetchCommitted are a group's offsets; of a group that nobody knows, none.
func fetchCommitted(ctx context.Context, a *kadm.Client, group string) (kadm.OffsetResponses, error) {
	got, err := a.FetchOffsets(ctx, group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil, nil
	}
	if err == nil {
		err = got.Error()
	}
	return got, told(group, err, "")
}

func groupDeleteOffsetsCmd(f *adminFlags) *cobra.Command {
	type row struct {
		Topic     string `json:"topic"`
		Partition int32  `json:"partition"`
		Deleted   bool   `json:"deleted"`
		Error     string `json:"error,omitempty"`
	}
	var s scope
	cmd := &cobra.Command{
		Use: "delete-offsets GROUP", Short: "Forget a group's offsets of topics that it does not read", Args: cobra.ExactArgs(1),
		Example: "  millrace group delete-offsets billing --topic events:0,2",
		RunE: func(cmd *cobra.Command, args []string) error {
			group := args[0]
			if len(s.topics) == 0 {
				return usage(errors.New("say which --topic"))
			}
			if err := s.parse(); err != nil {
				return usage(err)
			}
			return f.admin(cmd, func(ctx context.Context, a *kadm.Client) error {
				if _, err := lookUp(ctx, a, group); err != nil {
					return err
				}
				committed, err := fetchCommitted(ctx, a, group)
				if err != nil {
					return err
				}
				set, _ := s.partitions(committed)
				for topic, ps := range set {
					if len(ps) > 0 {
						continue
					}
					for p := range committed[topic] {
						set.Add(topic, p)
					}
					if len(committed[topic]) == 0 {
						return fmt.Errorf("%s: it has committed nothing for %s; see: millrace group describe %[1]s", group, topic)
					}
				}
				got, err := a.DeleteOffsets(ctx, group, set)
				if err != nil {
					return told(group, err, "")
				}
				list, rows := []row{}, [][]string{{"TOPIC", "PARTITION", "DELETED", ""}}
				var errs []error
				for _, t := range set.Sorted() {
					slices.Sort(t.Partitions)
					for _, p := range t.Partitions {
						r := row{Topic: t.Topic, Partition: p, Deleted: true}
						if err := got[t.Topic][p]; err != nil {
							if errors.Is(err, kerr.GroupSubscribedToTopic) {
								err = fmt.Errorf("%w: stop the group's members first", err)
							}
							r.Deleted, r.Error = false, err.Error()
							errs = append(errs, told(fmt.Sprintf("%s partition %d", t.Topic, p), err, ""))
						}
						list = append(list, r)
						rows = append(rows, []string{r.Topic, fmt.Sprint(p), fmt.Sprint(r.Deleted), r.Error})
					}
				}
				return errors.Join(append(errs, f.show(cmd.OutOrStdout(), list, rows))...)
			})
		},
	}
	s.register(cmd)
	return cmd
}

// parseTime reads an instant as Kafka's tools do: without a zone it is UTC.
func parseTime(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05.999Z0700", "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--to-datetime %q: want a time such as 2026-01-31T18:00:00.000, with Z or +02:00 where it is not UTC", text)
}

var isoDuration = regexp.MustCompile(`^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$`)

// parseAgo reads a duration as Go writes it (2h30m) or as Kafka's tools take it
// (ISO 8601 without months: P1DT2H30M).
func parseAgo(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if m := isoDuration.FindStringSubmatch(strings.ToUpper(text)); m != nil && len(text) > 2 {
		d, err = 0, nil
		for i, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second} {
			if m[i+1] == "" {
				continue
			}
			n, e := strconv.ParseFloat(m[i+1], 64)
			if e != nil || n*float64(unit) > float64(1<<62) {
				return 0, fmt.Errorf("--by-duration %q: too long", text)
			}
			d += time.Duration(n * float64(unit))
		}
	}
	if err != nil || d < 0 {
		return 0, fmt.Errorf("--by-duration %q: want a time such as 2h30m or P1DT2H30M", text)
	}
	return d, nil
}
