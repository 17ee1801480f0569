{{- define "adutora.airflowKeys" -}}
{{- .Values.airflow.secrets.keys | default "adutora-airflow-keys" -}}
{{- end }}
{{- define "adutora.airflowAdmin" -}}
{{- .Values.airflow.secrets.admin | default "adutora-airflow-admin" -}}
{{- end }}
{{- define "adutora.airflowOperator" -}}
{{- .Values.airflow.secrets.operator | default "adutora-airflow-operator" -}}
{{- end }}
{{- define "adutora.airflowFlower" -}}
{{- .Values.airflow.secrets.flower | default "adutora-airflow-flower" -}}
{{- end }}
