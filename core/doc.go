// Package core is the broker: topics, partitions, and one handler for each
// Kafka API.
package core
