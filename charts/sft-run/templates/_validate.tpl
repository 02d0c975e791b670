{{/*
What JSON Schema cannot say, or not in words that help. Each message gives the value, the rule and the way out.
The controller checks the run completely; here is only what can be seen at a glance.
*/}}
{{- define "sft-run.validate" -}}
{{- include "sft-run.validate.name" . }}
{{- include "sft-run.validate.run" . }}
{{- include "sft-run.validate.sameRun" . }}
{{- include "sft-run.validate.cluster" . }}
{{- end }}

{{- define "sft-run.validate.name" -}}
{{- if not (regexMatch "^[a-z]([a-z0-9-]{0,28}[a-z0-9])?$" .Release.Name) }}
{{- fail (printf "\n\nrelease name '%s': a release is a run, and the name of a run has 1 to 30 characters: lower-case letters, digits and '-', starting with a letter, not ending with '-'. Install it under another name.\n" .Release.Name) }}
{{- end }}
{{- end }}

{{- define "sft-run.validate.run" -}}
{{- $push := "`sftjobs push run.yaml` brings local inputs into the store and writes run.pushed.yaml; install that: --set-file run=run.pushed.yaml" }}
{{- if not (trim .Values.run) }}
{{- fail (printf "\n\nrun: nothing is given, and a release is a run. Add --set-file run=run.pushed.yaml (written by `sftjobs push run.yaml`).\n") }}
{{- end }}
{{- if gt (len .Values.run) 900000 }}
{{- fail (printf "\n\nrun: %d bytes; a ConfigMap takes 1 MiB, so at most 900000 are allowed. Fewer examples in the prompt, or data as files that `sftjobs push` uploads.\n" (len .Values.run)) }}
{{- end }}
{{- if ne .Values.run (index (dict "run" .Values.run | toJson | fromJson) "run") }}
{{- fail "\n\nrun: not UTF-8 text. Save run.yaml as UTF-8, or install what `sftjobs push` writes.\n" }}
{{- end }}
{{- $run := fromYaml .Values.run }}
{{- if hasKey $run "Error" }}
{{- fail (printf "\n\nrun: not a YAML mapping: %s. `sftjobs check run.yaml` shows every mistake with its line.\n" $run.Error) }}
{{- end }}
{{- range $path, $value := include "sft-run.pathsOf" $run | fromJson }}
{{- if not (or (contains "://" $value) (hasPrefix "store:" $value)) }}
{{- fail (printf "\n\nrun: %s is '%s': a path on one machine, which no pod can read. %s\n" $path $value $push) }}
{{- end }}
{{- end }}
{{- $store := $run.store }}
{{- if kindIs "map" $store }}{{ $store = $store.uri }}{{ end }}
{{- if not (hasPrefix "s3://" ($store | default "" | toString)) }}
{{- fail (printf "\n\nrun: store is '%v': pods need a store that all of them reach, such as s3://bucket/prefix. Name it in run.yaml; then %s\n" ($store | default "not set") $push) }}
{{- end }}
{{- end }}

{{/* Dotted path -> text, for the values of run.yaml that name files. */}}
{{- define "sft-run.pathsOf" -}}
{{- $found := dict }}
{{- range $name := list "model" "prompt" }}
{{- $value := index $ $name }}
{{- if kindIs "map" $value }}{{ $value = $value.path }}{{ end }}
{{- if kindIs "string" $value }}{{ $_ := set $found $name $value }}{{ end }}
{{- end }}
{{- $data := .data }}
{{- if kindIs "map" $data }}
{{- range $name := list "general" "held_out" }}
{{- $value := index $data $name }}
{{- if kindIs "map" $value }}{{ if kindIs "string" $value.path }}{{ $_ := set $found (printf "data.%s.path" $name) $value.path }}{{ end }}{{ end }}
{{- end }}
{{- if kindIs "map" $data.tasks }}
{{- range $name, $value := $data.tasks }}
{{- if kindIs "map" $value }}{{ if kindIs "string" $value.path }}{{ $_ := set $found (printf "data.tasks.%s.path" $name) $value.path }}{{ end }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- toJson $found }}
{{- end }}

{{/* Without a cluster (helm template), lookup finds nothing: then only the controller can tell. */}}
{{- define "sft-run.validate.sameRun" -}}
{{- if .Release.IsUpgrade }}
{{- $anchor := lookup "v1" "ConfigMap" .Release.Namespace (printf "%s-anchor" .Release.Name) }}
{{- if $anchor }}
{{- $installed := dig "metadata" "annotations" "sftjobs.dev/run-hash" "" $anchor }}
{{- if and $installed (ne $installed (sha256sum .Values.run)) }}
{{- fail (printf "\n\nrun: not the run that release %s was installed with. A release is one run, and an upgrade may change only cluster.yaml. Install the new run under another name, or `helm uninstall %s` first (its artifacts stay in the store, and stages that did not change are not run again).\n" .Release.Name .Release.Name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "sft-run.validate.cluster" -}}
{{- range $label, $_ := .Values.labels }}
{{- if regexMatch "^(sftjobs\\.dev|app\\.kubernetes\\.io|helm\\.sh|batch\\.kubernetes\\.io)/" $label }}
{{- fail (printf "\n\nlabels: %s is set by the chart itself. Use a label of your own, such as team or cost-centre.\n" $label) }}
{{- else if hasPrefix "kueue.x-k8s.io/" $label }}
{{- fail (printf "\n\nlabels: %s would also queue the controller, which must run while stages wait. Set `queue` and `queue_priority` instead.\n" $label) }}
{{- end }}
{{- end }}
{{- range $role, $pod := .Values.pods }}
{{- range $name, $_ := $pod.env }}
{{- if hasPrefix "SFTJOBS_" $name }}
{{- fail (printf "\n\npods.%s.env: %s is set by sftjobs itself. Names that begin with SFTJOBS_ are not free; take it out.\n" $role $name) }}
{{- end }}
{{- end }}
{{- range $volume := $pod.volumes }}
{{- if has $volume.name (list "tmp" "shm" "scratch" "ca" "cache") }}
{{- fail (printf "\n\npods.%s.volumes: a volume called %s is there already. Give yours another name.\n" $role $volume.name) }}
{{- end }}
{{- end }}
{{- end }}
{{- $cache := .Values.node_cache }}
{{- if kindIs "map" $cache }}
{{- if and $cache.host_path $cache.claim }}
{{- fail (printf "\n\nnode_cache: host_path is '%s' and claim is '%s': the cache is one of both. Take one of them out.\n" $cache.host_path $cache.claim) }}
{{- else if not (or $cache.host_path $cache.claim) }}
{{- fail "\n\nnode_cache: neither host_path nor claim is set, so there is no place for the cache. Set one of them, or leave node_cache out.\n" }}
{{- end }}
{{- end }}
{{- if and .Values.webhook.url .Values.webhook.url_from }}
{{- fail "\n\nwebhook: both url and url_from are set. Keep url_from if the URL is a secret, else url.\n" }}
{{- end }}
{{- if and .Values.queue_priority (not .Values.queue) }}
{{- fail (printf "\n\nqueue_priority: '%s' has no meaning without `queue`. Name the LocalQueue, or use priority_class.\n" .Values.queue_priority) }}
{{- end }}
{{- end }}
