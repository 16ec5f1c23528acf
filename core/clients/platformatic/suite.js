// Drives a broker with @platformatic/kafka. A driver as core/clients/driver_test.go
// describes: one request a line in, one answer a line out.
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import zlib from 'node:zlib'

// The client wants Node 22; of what it uses, Node 20 lacks this, and zstd.
Promise.withResolvers ??= () => {
  const all = {}
  all.promise = new Promise((resolve, reject) => Object.assign(all, { resolve, reject }))
  return all
}
const { Admin, Consumer, Producer, cooperativeStickyAssigner, roundRobinAssigner } = await import('@platformatic/kafka')

const { version } = JSON.parse(readFileSync(new URL('node_modules/@platformatic/kafka/package.json', import.meta.url)))
const bytes = (s) => (s === null ? undefined : Buffer.from(s, 'base64'))
const base64 = (b) => (b === null || b === undefined ? null : b.toString('base64'))
const client = (r) => ({ clientId: 'millrace-suite', bootstrapBrokers: [r.broker], retries: 100, retryDelay: 300, timeout: 5000 })

// within opens a client and closes it, whatever happens in between.
async function within(one, f) {
  try {
    return await f(one)
  } finally {
    await (one instanceof Admin ? one.close() : one.close(true)) // now, whatever is under way
  }
}

// each hands the messages of a stream to take, until that answers true.
async function each(stream, take) {
  for await (const m of stream) if (take(m)) return
}

const assigners = { roundrobin: roundRobinAssigner, 'cooperative-sticky': cooperativeStickyAssigner }

const ops = {
  hello: async () => ({
    client: '@platformatic/kafka',
    version,
    codecs: ['none', 'gzip', 'snappy', 'lz4', ...(zlib.zstdCompressSync ? ['zstd'] : [])],
    // Not 'committed': of a producer's aborted transactions in one answer it skips the last only.
    can: ['static', 'kip848', ...Object.keys(ops).filter((op) => op !== 'hello')],
    assignorKey: 'assignor',
    assignors: { roundrobin: 'roundrobin', 'cooperative-sticky': 'cooperative-sticky' },
  }),

  write: (r) =>
    within(new Producer(client(r)), (producer) =>
      producer.send({
        messages: r.records.map((w) => ({
          topic: r.topic, partition: 0, key: bytes(w.key), value: bytes(w.value), timestamp: BigInt(w.time),
          headers: new Map(w.headers.map(([k, v]) => [Buffer.from(k), bytes(v)])), // by identity: a name may come twice
        })),
        acks: -1,
        compression: r.codec,
      }).then(() => {}),
    ),

  read: (r) =>
    within(new Consumer({ ...client(r), groupId: `read-${process.pid}-${process.hrtime.bigint()}` }), async (consumer) => {
      const records = []
      const offsets = [{ topic: r.topic, partition: 0, offset: BigInt(r.from) }]
      const stream = await consumer.consume({ topics: [r.topic], mode: 'manual', offsets, autocommit: false, maxWaitTime: 50 })
      await each(stream, (m) => {
        const headers = m.headerEntries.map(([k, v]) => [k.toString(), base64(v)])
        records.push({ key: base64(m.key), value: base64(m.value), headers, time: Number(m.timestamp), offset: Number(m.offset) })
        return records.length === r.n
      })
      return { records }
    }),

  consume(r) {
    const conf = r.conf ?? {}
    const group = { groupId: r.group }
    if (conf['group.instance.id']) group.groupInstanceId = conf['group.instance.id']
    if (conf['group.protocol']) group.groupProtocol = conf['group.protocol']
    if (conf.assignor) Object.assign(group, { protocols: [{ name: conf.assignor, version: 1 }], partitionAssigner: assigners[conf.assignor] })
    return within(new Consumer({ ...client(r), ...group }), async (consumer) => {
      const stream = await consumer.consume({ topics: [r.topic], mode: 'committed', fallbackMode: 'earliest', autocommit: false, maxWaitTime: 50 })
      const values = [], next = new Map()
      await each(stream, (m) => {
        next.set(m.partition, { topic: m.topic, partition: m.partition, offset: m.offset + 1n, leaderEpoch: m.leaderEpoch })
        return values.push(m.value.toString()) === r.n
      })
      await consumer.commit({ offsets: [...next.values()] })
      return { values }
    })
  },

  stream: (r) =>
    within(new Producer({ ...client(r), idempotent: true }), async (producer) => {
      for (let i = 0; i < r.n; i++) {
        await producer.send({ messages: [{ topic: r.topic, partition: 0, value: Buffer.from(String(i)) }], acks: -1 })
      }
    }),

  transact: (r) =>
    within(new Producer({ ...client(r), idempotent: true, transactionalId: r.id }), async (first) => {
      const one = async (p, value, commit) => {
        const t = await p.beginTransaction()
        await t.send({ messages: [{ topic: r.topic, partition: 0, value: Buffer.from(value) }], acks: -1 })
        await (commit ? t.commit() : t.abort())
      }
      for (let i = 0; i < 6; i++) await one(first, `value ${i}`, i % 2 === 0)
      return within(new Producer({ ...client(r), idempotent: true, transactionalId: r.id }), async (second) => {
        await one(second, 'aborted', false) // it takes the id over only here
        return one(first, 'zombie', true).then(() => ({ fenced: '' }), (e) => ({ fenced: String(e) }))
      })
    }),

  admin: (r) =>
    within(new Admin(client(r)), async (admin) => {
      const topic = { topics: [r.topic], partitions: 2, replicas: 1, configs: [{ name: 'retention.ms', value: '7200000' }] }
      const seen = { created: (await admin.createTopics(topic))[0].partitions === 2 }
      seen.createdAgain = await admin.createTopics(topic).then(() => '', (e) => `${e} ${e.errors?.map((one) => `${one} ${one.errors}`)}`)
      const [configs] = await admin.describeConfigs({ resources: [{ resourceType: 2, resourceName: r.topic, configurationKeys: ['retention.ms'] }] })
      seen.retention = configs.configs[0].value
      await admin.createPartitions({ topics: [{ name: r.topic, count: 4 }] })
      seen.partitions = (await admin.metadata({ topics: [r.topic], forceUpdate: true })).topics.get(r.topic).partitionsCount
      seen.listed = (await admin.listTopics()).includes(r.topic)
      await admin.deleteTopics({ topics: [r.topic] })
      seen.deleted = true
      seen.listedAfterwards = (await admin.listTopics()).includes(r.topic)
      return seen
    }),
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer
  try {
    const r = JSON.parse(line)
    answer = (await ops[r.op](r)) ?? {}
  } catch (e) {
    answer = { error: `${e?.stack ?? e} ${e?.errors?.map((one) => `${one} ${one.errors ?? ''}`) ?? ''}` }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
}
process.exit(0)
