#!/usr/bin/env bash
# What Spark on Kubernetes starts in a pod: `executor`, told by SPARK_* variables as Spark's own images are; `history` is
# the history server, told by SPARK_HISTORY_OPTS; any other command is run as it is. It writes no file, and gives way to
# what it starts.
set -euo pipefail

# The folder is the driver's (which has nothing there): an archive of classes holds for one class path alone.
classpath="/work/scratch/no-conf:$SPARK_HOME/jars/*${SPARK_EXTRA_CLASSPATH:+:$SPARK_EXTRA_CLASSPATH}"

executor() {
  local options=() name
  for name in $(compgen -v SPARK_JAVA_OPT_ | sort -t _ -k 4n); do
    options+=("${!name}")
  done
  exec "$JAVA_HOME/bin/java" "${options[@]}" -Xms"$SPARK_EXECUTOR_MEMORY" -Xmx"$SPARK_EXECUTOR_MEMORY" \
    -cp "${SPARK_CLASSPATH:+$SPARK_CLASSPATH:}$classpath" \
    org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
    --driver-url "$SPARK_DRIVER_URL" --executor-id "$SPARK_EXECUTOR_ID" --cores "$SPARK_EXECUTOR_CORES" \
    --app-id "$SPARK_APPLICATION_ID" --hostname "$SPARK_EXECUTOR_POD_IP" \
    --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" --podName "$SPARK_EXECUTOR_POD_NAME"
}

# The history server ends where its folder is not there, and in an object store there is none before the first log.
history() {
  local word folder='' options=()
  for word in $SPARK_HISTORY_OPTS; do
    case "$word" in
      -Dspark.hadoop.*) options+=(-D "${word#-Dspark.hadoop.}") ;;
      -Dspark.history.fs.logDirectory=*) folder=${word#*=} ;;
    esac
  done
  "$JAVA_HOME/bin/java" -cp "$SPARK_HOME/conf:$classpath" org.apache.hadoop.fs.FsShell "${options[@]}" -mkdir -p "$folder"
  exec "$SPARK_HOME/bin/spark-class" org.apache.spark.deploy.history.HistoryServer
}

case "${1:-}" in
  executor) executor ;;
  history) history ;;
  *) exec "$@" ;;
esac
