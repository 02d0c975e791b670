{{/*
What JSON Schema cannot say, or not in words that help. Each message gives the value, the rule and the way out.
*/}}
{{- define "sft-run.validate" -}}
{{- include "sft-run.validate.name" . }}
{{- include "sft-run.validate.run" . }}
{{- include "sft-run.validate.sameRun" . }}
{{- include "sft-run.validate.labels" . }}
{{- include "sft-run.validate.pods" . }}
{{- include "sft-run.validate.choices" . }}
{{- end }}

{{/* Ends the rendering with a message that stands apart from what Helm puts before and after it. */}}
{{- define "sft-run.refuse" -}}
{{- fail (printf "\n\n%s\n" .) }}
{{- end }}

{{- define "sft-run.validate.name" -}}
{{- if not (regexMatch "^[a-z]([a-z0-9-]{0,28}[a-z0-9])?$" .Release.Name) }}
{{- include "sft-run.refuse" (printf (print
    "release name '%s': a release is a run, and the name of a run has 1 to 30 characters: lower-case letters, digits "
    "and '-', starting with a letter, not ending with '-'. Install it under another name.") .Release.Name) }}
{{- end }}
{{- end }}

{{/* Without a cluster (helm template) lookup finds nothing: then only the controller can tell. */}}
{{- define "sft-run.validate.sameRun" -}}
{{- if .Release.IsUpgrade }}
{{- $anchor := lookup "v1" "ConfigMap" .Release.Namespace (printf "%s-anchor" .Release.Name) | default dict }}
{{- $installed := dig "metadata" "annotations" "sftjobs.dev/run-hash" "" $anchor }}
{{- if and $installed (ne $installed (sha256sum .Values.run)) }}
{{- include "sft-run.refuse" (printf (print
    "run: not the run that release %s was installed with. A release is one run, and an upgrade may change only "
    "cluster.yaml. Install the new run under another name, or `helm uninstall %s` first (its artifacts stay in the "
    "store, and stages that did not change are not run again).") .Release.Name .Release.Name) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "sft-run.validate.labels" -}}
{{- range $label, $_ := .Values.labels }}
{{- if regexMatch "^(sftjobs\\.dev|app\\.kubernetes\\.io|helm\\.sh|batch\\.kubernetes\\.io)/" $label }}
{{- include "sft-run.refuse" (printf (print
    "labels: %s is set by the chart itself. Use a label of your own, such as team or cost-centre.") $label) }}
{{- else if hasPrefix "kueue.x-k8s.io/" $label }}
{{- include "sft-run.refuse" (printf (print
    "labels: %s would also queue the controller, which must run while stages wait. "
    "Set `queue` and `queue_priority` instead.") $label) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "sft-run.validate.pods" -}}
{{- range $role, $pod := .Values.pods }}
{{- range $field, $names := dict "env" (keys $pod.env) "secret_env" $pod.secret_env }}
{{- range $name := $names }}
{{- if hasPrefix "SFTJOBS_" $name }}
{{- include "sft-run.refuse" (printf
    "pods.%s.%s: %s is set by sftjobs itself. Names that begin with SFTJOBS_ are not free; take it out."
    $role $field $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- range $volume := $pod.volumes }}
{{- if has $volume.name (list "tmp" "shm" "scratch" "ca" "cache") }}
{{- include "sft-run.refuse" (printf
    "pods.%s.volumes: a volume called %s is there already. Give yours another name." $role $volume.name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Fields of which only one can be set, or that need another. sftjobs/spec/cluster_load.py has the same rules. */}}
{{- define "sft-run.validate.choices" -}}
{{- $cache := .Values.node_cache }}
{{- if kindIs "map" $cache }}
{{- if and $cache.host_path $cache.claim }}
{{- include "sft-run.refuse" (printf
    "node_cache: host_path is '%s' and claim is '%s': the cache is one of both. Take one of them out."
    $cache.host_path $cache.claim) }}
{{- else if not (or $cache.host_path $cache.claim) }}
{{- include "sft-run.refuse" (print
    "node_cache: neither host_path nor claim is set, so there is no place for the cache. "
    "Set one of them, or leave node_cache out.") }}
{{- end }}
{{- end }}
{{- if and .Values.webhook.url .Values.webhook.url_from }}
{{- include "sft-run.refuse"
    "webhook: both url and url_from are set. Keep url_from if the URL is a secret, else url." }}
{{- end }}
{{- if and .Values.queue_priority (not .Values.queue) }}
{{- include "sft-run.refuse" (printf
    "queue_priority: '%s' has no meaning without `queue`. Name the LocalQueue, or use priority_class."
    .Values.queue_priority) }}
{{- end }}
{{- end }}
