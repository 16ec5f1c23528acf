package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// groupState is a group of either type, without its offsets.
type groupState struct {
	Group           string `json:"group"`
	Type            string `json:"type"` // classic, or consumer: the broker assigns
	State           string `json:"state"`
	Protocol        string `json:"protocol"` // of a group of the type consumer, the assignor
	Coordinator     string `json:"coordinator"`
	Members         int    `json:"members"`
	Epoch           int32  `json:"epoch,omitempty"` // these two of the type consumer only
	AssignmentEpoch int32  `json:"assignment_epoch,omitempty"`

	members []memberRow
}

// active: somebody reads, so that the group's offsets are its members' own.
func (g groupState) active() bool { return g.State != "Empty" && g.State != "Dead" }

// errActive is what to do where a group is in the way of its own offsets.
func (g groupState) errActive() error {
	return fmt.Errorf("%s: the group is %s with %d member(s): stop them first, then try again", g.Group, g.State, g.Members)
}

type memberRow struct {
	Member     string             `json:"member"`
	Instance   string             `json:"instance,omitempty"` // of a static member
	Client     string             `json:"client"`
	Host       string             `json:"host"`
	Partitions int                `json:"partitions"`
	Assigned   map[string][]int32 `json:"assigned"`
}

func newMember(id string, instance *string, client, host string, assigned kadm.TopicsSet) memberRow {
	m := memberRow{Member: id, Client: client, Host: host, Assigned: map[string][]int32{}}
	if instance != nil {
		m.Instance = *instance
	}
	for _, t := range assigned.Sorted() {
		m.Assigned[t.Topic] = t.Partitions
		m.Partitions += len(t.Partitions)
	}
	return m
}

// text is the assignment in a cell: events:0,1 other:2.
func (m memberRow) text() string {
	var out []string
	for topic, ps := range m.Assigned {
		out = append(out, topic+":"+strings.Join(strings.Fields(strings.Trim(fmt.Sprint(ps), "[]")), ","))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// lookAt asks for a group of either type. One that nobody knows is Dead, as Kafka
// has it.
func lookAt(ctx context.Context, a *kadm.Client, name string) (groupState, error) {
	consumer, err := a.DescribeConsumerGroups(ctx, name)
	if g, ok := consumer[name]; err == nil && ok && g.Err == nil {
		out := groupState{Group: name, Type: "consumer", State: g.State, Protocol: g.AssignorName, Coordinator: address(g.Coordinator),
			Members: len(g.Members), Epoch: g.Epoch, AssignmentEpoch: g.AssignmentEpoch}
		for _, m := range g.Members {
			out.members = append(out.members, newMember(m.MemberID, m.InstanceID, m.ClientID, m.ClientHost, m.Assignment))
		}
		return out, nil
	}
	classic, err := a.DescribeGroups(ctx, name)
	if err != nil {
		return groupState{}, told(name, err, "")
	}
	g := classic[name]
	if errors.Is(g.Err, kerr.GroupIDNotFound) {
		g.State = "Dead"
	} else if g.Err != nil {
		return groupState{}, told(name, g.Err, g.ErrMessage)
	}
	out := groupState{Group: name, Type: "classic", State: g.State, Protocol: g.Protocol, Coordinator: address(g.Coordinator), Members: len(g.Members)}
	for _, m := range g.Members {
		assigned := kadm.TopicsSet{}
		if c, ok := m.Assigned.AsConsumer(); ok {
			for _, t := range c.Topics {
				assigned.Add(t.Topic, t.Partitions...)
			}
		}
		out.members = append(out.members, newMember(m.MemberID, m.InstanceID, m.ClientID, m.ClientHost, assigned))
	}
	return out, nil
}

func address(b kadm.BrokerDetail) string { return fmt.Sprintf("%d (%s:%d)", b.NodeID, b.Host, b.Port) }

// lookUp is lookAt where a group that nobody knows is an error.
func lookUp(ctx context.Context, a *kadm.Client, name string) (groupState, error) {
	g, err := lookAt(ctx, a, name)
	if err == nil && g.State == "Dead" {
		err = fmt.Errorf("%s: %w; see: millrace group list", name, kerr.GroupIDNotFound)
	}
	return g, err
}

func groupStateCmd(f *adminFlags) *cobra.Command {
	return &cobra.Command{
		Use: "state GROUP", Short: "Show a group's state, type, assignor and coordinator", Args: cobra.ExactArgs(1),
		Example: "  millrace group state billing",
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.admin(cmd, func(ctx context.Context, a *kadm.Client) error {
				g, err := lookUp(ctx, a, args[0])
				if err != nil {
					return err
				}
				return f.show(cmd.OutOrStdout(), g, [][]string{
					{"GROUP", "STATE", "TYPE", "PROTOCOL", "MEMBERS", "COORDINATOR"},
					{g.Group, g.State, g.Type, g.Protocol, fmt.Sprint(g.Members), g.Coordinator}})
			})
		},
	}
}

func groupMembersCmd(f *adminFlags) *cobra.Command {
	return &cobra.Command{
		Use: "members GROUP", Short: "Show a group's members and what each reads", Args: cobra.ExactArgs(1),
		Example: "  millrace group members billing --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.admin(cmd, func(ctx context.Context, a *kadm.Client) error {
				g, err := lookUp(ctx, a, args[0])
				if err != nil {
					return err
				}
				rows := [][]string{{"MEMBER", "CLIENT", "HOST", "PARTITIONS", "ASSIGNED"}}
				for _, m := range g.members {
					rows = append(rows, []string{m.Member, m.Client, m.Host, fmt.Sprint(m.Partitions), m.text()})
				}
				return f.show(cmd.OutOrStdout(), append([]memberRow{}, g.members...), rows)
			})
		},
	}
}
