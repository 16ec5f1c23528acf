package main

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestExceptions: a name covers what is below it and no more, and needs a reason.
func TestExceptions(t *testing.T) {
	all, err := exceptions("list.txt", []byte("# comment\n\nTestA* not served\nTestB/one takes an hour\n"))
	require.NoError(t, err)
	for test, want := range map[string]bool{
		"TestA": true, "TestAll": true, "TestA/below/that": true, "TestB": false, "TestB/one": true, "TestB/one/more": true,
		"TestB/two": false, "TestC": false,
	} {
		require.Equal(t, want, excepted(all, test), test)
	}
	_, err = exceptions("list.txt", []byte("TestA because\nTestB\n"))
	require.ErrorContains(t, err, "list.txt:2: TestB is listed without a reason")
	require.True(t, over(all, map[string]bool{"TestB/one": true}, "TestB"))
	require.False(t, over(all, map[string]bool{"TestB/one": true}, "TestBee"))
	require.False(t, over(all, map[string]bool{"TestB/two": true}, "TestB"))
}

// TestListed: what is listed in this repository can be read.
func TestListed(t *testing.T) {
	for _, o := range owns() {
		content, err := os.ReadFile("../../../" + o.listed)
		require.NoError(t, err)
		all, err := exceptions(o.listed, content)
		require.NoError(t, err)
		require.NotEmpty(t, all)
	}
	content, err := os.ReadFile("../../../" + rdkKnown)
	require.NoError(t, err)
	all, err := exceptions(rdkKnown, content)
	require.NoError(t, err)
	require.NotEmpty(t, all)
}

func TestChoose(t *testing.T) {
	all := kits()
	some, err := choose(all, "")
	require.NoError(t, err)
	require.Len(t, some, len(all))
	some, err = choose(all, "none")
	require.NoError(t, err)
	require.Empty(t, some)
	some, err = choose(all, "kafkajs,java-4.1.0")
	require.NoError(t, err)
	require.Equal(t, []string{"kafkajs", "java-4.1.0"}, []string{some[0].name, some[1].name})
	_, err = choose(all, "kafkjs")
	require.ErrorContains(t, err, `no kit "kafkjs"`)
}

// TestTable: a failure shows, and no line is wider than a terminal.
func TestTable(t *testing.T) {
	r := &row{client: "a client with a name that is far too long", version: "1.2.3-and-a-suffix-of-some-length"}
	for _, action := range []string{"pass", "pass", "fail", "skip"} {
		r.count(event{Action: action, Elapsed: 1})
	}
	s := &suite{rows: []*row{r, {client: "idle"}}, missing: []string{strings.Repeat("long ", 40)}}
	var out strings.Builder
	s.print(&out)
	for line := range strings.SplitSeq(out.String(), "\n") {
		require.LessOrEqual(t, len(line), 80, line)
	}
	require.Regexp(t, `FAIL +2 +1 +1 +4s`, out.String())
	require.Regexp(t, `idle +- +0`, out.String())
}

// TestRdkEnds: the table is read without what was not to run.
func TestRdkEnds(t *testing.T) {
	out := "### Test \"0011_produce_batch\" failed\nTEST 20261123 (bare, scenario default) SUMMARY\n#====#\n" +
		"|\x1b[32m <MAIN>           |     PASSED |  93.205s \x1b[0m|\n" +
		"|\x1b[32m 0001_multiobj    |     PASSED |   5.019s \x1b[0m|\n" +
		"|\x1b[31m 0011_produce_batch |     FAILED |   2.200s \x1b[0m|\x1b[31m test_error_cb():790: | gone\x1b[0m\n" +
		"|\x1b[36m 0028_long_topicnames |    SKIPPED |   0.000s \x1b[0m|\x1b[36m Filtered due to negative test flags\x1b[0m <-- known\n" +
		"|\x1b[36m 0092_mixed_msgver |    SKIPPED |   0.000s \x1b[0m|\x1b[36m MsgVersion 1 was removed\x1b[0m\n" +
		"|\x1b[36m 0097_ssl_verify |    SKIPPED |   0.000s \x1b[0m|\x1b[36m included in TESTS_SKIP list\x1b[0m\n" +
		"|\x1b[36m 0170_share_consumer_subscription |    SKIPPED |   0.000s \x1b[0m|\x1b[36m not applicable for broker version 4.1.0.0\x1b[0m\n" +
		"|\x1b[35m 0103_transactions |    RUNNING |  60.000s \x1b[0m|\n"
	require.Equal(t, []rdkEnd{
		{"0001_multiobj", "PASSED", ""},
		{"0011_produce_batch", "FAILED", "test_error_cb():790: | gone"},
		{"0092_mixed_msgver", "SKIPPED", "MsgVersion 1 was removed"},
		{"0103_transactions", "RUNNING", ""},
	}, rdkEnds(out))
	require.Empty(t, rdkEnds("killed before its end"))
}
