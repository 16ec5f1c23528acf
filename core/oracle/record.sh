#!/usr/bin/env bash
# Starts a fresh Apache Kafka (one broker) from its jars and writes down what it
# answers to the scripts. record.sh LIBS [go test flags]
set -euo pipefail
libs=$(cd "$1" && pwd); shift
dir=$(mktemp -d); port=${KAFKA_PORT:-19492}
cat > "$dir/server.properties" <<P
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$((port + 1))
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$dir/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
transaction.abort.timed.out.transaction.cleanup.interval.ms=100
P
id=$(java -cp "$libs/*" kafka.tools.StorageTool random-uuid 2>/dev/null)
java -cp "$libs/*" kafka.tools.StorageTool format -t "$id" -c "$dir/server.properties" --standalone >/dev/null 2>&1
java -Xms256M -Xmx512M -cp "$libs/*" kafka.Kafka "$dir/server.properties" >"$dir/kafka.log" 2>&1 &
kafka=$!
trap 'kill -9 $kafka 2>/dev/null; [ -n "${KEEP:-}" ] || rm -rf "$dir"; [ -z "${KEEP:-}" ] || echo "kept: $dir"' EXIT
for _ in $(seq 120); do
  (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
  kill -0 $kafka 2>/dev/null || { cat "$dir/kafka.log" >&2; exit 1; }
  sleep 0.5
done
jar=$(ls "$libs"/kafka-clients-*.jar); v=${jar##*kafka-clients-}
cd "$(dirname "$0")"
go test -tags oracle -count=1 -v -timeout 300s -run '^TestRecord$' . -kafka "127.0.0.1:$port" -kafka-version "${v%.jar}" "$@"
