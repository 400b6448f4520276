#!/bin/bash
# One node whose settings come from the environment, as in apache/kafka: KAFKA_NODE_ID is node.id.
set -e
properties=/tmp/server.properties
env | grep '^KAFKA_' | while IFS='=' read -r name value; do
    name=${name#KAFKA_}
    name=${name,,}
    echo "${name//_/.}=$value"
done > "$properties"
java=(java -Xmx512m -XX:+UseSerialGC -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp '/opt/kafka/libs/*')
if [ ! -e "$KAFKA_LOG_DIRS/meta.properties" ]; then
    "${java[@]}" kafka.tools.StorageTool format --cluster-id 5L6g3nShT-eMCtK--X86sw --config "$properties"
fi
exec "${java[@]}" kafka.Kafka "$properties"
