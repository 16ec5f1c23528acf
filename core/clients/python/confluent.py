"""Drives a broker with confluent-kafka, which is librdkafka under Python."""

import time

import confluent_kafka as ck
from confluent_kafka import admin as ca

from driver import PATIENCE, headers_of, record, serve, unpack


def settings(r, **kvs):
    conf = {"bootstrap.servers": r["broker"]}
    conf.update({k.replace("_", "."): v for k, v in kvs.items()})
    conf.update(r.get("conf", {}))
    return conf


def send(p, messages):
    """Produces and waits until all are acknowledged."""
    errors, acked = [], []

    def done(err, msg):
        (errors if err else acked).append(err or msg)

    for m in messages:
        p.produce(on_delivery=done, **m)
        p.poll(0)
    left = p.flush(PATIENCE)
    if errors:
        raise ck.KafkaException(errors[0])
    if left:
        raise TimeoutError(f"{left} not acknowledged")


def write(r):
    p = ck.Producer(settings(r, compression_type=r["codec"], linger_ms=50, acks="all"))
    send(p, [
        {"topic": r["topic"], "partition": 0, "key": unpack(w["key"]), "value": unpack(w["value"]),
         "headers": headers_of(w), "timestamp": w["time"]}
        for w in r["records"]
    ])


def read(r):
    level = "read_committed" if r.get("committed") else "read_uncommitted"
    c = ck.Consumer(settings(r, group_id="unused", enable_auto_commit=False, isolation_level=level, fetch_wait_max_ms=50))
    c.assign([ck.TopicPartition(r["topic"], 0, r["from"])])
    got, end = [], time.monotonic() + PATIENCE
    while len(got) < r["n"]:
        m = c.poll(1)
        if m is None and time.monotonic() > end:
            raise TimeoutError(f"{len(got)} of {r['n']} records")
        if m is None:
            continue
        if m.error():
            raise ck.KafkaException(m.error())
        got.append(record(m.key(), m.value(), m.headers(), m.timestamp()[1], m.offset()))
    c.close()
    return {"records": got}


def consume(r):
    c = ck.Consumer(settings(r, group_id=r["group"], enable_auto_commit=False, auto_offset_reset="earliest",
                             fetch_wait_max_ms=50, topic_metadata_refresh_interval_ms=500))
    c.subscribe([r["topic"]])
    got, end = [], time.monotonic() + PATIENCE
    while len(got) < r["n"]:
        m = c.poll(1)
        if m is None and time.monotonic() > end:
            raise TimeoutError(f"{len(got)} of {r['n']} values")
        if m is None:
            continue
        if m.error():
            raise ck.KafkaException(m.error())
        got.append(m.value().decode())
    c.commit(asynchronous=False)
    c.close()
    return {"values": got}


def stream(r):
    p = ck.Producer(settings(r, enable_idempotence=True, linger_ms=1, retry_backoff_max_ms=200, reconnect_backoff_max_ms=200))

    def paced():
        for i in range(r["n"]):
            time.sleep(0.002)
            yield {"topic": r["topic"], "partition": 0, "value": str(i)}

    send(p, paced())


def transactional(r):
    p = ck.Producer(settings(r, transactional_id=r["id"], transaction_timeout_ms=20000))
    p.init_transactions(PATIENCE)
    return p


def transact(r):
    p = transactional(r)
    for i in range(6):
        p.begin_transaction()
        send(p, [{"topic": r["topic"], "partition": 0, "value": f"value {i}"}])
        p.commit_transaction(PATIENCE) if i % 2 == 0 else p.abort_transaction(PATIENCE)
    second = transactional(r)
    try:
        p.begin_transaction()
        send(p, [{"topic": r["topic"], "partition": 0, "value": "zombie"}])
        p.commit_transaction(PATIENCE)
    except (ck.KafkaException, SystemError) as e:  # the latter where the fatal error comes in a callback
        return {"fenced": str(e.__cause__ or e)}
    finally:
        del second
    return {"fenced": ""}


def copy(r):
    c = ck.Consumer(settings(r, group_id=r["group"], enable_auto_commit=False, auto_offset_reset="earliest",
                             isolation_level="read_committed", session_timeout_ms=6000, fetch_wait_max_ms=50))
    c.subscribe([r["topic"]])
    p = transactional(r)
    while True:
        ms = [m for m in c.consume(20, 0.2) if not m.error()]
        if not ms:
            continue
        p.begin_transaction()
        for m in ms:
            p.produce(r["to"], m.value(), partition=0)
        retried(lambda: p.send_offsets_to_transaction(c.position(c.assignment()), c.consumer_group_metadata(), PATIENCE))
        retried(lambda: p.commit_transaction(PATIENCE))


def retried(call):
    while True:
        try:
            return call()
        except ck.KafkaException as e:
            if not e.args[0].retriable():
                raise


def admin(r):
    a = ca.AdminClient(settings(r))
    new = ca.NewTopic(r["topic"], 2, 1, config={"retention.ms": "7200000"})

    def create():
        a.create_topics([new])[r["topic"]].result()

    def listed():
        return r["topic"] in a.list_topics(timeout=PATIENCE).topics

    create()
    seen = {"created": True}
    try:
        create()
    except ck.KafkaException as e:
        seen["createdAgain"] = str(e)
    resource = ca.ConfigResource(ca.ConfigResource.Type.TOPIC, r["topic"])
    seen["retention"] = a.describe_configs([resource])[resource].result()["retention.ms"].value
    a.create_partitions([ca.NewPartitions(r["topic"], 4)])[r["topic"]].result()
    described = a.describe_topics(ck.TopicCollection([r["topic"]]))[r["topic"]].result()
    seen["partitions"] = len(described.partitions)
    seen["listed"] = listed()
    a.delete_topics([r["topic"]])[r["topic"]].result()
    seen["deleted"] = True
    seen["listedAfterwards"] = listed()
    return seen


serve(
    {
        "client": "confluent-kafka",
        "version": ck.__version__,
        "codecs": ["none", "gzip", "snappy", "lz4", "zstd"],
        "can": ["committed", "static", "pattern", "kip848"],
        "assignorKey": "partition.assignment.strategy",
        "assignors": {a: a for a in ("range", "roundrobin", "cooperative-sticky")},
    },
    {"write": write, "read": read, "consume": consume, "stream": stream, "transact": transact, "copy": copy, "admin": admin},
)
