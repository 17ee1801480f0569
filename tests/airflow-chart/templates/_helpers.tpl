{{- define "airflow.fullname" -}}
{{- .Values.fullnameOverride | default .Release.Name -}}
{{- end }}

{{/* The name that values of the official chart use in templated strings. */}}
{{- define "airflow_image" -}}
{{- $image := .Values.images.airflow -}}
{{- printf "%s:%s" ($image.repository | default .Values.defaultAirflowRepository) ($image.tag | default .Values.defaultAirflowTag) -}}
{{- end }}

{{/* Labels of a component, which selectors and network policies know. */}}
{{- define "airflow.labels" -}}
tier: airflow
component: {{ index . 1 }}
release: {{ (index . 0).Release.Name }}
{{- end }}

{{/* Environment of an Airflow container: list of root, component's own env, whether it may sign tokens, whether it gets
     what the values add for all. */}}
{{- define "airflow.env" -}}
{{- $ := index . 0 -}}
{{- if index . 3 }}
{{- range $.Values.env }}
- {name: {{ .name }}, value: {{ .value | quote }}}
{{- end }}
{{- range $.Values.secret }}
- {name: {{ .envName }}, valueFrom: {secretKeyRef: {name: {{ .secretName }}, key: {{ .secretKey | default "value" }}}}}
{{- end }}
{{- with $.Values.extraEnv }}
{{ tpl . $ | trim }}
{{- end }}
{{- end }}
- {name: AIRFLOW_HOME, value: {{ $.Values.airflowHome }}}
- {name: AIRFLOW__CORE__FERNET_KEY, valueFrom: {secretKeyRef: {name: {{ $.Values.fernetKeySecretName }}, key: fernet-key}}}
- {name: AIRFLOW__DATABASE__SQL_ALCHEMY_CONN, valueFrom: {secretKeyRef: {name: {{ $.Values.data.metadataSecretName }}, key: connection}}}
- {name: AIRFLOW__API__SECRET_KEY, valueFrom: {secretKeyRef: {name: {{ $.Values.apiSecretKeySecretName }}, key: api-secret-key}}}
{{- if index . 2 }}
- {name: AIRFLOW__API_AUTH__JWT_SECRET, valueFrom: {secretKeyRef: {name: {{ $.Values.jwtSecretName }}, key: jwt-secret}}}
{{- end }}
{{- with index . 1 }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What every Airflow container mounts: list of root, component's values, whether it has logs. */}}
{{- define "airflow.mounts" -}}
{{- $ := index . 0 -}}
- {name: config, mountPath: {{ $.Values.airflowHome }}/airflow.cfg, subPath: airflow.cfg, readOnly: true}
{{- if $.Values.airflowLocalSettings }}
- {name: config, mountPath: {{ $.Values.airflowHome }}/config/airflow_local_settings.py, subPath: airflow_local_settings.py, readOnly: true}
{{- end }}
{{- if index . 2 }}
- {name: logs, mountPath: {{ $.Values.airflowHome }}/logs}
{{- end }}
{{- range concat $.Values.volumeMounts ((index . 1).extraVolumeMounts | default list) }}
- {{ toYaml . | nindent 2 | trim }}
{{- end }}
{{- end }}

{{/* Image, security and mounts of a container: list as for airflow.mounts. */}}
{{- define "airflow.container" -}}
{{- $ := index . 0 -}}
image: {{ include "airflow_image" $ }}
imagePullPolicy: {{ $.Values.images.airflow.pullPolicy }}
securityContext: {{- toYaml $.Values.securityContexts.containers | nindent 2 }}
resources: {{- toYaml (index . 1).resources | nindent 2 }}
volumeMounts: {{- include "airflow.mounts" . | nindent 2 }}
{{- end }}

{{/* What a pod has beside its containers: list as for airflow.mounts. */}}
{{- define "airflow.volumes" -}}
{{- $ := index . 0 -}}
securityContext: {{- toYaml $.Values.securityContexts.pod | nindent 2 }}
enableServiceLinks: {{ ne (toString $.Values.enableServiceLinks) "false" }}
volumes:
  - name: config
    configMap: {name: {{ include "airflow.fullname" $ }}-config}
  {{- if index . 2 }}
  - name: logs
    emptyDir: {{- toYaml ($.Values.logs.emptyDirConfig | default dict) | nindent 6 }}
  {{- end }}
  {{- range concat $.Values.volumes ((index . 1).extraVolumes | default list) }}
  - {{ toYaml . | nindent 4 | trim }}
  {{- end }}
{{- end }}

{{- define "airflow.serviceAccount" -}}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ index . 1 }}
  labels: {tier: airflow, release: {{ (index . 0).Release.Name }}}
  {{- with (index . 2).annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: {{ (index . 2).automountServiceAccountToken }}
{{- end }}
