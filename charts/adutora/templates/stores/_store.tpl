{{/* What the development stores share: headless Service, StatefulSet around the containers that a store defines, volume
     claim, and a policy. List of root, name, port, user, probe. The template `adutora.store.<name>` gives the containers
     and their volumes, `adutora.store.<name>.peers` who may connect. */}}
{{- define "adutora.store" -}}
{{- $ := index . 0 -}}
{{- $name := index . 1 -}}
{{- $port := index . 2 -}}
{{- $store := index $.Values.stores $name -}}
apiVersion: v1
kind: Service
metadata:
  name: adutora-{{ $name }}
  labels: {{- include "adutora.labels" (list $ $name) | nindent 4 }}
spec:
  selector: {{- include "adutora.selector" (list $ $name) | nindent 4 }}
  ports:
    - {name: {{ $name }}, port: {{ $port }}, targetPort: {{ $port }}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: adutora-{{ $name }}
  labels: {{- include "adutora.labels" (list $ $name) | nindent 4 }}
spec:
  serviceName: adutora-{{ $name }}
  replicas: 1
  revisionHistoryLimit: 3
  selector:
    matchLabels: {{- include "adutora.selector" (list $ $name) | nindent 6 }}
  # Said aloud, though it is the default: data outlives the release.
  persistentVolumeClaimRetentionPolicy: {whenDeleted: Retain, whenScaled: Retain}
  template:
    metadata:
      labels: {{- include "adutora.labels" (list $ $name) | nindent 8 }}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: 30
      {{- include "adutora.pull" $ | nindent 6 }}
      securityContext: {{- include "adutora.podSecurity" (index . 3) | nindent 8 }}
      {{- include (printf "adutora.store.%s" $name) $ | nindent 6 }}
  volumeClaimTemplates:
    - metadata:
        name: data
        labels: {{- include "adutora.selector" (list $ $name) | nindent 10 }}
      spec:
        accessModes: [ReadWriteOnce]
        {{- with $store.persistence.storageClass }}
        storageClassName: {{ . }}
        {{- end }}
        resources:
          requests: {storage: {{ $store.persistence.size }}}
{{- if $.Values.networkPolicies.enabled }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: adutora-{{ $name }}
  labels: {{- include "adutora.labels" (list $ $name) | nindent 4 }}
spec:
  podSelector:
    matchLabels: {{- include "adutora.selector" (list $ $name) | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
    - ports: [{port: {{ $port }}}]
      from:
        {{- include (printf "adutora.store.%s.peers" $name) $ | nindent 8 }}
        - podSelector:
            matchLabels: {{- include "adutora.selector" (list $ "test") | nindent 14 }}
  egress: []
{{- end }}
{{- end }}
{{/* Probes of a store by a command or a TCP port: fast at the start, patient later. */}}
{{- define "adutora.storeProbes" -}}
startupProbe:
  {{- toYaml . | nindent 2 }}
  periodSeconds: 1
  timeoutSeconds: 5
  failureThreshold: 120
readinessProbe:
  {{- toYaml . | nindent 2 }}
  periodSeconds: 5
  timeoutSeconds: 5
livenessProbe:
  {{- toYaml . | nindent 2 }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}
