"""Drives a broker with aiokafka, the client for asyncio."""

import asyncio

import aiokafka
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import KafkaError

from driver import PATIENCE, headers_of, record, serve, unpack

ASSIGNORS = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor, "sticky": StickyPartitionAssignor}


def consumer(r, *topics, **kvs):
    return aiokafka.AIOKafkaConsumer(*topics, bootstrap_servers=r["broker"], fetch_max_wait_ms=50, enable_auto_commit=False, **kvs)


def producer(r, **kvs):
    return aiokafka.AIOKafkaProducer(bootstrap_servers=r["broker"], **kvs)


async def write(r):
    codec = None if r["codec"] == "none" else r["codec"]
    async with producer(r, compression_type=codec, acks="all", linger_ms=50, max_request_size=2 << 20) as p:
        futures = [
            await p.send(r["topic"], partition=0, key=unpack(w["key"]), value=unpack(w["value"]),
                         headers=headers_of(w), timestamp_ms=w["time"])
            for w in r["records"]
        ]
        await asyncio.gather(*futures)


async def read(r):
    level = "read_committed" if r.get("committed") else "read_uncommitted"
    tp = aiokafka.TopicPartition(r["topic"], 0)
    async with consumer(r, isolation_level=level) as c:
        c.assign([tp])
        c.seek(tp, r["from"])
        got = []
        while len(got) < r["n"]:
            m = await asyncio.wait_for(c.getone(), PATIENCE)
            got.append(record(m.key, m.value, m.headers, m.timestamp, m.offset))
    return {"records": got}


async def consume(r):
    kvs, conf = {}, r.get("conf", {})
    if "assignor" in conf:
        kvs["partition_assignment_strategy"] = [ASSIGNORS[conf["assignor"]]]
    if "group.instance.id" in conf:
        kvs["group_instance_id"] = conf["group.instance.id"]
    got = []
    c = consumer(r, group_id=r["group"], auto_offset_reset="earliest", metadata_max_age_ms=500, heartbeat_interval_ms=500, **kvs)
    if r["topic"].startswith("^"):
        c.subscribe(pattern=r["topic"])
    else:
        c.subscribe([r["topic"]])
    async with c:
        while len(got) < r["n"]:
            m = await asyncio.wait_for(c.getone(), PATIENCE)
            got.append(m.value.decode())
        await c.commit()
    return {"values": got}


async def stream(r):
    async with producer(r, enable_idempotence=True, linger_ms=1) as p:
        futures = []
        for i in range(r["n"]):
            futures.append(await p.send(r["topic"], str(i).encode(), partition=0))
            await asyncio.sleep(0.002)
        await asyncio.gather(*futures)


def transactional(r):
    return producer(r, transactional_id=r["id"], transaction_timeout_ms=20000)


async def transact(r):
    fenced = ""
    async with transactional(r) as p:
        for i in range(6):
            await p.begin_transaction()
            await p.send_and_wait(r["topic"], b"value %d" % i, partition=0)
            await (p.commit_transaction() if i % 2 == 0 else p.abort_transaction())
        async with transactional(r):
            try:
                await p.begin_transaction()
                await p.send_and_wait(r["topic"], b"zombie", partition=0)
                await p.commit_transaction()
            except KafkaError as e:
                fenced = f"{type(e).__name__}: {e}"
    return {"fenced": fenced}


async def copy(r):
    async with consumer(r, r["topic"], group_id=r["group"], auto_offset_reset="earliest", isolation_level="read_committed",
                        session_timeout_ms=6000, heartbeat_interval_ms=500) as c, transactional(r) as p:
        while True:
            batches = await c.getmany(timeout_ms=200, max_records=20)
            if not batches:
                continue
            async with p.transaction():
                for ms in batches.values():
                    for m in ms:
                        await p.send(r["to"], m.value, partition=0)
                await p.send_offsets_to_transaction({tp: ms[-1].offset + 1 for tp, ms in batches.items()}, r["group"])


async def admin(r):
    topic, a = r["topic"], AIOKafkaAdminClient(bootstrap_servers=r["broker"])
    await a.start()
    new = NewTopic(topic, 2, 1, topic_configs={"retention.ms": "7200000"})

    async def create():
        answer = await a.create_topics([new])
        return [e[1] for e in answer.topic_errors][0]

    seen = {"created": await create() == 0}
    code = await create()
    seen["createdAgain"] = aiokafka.errors.for_code(code).__name__
    described = await a.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    entries = described[0].resources[0][4]
    seen["retention"] = next(e[1] for e in entries if e[0] == "retention.ms")
    await a.create_partitions({topic: NewPartitions(4)})
    seen["partitions"] = len((await a.describe_topics([topic]))[0]["partitions"])
    seen["listed"] = topic in await a.list_topics()
    await a.delete_topics([topic])
    seen["deleted"] = True
    seen["listedAfterwards"] = topic in await a.list_topics()
    await a.close()
    return seen


def blocking(op):
    return lambda r: asyncio.run(op(r))


serve(
    {
        "client": "aiokafka",
        "version": aiokafka.__version__,
        "codecs": ["none", "gzip", "snappy", "lz4", "zstd"],
        "needsKeyOrValue": True,
        "can": ["committed", "static", "pattern"],
        "assignorKey": "assignor",
        "assignors": {a: a for a in ASSIGNORS},
    },
    {name: blocking(op) for name, op in {"write": write, "read": read, "consume": consume, "stream": stream,
                                         "transact": transact, "copy": copy, "admin": admin}.items()},
)
