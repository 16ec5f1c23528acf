// Drives a broker with kafkajs. A driver as core/clients/driver_test.go
// describes: one request a line in, one answer a line out.
const readline = require('node:readline')
const { Kafka, CompressionTypes, PartitionAssigners, logLevel } = require('kafkajs')

const version = require('kafkajs/package.json').version
const bytes = (s) => (s === null ? null : Buffer.from(s, 'base64'))
const base64 = (b) => (b === null || b === undefined ? null : Buffer.from(b).toString('base64'))

const client = (r) =>
  new Kafka({ clientId: 'millrace-suite', brokers: [r.broker], logLevel: logLevel.NOTHING, retry: { retries: 30, maxRetryTime: 300 } })

// kafkajs keeps the values of one header name together, and their order.
const headersIn = (headers) => {
  const all = {}
  for (const [k, v] of headers) (all[k] ??= []).push(bytes(v))
  return all
}
const headersOut = (headers) => Object.entries(headers ?? {}).flatMap(([k, v]) => (Array.isArray(v) ? v : [v]).map((one) => [k, base64(one)]))

// consumed joins a group and hands each message to eachMessage until that
// answers true; then it commits and leaves.
async function consumed(r, { groupId, topic, started, readUncommitted }, eachMessage) {
  const consumer = client(r).consumer({ groupId, maxWaitTimeInMs: 50, metadataMaxAge: 500, readUncommitted, partitionAssigners: [PartitionAssigners.roundRobin] })
  await consumer.connect()
  await consumer.subscribe({ topic: topic.startsWith('^') ? new RegExp(topic) : topic, fromBeginning: true })
  await new Promise((enough, fail) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => fail(payload.error))
    let done = false
    consumer
      .run({
        eachMessage: async ({ message }) => {
          if (!done && eachMessage(message)) enough((done = true))
        },
      })
      .catch(fail)
    started?.(consumer)
  })
  await consumer.disconnect() // which commits
}

const ops = {
  hello: async () => ({
    client: 'kafkajs',
    version,
    codecs: ['none', 'gzip'], // that it has built in
    can: ['committed', 'pattern', ...Object.keys(ops).filter((op) => op !== 'hello')],
    assignorKey: 'assignor',
    assignors: { roundrobin: 'roundrobin' }, // the one that it has
  }),

  async write(r) {
    const producer = client(r).producer()
    await producer.connect()
    const messages = r.records.map((w) => ({
      key: bytes(w.key), value: bytes(w.value), headers: headersIn(w.headers), timestamp: String(w.time), partition: 0,
    }))
    const compression = r.codec === 'gzip' ? CompressionTypes.GZIP : CompressionTypes.None
    await producer.send({ topic: r.topic, messages, acks: -1, compression })
    await producer.disconnect()
  },

  // It reads only as a member of a group, here one of its own, which seeks.
  async read(r) {
    const records = []
    const from = String(r.from)
    const group = { groupId: `read-${process.pid}-${process.hrtime.bigint()}`, topic: r.topic, readUncommitted: !r.committed }
    group.started = (consumer) => consumer.seek({ topic: r.topic, partition: 0, offset: from })
    await consumed(r, group, (m) => {
      if (BigInt(m.offset) < BigInt(from)) return false
      if (records.length < r.n) {
        records.push({ key: base64(m.key), value: base64(m.value), headers: headersOut(m.headers), time: Number(m.timestamp), offset: Number(m.offset) })
      }
      return records.length === r.n
    })
    return { records }
  },

  async consume(r) {
    const values = []
    await consumed(r, { groupId: r.group, topic: r.topic }, (m) => values.push(m.value.toString()) === r.n)
    return { values }
  },

  async stream(r) {
    const producer = client(r).producer({ idempotent: true, maxInFlightRequests: 1 })
    await producer.connect()
    for (let i = 0; i < r.n; i++) {
      await producer.send({ topic: r.topic, messages: [{ value: String(i), partition: 0 }] })
    }
    await producer.disconnect()
  },

  async transact(r) {
    const make = async () => {
      const p = client(r).producer({ transactionalId: r.id, idempotent: true, maxInFlightRequests: 1, transactionTimeout: 20000 })
      await p.connect()
      return p
    }
    const one = async (p, value, commit) => {
      const t = await p.transaction()
      await t.send({ topic: r.topic, messages: [{ value, partition: 0 }] })
      await (commit ? t.commit() : t.abort())
    }
    const first = await make()
    for (let i = 0; i < 6; i++) await one(first, `value ${i}`, i % 2 === 0)
    const second = await make()
    try {
      const t = await second.transaction() // it takes the id over only here
      await t.abort()
      await one(first, 'zombie', true)
    } catch (e) {
      return { fenced: String(e) }
    } finally {
      await first.disconnect()
      await second.disconnect()
    }
    return { fenced: '' }
  },

  async admin(r) {
    const admin = client(r).admin()
    await admin.connect()
    const topic = { topic: r.topic, numPartitions: 2, configEntries: [{ name: 'retention.ms', value: '7200000' }] }
    const seen = { created: await admin.createTopics({ topics: [topic] }) }
    seen.createdAgain = (await admin.createTopics({ topics: [topic] })) ? '' : 'exists' // it says no more
    const configs = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: 2, name: r.topic, configNames: ['retention.ms'] }] })
    seen.retention = configs.resources[0].configEntries[0].configValue
    await admin.createPartitions({ topicPartitions: [{ topic: r.topic, count: 4 }] })
    seen.partitions = (await admin.fetchTopicOffsets(r.topic)).length
    seen.listed = (await admin.listTopics()).includes(r.topic)
    await admin.deleteTopics({ topics: [r.topic] })
    seen.deleted = true
    seen.listedAfterwards = (await admin.listTopics()).includes(r.topic)
    await admin.disconnect()
    return seen
  },
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    let answer
    try {
      const r = JSON.parse(line)
      answer = (await ops[r.op](r)) ?? {}
    } catch (e) {
      answer = { error: String(e?.stack ?? e) }
    }
    process.stdout.write(JSON.stringify(answer) + '\n')
  }
  process.exit(0)
}

main()
