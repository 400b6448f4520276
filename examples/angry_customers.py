"""Alert on angry customers while their calls go on: a consumer of WORKER_KAFKA_RESULTS_TOPIC.

python examples/angry_customers.py localhost:9092 transcripts.emotions
"""

import argparse
import json
from typing import Any

from kafka import KafkaConsumer


def main() -> None:
    """Print a line for each result in which a customer is angry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bootstrap")
    parser.add_argument("topic")
    given = parser.parse_args()
    consumer = KafkaConsumer(
        given.topic,
        bootstrap_servers=given.bootstrap,
        group_id="angry-customers",
        auto_offset_reset="earliest",
    )
    # The worker may send a result twice: the newest counts. A service would forget calls that are over.
    newest: dict[tuple[str, str], dict[str, Any]] = {}
    for record in consumer:
        result = json.loads(record.value)
        identity = result["transcript_id"], result["source"]
        before = newest.get(identity)
        if before is None or result["kafka_timestamp"] >= before["kafka_timestamp"]:
            newest[identity] = result
            angry = "anger" in result["emotions"] and result["role"] != "agent"
            if angry and (before is None or "anger" not in before["emotions"]):
                print(f"{result['session_id']}: anger {result['scores']['anger']:.2f}", flush=True)


if __name__ == "__main__":
    main()
