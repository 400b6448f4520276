"""The contract that worker and training stand on: no torch, no Kafka, no I/O."""
