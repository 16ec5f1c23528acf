import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.regex.Pattern;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/**
 * Drives a broker with the Java client. A driver as core/clients/driver_test.go describes: one
 * request a line in, one answer a line out. One source for the 3.x and the 4.x client.
 */
public final class Driver {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Duration PATIENCE = Duration.ofSeconds(50);
    private static final String ASSIGNORS = "org.apache.kafka.clients.consumer.";

    public static void main(String[] args) throws IOException {
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        System.setOut(System.err); // whatever else would print
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = in.readLine()) != null; ) {
            ObjectNode answer;
            try {
                answer = run(JSON.readTree(line));
            } catch (Exception e) {
                e.printStackTrace();
                answer = JSON.createObjectNode().put("error", cause(e).toString());
            }
            out.println(JSON.writeValueAsString(answer));
        }
    }

    private static ObjectNode run(JsonNode r) throws Exception {
        switch (r.get("op").asText()) {
            case "hello": return hello();
            case "write": return write(r);
            case "read": return read(r);
            case "consume": return consume(r);
            case "stream": return stream(r);
            case "transact": return transact(r);
            case "copy": return copy(r);
            case "admin": return admin(r);
            default: throw new IllegalArgumentException("no such op: " + r.get("op"));
        }
    }

    private static Throwable cause(Throwable e) {
        return e instanceof ExecutionException && e.getCause() != null ? e.getCause() : e;
    }

    private static ObjectNode hello() {
        ObjectNode a = JSON.createObjectNode().put("client", "java").put("version", AppInfoParser.getVersion());
        for (String c : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            a.withArray("/codecs").add(c);
        }
        for (String c : List.of("write", "read", "committed", "consume", "static", "pattern", "stream", "transact", "copy", "admin")) {
            a.withArray("/can").add(c);
        }
        if (!AppInfoParser.getVersion().startsWith("3.")) {
            a.withArray("/can").add("kip848");
        }
        a.put("assignorKey", "partition.assignment.strategy");
        a.withObject("/assignors").put("range", ASSIGNORS + "RangeAssignor").put("roundrobin", ASSIGNORS + "RoundRobinAssignor")
            .put("sticky", ASSIGNORS + "StickyAssignor").put("cooperative-sticky", ASSIGNORS + "CooperativeStickyAssignor");
        return a;
    }

    private static Properties settings(JsonNode r, String... kvs) {
        Properties p = new Properties();
        p.put("bootstrap.servers", r.get("broker").asText());
        for (int i = 0; i < kvs.length; i += 2) {
            p.put(kvs[i], kvs[i + 1]);
        }
        if (r.has("conf")) {
            r.get("conf").fields().forEachRemaining(e -> p.put(e.getKey(), e.getValue().asText()));
        }
        return p;
    }

    private static KafkaProducer<byte[], byte[]> producer(JsonNode r, String... kvs) {
        return new KafkaProducer<>(settings(r, kvs), new ByteArraySerializer(), new ByteArraySerializer());
    }

    private static KafkaConsumer<byte[], byte[]> consumer(JsonNode r, String... kvs) {
        return new KafkaConsumer<>(settings(r, kvs), new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private static byte[] bytes(JsonNode n) {
        return n == null || n.isNull() ? null : Base64.getDecoder().decode(n.asText());
    }

    private static ProducerRecord<byte[], byte[]> value(String topic, String v) {
        return new ProducerRecord<>(topic, 0, null, v.getBytes(StandardCharsets.UTF_8));
    }

    private static ObjectNode write(JsonNode r) throws Exception {
        try (KafkaProducer<byte[], byte[]> p = producer(r, "compression.type", r.get("codec").asText(), "linger.ms", "50")) {
            List<Future<RecordMetadata>> acks = new ArrayList<>();
            for (JsonNode w : r.get("records")) {
                ProducerRecord<byte[], byte[]> k = new ProducerRecord<>(r.get("topic").asText(), 0, w.get("time").asLong(), bytes(w.get("key")), bytes(w.get("value")));
                for (JsonNode h : w.get("headers")) {
                    k.headers().add(h.get(0).asText(), bytes(h.get(1)));
                }
                acks.add(p.send(k));
            }
            for (Future<RecordMetadata> f : acks) {
                f.get();
            }
        }
        return JSON.createObjectNode();
    }

    private static ObjectNode read(JsonNode r) {
        boolean committed = r.has("committed") && r.get("committed").asBoolean();
        ObjectNode a = JSON.createObjectNode();
        ArrayNode records = a.putArray("records");
        try (KafkaConsumer<byte[], byte[]> c = consumer(r, "fetch.max.wait.ms", "50", "isolation.level", committed ? "read_committed" : "read_uncommitted")) {
            TopicPartition tp = new TopicPartition(r.get("topic").asText(), 0);
            c.assign(List.of(tp));
            c.seek(tp, r.get("from").asLong());
            int n = r.get("n").asInt();
            for (long end = System.nanoTime() + PATIENCE.toNanos(); records.size() < n; ) {
                late(end, records.size(), n);
                for (ConsumerRecord<byte[], byte[]> k : c.poll(Duration.ofSeconds(1))) {
                    if (records.size() == n) {
                        break;
                    }
                    ObjectNode w = records.addObject().put("key", k.key()).put("value", k.value()).put("time", k.timestamp()).put("offset", k.offset());
                    ArrayNode headers = w.putArray("headers");
                    for (Header h : k.headers()) {
                        headers.addArray().add(h.key()).add(h.value());
                    }
                }
            }
        }
        return a;
    }

    private static void late(long end, int got, int n) {
        if (System.nanoTime() > end) {
            throw new IllegalStateException(got + " of " + n + " records");
        }
    }

    private static ObjectNode consume(JsonNode r) {
        ObjectNode a = JSON.createObjectNode();
        ArrayNode values = a.putArray("values");
        Map<TopicPartition, OffsetAndMetadata> at = new HashMap<>();
        try (KafkaConsumer<byte[], byte[]> c = consumer(r, "group.id", r.get("group").asText(), "enable.auto.commit", "false",
                "auto.offset.reset", "earliest", "fetch.max.wait.ms", "50", "metadata.max.age.ms", "500")) {
            String topic = r.get("topic").asText();
            if (topic.startsWith("^")) {
                c.subscribe(Pattern.compile(topic));
            } else {
                c.subscribe(List.of(topic));
            }
            int n = r.get("n").asInt();
            for (long end = System.nanoTime() + PATIENCE.toNanos(); values.size() < n; ) {
                late(end, values.size(), n);
                for (ConsumerRecord<byte[], byte[]> k : c.poll(Duration.ofMillis(200))) {
                    if (values.size() == n) {
                        break;
                    }
                    values.add(new String(k.value(), StandardCharsets.UTF_8));
                    at.put(new TopicPartition(k.topic(), k.partition()), new OffsetAndMetadata(k.offset() + 1));
                }
            }
            c.commitSync(at);
        }
        return a;
    }

    private static ObjectNode stream(JsonNode r) throws Exception {
        try (KafkaProducer<byte[], byte[]> p = producer(r)) { // idempotent by default
            List<Future<RecordMetadata>> acks = new ArrayList<>();
            for (int i = 0; i < r.get("n").asInt(); i++) {
                acks.add(p.send(value(r.get("topic").asText(), Integer.toString(i))));
                Thread.sleep(2);
            }
            for (Future<RecordMetadata> f : acks) {
                f.get();
            }
        }
        return JSON.createObjectNode();
    }

    private static KafkaProducer<byte[], byte[]> transactional(JsonNode r) {
        KafkaProducer<byte[], byte[]> p = producer(r, "transactional.id", r.get("id").asText(), "transaction.timeout.ms", "20000");
        p.initTransactions();
        return p;
    }

    private static ObjectNode transact(JsonNode r) throws Exception {
        String topic = r.get("topic").asText();
        KafkaProducer<byte[], byte[]> p = transactional(r);
        for (int i = 0; i < 6; i++) {
            p.beginTransaction();
            p.send(value(topic, "value " + i)).get();
            if (i % 2 == 0) {
                p.commitTransaction();
            } else {
                p.abortTransaction();
            }
        }
        ObjectNode a = JSON.createObjectNode().put("fenced", "");
        try (KafkaProducer<byte[], byte[]> second = transactional(r)) {
            p.beginTransaction();
            p.send(value(topic, "zombie")).get();
            p.commitTransaction();
        } catch (KafkaException | ExecutionException e) {
            a.put("fenced", cause(e).toString());
        }
        p.close(Duration.ZERO);
        return a;
    }

    private static ObjectNode copy(JsonNode r) throws Exception {
        try (KafkaConsumer<byte[], byte[]> c = consumer(r, "group.id", r.get("group").asText(), "enable.auto.commit", "false",
                "auto.offset.reset", "earliest", "isolation.level", "read_committed", "session.timeout.ms", "6000",
                "fetch.max.wait.ms", "50", "max.poll.records", "20");
                KafkaProducer<byte[], byte[]> p = transactional(r)) {
            c.subscribe(List.of(r.get("topic").asText()));
            while (true) {
                ConsumerRecords<byte[], byte[]> rs = c.poll(Duration.ofMillis(200));
                if (rs.isEmpty()) {
                    continue;
                }
                p.beginTransaction();
                Map<TopicPartition, OffsetAndMetadata> at = new HashMap<>();
                for (ConsumerRecord<byte[], byte[]> k : rs) {
                    p.send(new ProducerRecord<>(r.get("to").asText(), 0, null, k.value()));
                    at.put(new TopicPartition(k.topic(), k.partition()), new OffsetAndMetadata(k.offset() + 1));
                }
                p.sendOffsetsToTransaction(at, c.groupMetadata());
                p.commitTransaction();
            }
        }
    }

    private static ObjectNode admin(JsonNode r) throws Exception {
        ObjectNode a = JSON.createObjectNode();
        String topic = r.get("topic").asText();
        try (Admin admin = Admin.create(settings(r))) {
            NewTopic topicSpec = new NewTopic(topic, 2, (short) 1).configs(Map.of("retention.ms", "7200000"));
            admin.createTopics(List.of(topicSpec)).all().get();
            a.put("created", true);
            try {
                admin.createTopics(List.of(topicSpec)).all().get();
            } catch (ExecutionException e) {
                a.put("createdAgain", cause(e).toString());
            }
            ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
            a.put("retention", admin.describeConfigs(List.of(resource)).all().get().get(resource).get("retention.ms").value());
            admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(4))).all().get();
            a.put("partitions", admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size());
            a.put("listed", admin.listTopics().names().get().contains(topic));
            admin.deleteTopics(List.of(topic)).all().get();
            a.put("deleted", true);
            a.put("listedAfterwards", admin.listTopics().names().get().contains(topic));
        }
        return a;
    }
}
