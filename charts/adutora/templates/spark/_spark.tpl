{{- define "adutora.sparkImage" -}}
{{- .Values.global.adutora.stageImages.spark -}}
{{- end }}

{{- define "adutora.sparkExecutorAccount" -}}
{{- printf "%s-executor" .Values.global.adutora.sparkServiceAccount -}}
{{- end }}

{{/* Service accounts that drivers run as, as a JSON list. */}}
{{- define "adutora.sparkDriverAccounts" -}}
{{- concat (list .Values.global.adutora.sparkServiceAccount) .Values.spark.moreServiceAccounts | uniq | toJson -}}
{{- end }}

{{/* Labels of the pods that are drivers: those of stages, and the engine. */}}
{{- define "adutora.sparkDriverSelector" -}}
{{ include "adutora.stageSelector" . }}
adutora.dev/engine: spark
{{- end }}

{{/* Labels that drivers give to their executors. */}}
{{- define "adutora.sparkExecutorSelector" -}}
app.kubernetes.io/managed-by: adutora
app.kubernetes.io/component: executor
{{- end }}

{{/* Where the history server finds event logs, as Hadoop names it. */}}
{{- define "adutora.sparkLogDirectory" -}}
{{- $log := .Values.spark.historyServer.logDirectory -}}
{{- if and (not $log) .Values.stores.s3.enabled -}}
{{- $log = printf "s3://%s/_spark-events" .Values.stores.s3.buckets.lake -}}
{{- end -}}
{{- if not $log -}}
{{- fail "spark.historyServer.logDirectory is empty: give the URL that global.adutora.sparkEventLog names, or LAKE/_spark-events" -}}
{{- end -}}
{{- regexReplaceAll "^s3:" $log "s3a:" -}}
{{- end }}
