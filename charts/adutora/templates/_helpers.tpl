{{/* Names are fixed: charts beside this one are wired to them. `part` is the name without its prefix. */}}
{{- define "adutora.labels" -}}
{{- $ := index . 0 -}}
app.kubernetes.io/name: adutora
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/instance: {{ $.Release.Name }}
app.kubernetes.io/version: {{ $.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $.Chart.Name $.Chart.Version }}
{{- end }}

{{/* Labels that never change: what Services, workloads and policies select by. */}}
{{- define "adutora.selector" -}}
app.kubernetes.io/name: adutora
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
{{- end }}

{{/* Labels that the stage operator gives to the pods of stages. */}}
{{- define "adutora.stageSelector" -}}
app.kubernetes.io/managed-by: adutora
app.kubernetes.io/component: stage
{{- end }}

{{/* Namespaces that are served, as a JSON list. */}}
{{- define "adutora.namespaces" -}}
{{- .Values.global.adutora.namespaces | default (list .Release.Namespace) | uniq | toJson -}}
{{- end }}

{{/* Pods of stages in all namespaces that are served, as a peer of a NetworkPolicy. */}}
{{- define "adutora.stagePeer" -}}
namespaceSelector:
  matchExpressions:
    - {key: kubernetes.io/metadata.name, operator: In, values: {{ include "adutora.namespaces" . }}}
podSelector:
  matchLabels: {{- include "adutora.stageSelector" . | nindent 4 }}
{{- end }}

{{- define "adutora.stageImage" -}}
{{- .Values.global.adutora.stageImages.default -}}
{{- end }}

{{- define "adutora.operatorImage" -}}
{{- printf "%s:%s" .Values.operator.image.repository (.Values.operator.image.tag | default .Chart.AppVersion) -}}
{{- end }}

{{/* Pod security standard `restricted`, for a user by number. */}}
{{- define "adutora.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
# A volume with many files would be walked at each start.
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "adutora.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "adutora.pull" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Names of Secrets: the user's own, else ours. */}}
{{- define "adutora.secretName" -}}
{{- $store := index (index . 0).Values.stores (index . 1) -}}
{{- $store.existingSecret | default (printf "adutora-%s" (index . 1)) -}}
{{- end }}

{{/* Value of a key in a Secret that stands in the cluster, else a new one: upgrades keep what an install made. */}}
{{- define "adutora.kept" -}}
{{- $secret := lookup "v1" "Secret" (index . 0) (index . 1) | default dict -}}
{{- $old := get ($secret.data | default dict) (index . 2) -}}
{{- if $old -}}{{- b64dec $old -}}{{- else -}}{{- index . 3 -}}{{- end -}}
{{- end }}

{{/* A Secret that we generate: list of root, namespace, name, component, data. It outlives the release, as does the
     data that its password guards. */}}
{{- define "adutora.secret" -}}
{{- $ := index . 0 -}}
---
apiVersion: v1
kind: Secret
metadata:
  name: {{ index . 2 }}
  namespace: {{ index . 1 }}
  labels: {{- include "adutora.labels" (list $ (index . 3)) | nindent 4 }}
  annotations:
    helm.sh/resource-policy: keep
type: Opaque
data:
  {{- range $key, $value := index . 4 }}
  {{ $key }}: {{ $value | b64enc }}
  {{- end }}
{{- end }}
