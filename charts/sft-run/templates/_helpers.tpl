{{/* Names must be those of sftjobs/names.py; a test compares them. */}}

{{/* On every object. Labels of cluster.yaml come last and cannot replace one of these: see _validate.tpl. */}}
{{- define "sft-run.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{ include "sft-run.podLabels" . }}
{{- end }}

{{/* On pods: without versions of the chart, which would give the controller a new Job for nothing. */}}
{{- define "sft-run.podLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
sftjobs.dev/run: {{ .Release.Name | quote }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels that tell the pods of a role from those of the others. */}}
{{- define "sft-run.roleLabels" -}}
app.kubernetes.io/component: {{ .role }}
sftjobs.dev/role: {{ .role }}
{{- end }}

{{/* Selects every pod of the run. Of its labels only the one that no other release has. */}}
{{- define "sft-run.selector" -}}
sftjobs.dev/run: {{ .Release.Name | quote }}
{{- end }}

{{/* ServiceAccount of a role: the one that cluster.yaml names, or the one that the chart makes. */}}
{{- define "sft-run.serviceAccountName" -}}
{{- (index .root.Values.service_accounts .role).name | default (printf "%s-%s" .root.Release.Name .role) }}
{{- end }}

{{- define "sft-run.pullSecrets" -}}
{{- with .Values.images.pull_secrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{/* cluster.yaml as the controller reads it: the values without the run and without what Helm adds. */}}
{{- define "sft-run.clusterJson" -}}
{{- omit .Values "run" "global" | toJson }}
{{- end }}

{{/* Several mappings as one, as JSON: of a key that is in more than one, the later wins whole. */}}
{{- define "sft-run.over" -}}
{{- $found := dict }}
{{- range . }}
{{- range $key, $value := . }}{{ $_ := set $found $key $value }}{{ end }}
{{- end }}
{{- toJson $found }}
{{- end }}
