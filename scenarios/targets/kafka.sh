#!/usr/bin/env bash
# Runs Apache Kafka, one broker that is its own controller, on 127.0.0.1:$PORT with
# its data in $DATA. `make peers` fetches it. FLUSH=1: an fsync for each append, as
# our sync.policy=each. HEAP: the Java heap, 1G unless told.
set -euo pipefail
version=${KAFKA_VERSION:-4.1.0}
jars=$(cd "$(dirname "$0")/../.." && pwd)/.build/kafka/$version
[ -d "$jars" ] || { echo "no Kafka $version in $jars; fetch it with: make peers" >&2; exit 1; }
# Below the ports that the kernel gives to outgoing connections.
controller=$((20000 + PORT % 10000))
while [ "$controller" = "$PORT" ] || (exec 3<>"/dev/tcp/127.0.0.1/$controller") 2>/dev/null; do controller=$((controller + 1)); done
cat > "$DATA/server.properties" <<P
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:$PORT,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$PORT
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:$controller
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$DATA/logs
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
${FLUSH:+log.flush.interval.messages=1}
P
if [ ! -e "$DATA/logs/meta.properties" ]; then
  id=$(java -cp "$jars/*" kafka.tools.StorageTool random-uuid 2>/dev/null | tail -1)
  java -cp "$jars/*" kafka.tools.StorageTool format -t "$id" -c "$DATA/server.properties" --standalone >"$DATA/format.log" 2>&1 ||
    { cat "$DATA/format.log" >&2; exit 1; }
fi
# As Kafka's own start script sets the JVM.
heap=${HEAP:-1G}
exec java "-Xms$heap" "-Xmx$heap" -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 \
  -XX:InitiatingHeapOccupancyPercent=35 -XX:+ExplicitGCInvokesConcurrent -Djava.awt.headless=true \
  -cp "$jars/*" kafka.Kafka "$DATA/server.properties"
