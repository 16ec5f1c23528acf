// Package oracle holds what Apache Kafka answers where behaviour could be
// disputed, and the test that puts the same questions to this broker.
//
// A script (testdata/NAME.txt) is a list of requests. Its answers
// (testdata/NAME.kafka.json, with Kafka's version in them) were given by Apache
// Kafka and written down by the recorder, `make oracle`. The test plays each
// script against a broker of ours and compares line by line: an answer that
// differs fails, unless differences_test.go says why it may. That list only
// shrinks: an entry that no answer needs fails too.
package oracle
