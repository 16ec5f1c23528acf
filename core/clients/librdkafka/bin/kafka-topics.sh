#!/bin/sh
# kafka-topics.sh as librdkafka's tests call it, done by bin/millrace: the tests
# look for it in $KAFKA_PATH/bin.
set -eu
flags=
while [ $# -gt 0 ]; do
  case $1 in
    --create | --alter | --delete) verb=${1#--}; shift; continue ;;
    --bootstrap-server) flags="$flags --bootstrap $2" ;;
    --topic) topic=$2 ;;
    --partitions) flags="$flags --partitions $2" ;;
    --replication-factor) flags="$flags --replicas $2" ;;
    --config) flags="$flags --set $2" ;;
    *) echo "kafka-topics.sh: no $1 here" >&2; exit 2 ;;
  esac
  shift 2
done
# shellcheck disable=SC2086 # flags are words
exec "$(dirname "$0")/../../../../bin/millrace" topic "$verb" "$topic" $flags
