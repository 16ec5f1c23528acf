"""Drives a broker with kafka-python, which is Python all the way down."""

import re
import time

import kafka
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewTopic
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from kafka.structs import OffsetAndMetadata

from driver import PATIENCE, headers_of, record, serve, unpack

ASSIGNORS = {
    "range": RangePartitionAssignor,
    "roundrobin": RoundRobinPartitionAssignor,
    "sticky": StickyPartitionAssignor,
    "cooperative-sticky": CooperativeStickyAssignor,
}


def producer(r, **kvs):
    return kafka.KafkaProducer(bootstrap_servers=r["broker"], **kvs)


def consumer(r, *topics, **kvs):
    return kafka.KafkaConsumer(*topics, bootstrap_servers=r["broker"], fetch_max_wait_ms=50, enable_auto_commit=False, **kvs)


def send(p, messages):
    futures = [p.send(**m) for m in messages]
    p.flush(PATIENCE)
    for f in futures:
        f.get(PATIENCE)


def write(r):
    codec = None if r["codec"] == "none" else r["codec"]
    p = producer(r, compression_type=codec, acks="all", linger_ms=50, max_request_size=2 << 20)
    send(p, [
        {"topic": r["topic"], "partition": 0, "key": unpack(w["key"]), "value": unpack(w["value"]),
         "headers": headers_of(w), "timestamp_ms": w["time"]}
        for w in r["records"]
    ])
    p.close()


def polled(c, n):
    end = time.monotonic() + PATIENCE
    got = 0
    while got < n:
        if time.monotonic() > end:
            raise TimeoutError(f"{got} of {n} records")
        for ms in c.poll(1000, max_records=n - got).values():
            for m in ms:
                got += 1
                yield m


def read(r):
    level = "read_committed" if r.get("committed") else "read_uncommitted"
    c = consumer(r, isolation_level=level)
    tp = kafka.TopicPartition(r["topic"], 0)
    c.assign([tp])
    c.seek(tp, r["from"])
    got = [record(m.key, m.value, m.headers, m.timestamp, m.offset) for m in polled(c, r["n"])]
    c.close()
    return {"records": got}


def consume(r):
    kvs = {}
    conf = r.get("conf", {})
    if "assignor" in conf:
        kvs["partition_assignment_strategy"] = [ASSIGNORS[conf["assignor"]]]
    if "group.instance.id" in conf:
        kvs["group_instance_id"] = conf["group.instance.id"]
    c = consumer(r, group_id=r["group"], auto_offset_reset="earliest", metadata_max_age_ms=500, heartbeat_interval_ms=500, **kvs)
    if r["topic"].startswith("^"):
        c.subscribe(pattern=r["topic"])
    else:
        c.subscribe([r["topic"]])
    got = [m.value.decode() for m in polled(c, r["n"])]
    c.commit()
    c.close()
    return {"values": got}


def stream(r):
    p = producer(r, enable_idempotence=True, linger_ms=1, reconnect_backoff_max_ms=200)

    def paced():
        for i in range(r["n"]):
            time.sleep(0.002)
            yield {"topic": r["topic"], "partition": 0, "value": str(i).encode()}

    send(p, paced())
    p.close()


def transactional(r):
    p = producer(r, transactional_id=r["id"], transaction_timeout_ms=20000)
    p.init_transactions()
    return p


def transact(r):
    p = transactional(r)
    for i in range(6):
        p.begin_transaction()
        send(p, [{"topic": r["topic"], "partition": 0, "value": b"value %d" % i}])
        p.commit_transaction() if i % 2 == 0 else p.abort_transaction()
    second = transactional(r)
    try:
        p.begin_transaction()
        send(p, [{"topic": r["topic"], "partition": 0, "value": b"zombie"}])
        p.commit_transaction()
    except kafka.errors.KafkaError as e:
        return {"fenced": f"{type(e).__name__}: {e}"}
    finally:
        p.close(timeout=1)
        second.close()
    return {"fenced": ""}


def copy(r):
    c = consumer(r, r["topic"], group_id=r["group"], auto_offset_reset="earliest", isolation_level="read_committed",
                 session_timeout_ms=6000, heartbeat_interval_ms=500)
    p = transactional(r)
    while True:
        batches = c.poll(200, max_records=20)
        if not batches:
            continue
        p.begin_transaction()
        at = {}
        for tp, ms in batches.items():
            for m in ms:
                p.send(r["to"], m.value, partition=0)
            at[tp] = OffsetAndMetadata(ms[-1].offset + 1, "", -1)
        p.send_offsets_to_transaction(at, c.group_metadata())
        p.commit_transaction()


def admin(r):
    a = KafkaAdminClient(bootstrap_servers=r["broker"])
    topic = r["topic"]
    new = NewTopic(topic, 2, 1, topic_configs={"retention.ms": "7200000"})
    a.create_topics([new])
    seen = {"created": True}
    try:
        a.create_topics([new])
    except kafka.errors.KafkaError as e:
        seen["createdAgain"] = type(e).__name__
    described = a.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    seen["retention"] = re.search(r"retention\.ms\W.*?(\d{5,})", str(described)).group(1)
    a.create_partitions({topic: 4})
    seen["partitions"] = len(a.describe_topics([topic])[0]["partitions"])
    seen["listed"] = topic in a.list_topics()
    a.delete_topics([topic])
    seen["deleted"] = True
    seen["listedAfterwards"] = topic in a.list_topics()
    a.close()
    return seen


serve(
    {
        "client": "kafka-python",
        "version": kafka.__version__,
        "codecs": ["none", "gzip", "snappy", "lz4", "zstd"],
        "needsKeyOrValue": True,
        "can": ["committed", "static", "pattern"],
        "assignorKey": "assignor",
        "assignors": {a: a for a in ASSIGNORS},
    },
    {"write": write, "read": read, "consume": consume, "stream": stream, "transact": transact, "copy": copy, "admin": admin},
)
