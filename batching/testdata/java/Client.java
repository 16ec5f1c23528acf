import java.io.*;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.*;

/**
 * Kafka's own client, for taking goldens from it and for letting it read ours.
 * One record a line, tab-separated: timestamp, key, value, then a key and a
 * value for each header; base64, "-" for null.
 *
 *   produce ADDR TOPIC CODEC IDEMPOTENT TXID-or-dash < lines
 *   consume ADDR TOPIC COUNT > lines
 */
public class Client {
  public static void main(String[] args) throws Exception {
    if (args[0].equals("produce")) produce(args[1], args[2], args[3], args[4], args[5]);
    else consume(args[1], args[2], Integer.parseInt(args[3]));
  }

  static byte[] decode(String s) { return s.equals("-") ? null : Base64.getDecoder().decode(s); }

  static String encode(byte[] b) { return b == null ? "-" : Base64.getEncoder().encodeToString(b); }

  static void produce(String addr, String topic, String codec, String idempotent, String txid) throws Exception {
    Properties p = new Properties();
    p.put("bootstrap.servers", addr);
    p.put("compression.type", codec);
    p.put("enable.idempotence", idempotent);
    p.put("linger.ms", "300");
    p.put("batch.size", "1000000");
    if (!txid.equals("-")) p.put("transactional.id", txid);
    try (KafkaProducer<byte[], byte[]> k = new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer())) {
      if (!txid.equals("-")) { k.initTransactions(); k.beginTransaction(); }
      // The partition's queue must be known before the first record is due,
      // or the first batch holds it alone.
      k.partitionsFor(topic);
      BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
      for (String line; (line = in.readLine()) != null; ) {
        String[] f = line.split("\t", -1);
        List<Header> headers = new ArrayList<>();
        for (int i = 3; i + 1 < f.length; i += 2)
          headers.add(new RecordHeader(new String(decode(f[i]), StandardCharsets.UTF_8), decode(f[i + 1])));
        k.send(new ProducerRecord<>(topic, 0, Long.parseLong(f[0]), decode(f[1]), decode(f[2]), headers),
            (m, e) -> { if (e != null) { e.printStackTrace(); System.exit(1); } });
      }
      k.flush();
      if (!txid.equals("-")) k.commitTransaction();
    }
  }

  static void consume(String addr, String topic, int count) {
    Properties p = new Properties();
    p.put("bootstrap.servers", addr);
    p.put("auto.offset.reset", "earliest");
    p.put("fetch.max.wait.ms", "100");
    try (KafkaConsumer<byte[], byte[]> k = new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
      TopicPartition tp = new TopicPartition(topic, 0);
      k.assign(List.of(tp));
      k.seekToBeginning(List.of(tp));
      PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), false, StandardCharsets.US_ASCII);
      for (int seen = 0, polls = 0; seen < count && polls < 100; polls++)
        for (ConsumerRecord<byte[], byte[]> r : k.poll(Duration.ofMillis(200))) {
          seen++;
          out.print(r.timestamp() + "\t" + encode(r.key()) + "\t" + encode(r.value()));
          for (Header h : r.headers())
            out.print("\t" + encode(h.key().getBytes(StandardCharsets.UTF_8)) + "\t" + encode(h.value()));
          out.println();
        }
      out.flush();
    }
  }
}
