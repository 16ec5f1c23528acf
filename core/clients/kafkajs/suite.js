// Drives a broker with kafkajs. One command a run, its input and output JSON on
// standard input and output:
//
//   node suite.js HOST:PORT write TOPIC CODEC   [{key, value, headers, time}], base64, null for null
//   node suite.js HOST:PORT admin TOPIC         what an admin round trip saw
//   node suite.js HOST:PORT consume TOPIC GROUP N   the next N values, as a member of the group
const { Kafka, CompressionTypes, logLevel } = require('kafkajs')

const [broker, command, topic, codec, count] = process.argv.slice(2)
const kafka = new Kafka({ clientId: 'millrace-suite', brokers: [broker], logLevel: logLevel.ERROR })
const bytes = (s) => (s === null ? null : Buffer.from(s, 'base64'))

const commands = {
  async write() {
    const chunks = []
    for await (const c of process.stdin) chunks.push(c)
    const messages = JSON.parse(Buffer.concat(chunks)).map((r) => ({
      key: bytes(r.key),
      value: bytes(r.value),
      headers: Object.fromEntries(r.headers.map(([k, v]) => [k, v.map(bytes)])),
      timestamp: String(r.time),
      partition: 0,
    }))
    const producer = kafka.producer()
    await producer.connect()
    const compression = codec === 'gzip' ? CompressionTypes.GZIP : CompressionTypes.None
    const answer = await producer.send({ topic, messages, acks: -1, compression })
    await producer.disconnect()
    return answer
  },

  async consume() {
    const consumer = kafka.consumer({ groupId: codec, maxWaitTimeInMs: 50 })
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    const values = []
    await new Promise((enough, fail) => {
      consumer.on(consumer.events.CRASH, ({ payload }) => fail(payload.error))
      consumer
        .run({
          eachMessage: async ({ message }) => {
            values.push(message.value.toString())
            if (values.length === Number(count)) enough()
          },
        })
        .catch(fail)
    })
    await consumer.disconnect() // which commits
    return values
  },

  async admin() {
    const admin = kafka.admin()
    await admin.connect()
    const seen = {}
    seen.created = await admin.createTopics({ topics: [{ topic, numPartitions: 2, configEntries: [{ name: 'retention.ms', value: '7200000' }] }] })
    seen.createdAgain = await admin.createTopics({ topics: [{ topic }] })
    seen.listed = (await admin.listTopics()).includes(topic)
    seen.metadata = await admin.fetchTopicMetadata({ topics: [topic] })
    seen.grown = await admin.createPartitions({ topicPartitions: [{ topic, count: 4 }] })
    seen.offsets = await admin.fetchTopicOffsets(topic)
    seen.configs = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: 2, name: topic, configNames: ['retention.ms'] }] })
    seen.cluster = await admin.describeCluster()
    await admin.deleteTopics({ topics: [topic] })
    seen.listedAfterwards = (await admin.listTopics()).includes(topic)
    await admin.disconnect()
    return seen
  },
}

commands[command]().then(
  (answer) => process.stdout.write(JSON.stringify(answer)),
  (err) => {
    console.error(err)
    process.exit(1)
  }
)
