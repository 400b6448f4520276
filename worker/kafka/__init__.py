"""Reading Kafka: the client and what it gets wrong, the consumer, offsets, topics, and publishing."""
