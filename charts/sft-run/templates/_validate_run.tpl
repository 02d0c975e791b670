{{/* What can be seen of the run at a glance. The controller checks it completely, with lines and reasons. */}}
{{- define "sft-run.validate.run" -}}
{{- if not (trim .Values.run) }}
{{- include "sft-run.refuse" (print
    "run: nothing is given, and a release is a run. "
    "Add --set-file run=run.pushed.yaml (written by `sftjobs push run.yaml`).") }}
{{- end }}
{{- if gt (len .Values.run) 900000 }}
{{- include "sft-run.refuse" (printf (print
    "run: %d bytes; a ConfigMap takes 1 MiB, so at most 900000 are allowed. "
    "Fewer examples in the prompt, or data as files that `sftjobs push` uploads.") (len .Values.run)) }}
{{- end }}
{{- if ne .Values.run (dict "run" .Values.run | toJson | fromJson).run }}
{{- include "sft-run.refuse" "run: not UTF-8 text. Save run.yaml as UTF-8, or install what `sftjobs push` writes." }}
{{- end }}
{{- $run := fromYaml .Values.run }}
{{- if hasKey $run "Error" }}
{{- include "sft-run.refuse" (printf
    "run: not a YAML mapping: %s. `sftjobs check run.yaml` shows every mistake with its line." $run.Error) }}
{{- end }}
{{- include "sft-run.validate.places" $run }}
{{- end }}

{{/* Every pod of a run must reach its inputs and its store. */}}
{{- define "sft-run.validate.places" -}}
{{- $push := print
    "`sftjobs push run.yaml` brings local inputs into the store and writes run.pushed.yaml; "
    "install that: --set-file run=run.pushed.yaml" }}
{{- range $field, $path := include "sft-run.paths" . | fromJson }}
{{- if not (or (contains "://" $path) (hasPrefix "store:" $path)) }}
{{- include "sft-run.refuse" (printf
    "run: %s is '%s': a path on one machine, which no pod can read. %s" $field $path $push) }}
{{- end }}
{{- end }}
{{- $store := include "sft-run.store" . }}
{{- if not (hasPrefix "s3://" $store) }}
{{- include "sft-run.refuse" (printf (print
    "run: store is '%s': pods need a store that all of them reach: s3://bucket/prefix. Name it in run.yaml; then %s")
    ($store | default "not set") $push) }}
{{- end }}
{{- end }}

{{/* The store of a run, as text. */}}
{{- define "sft-run.store" -}}
{{- if kindIs "map" .store }}{{ .store.uri }}{{ else }}{{ .store }}{{ end }}
{{- end }}

{{/* Field of run.yaml -> path, as JSON, for the fields that name files. What has another type is not its business. */}}
{{- define "sft-run.paths" -}}
{{- $named := dict "model" .model "prompt" .prompt }}
{{- $data := ternary .data dict (kindIs "map" .data) }}
{{- range $name := list "general" "held_out" }}
{{- $_ := set $named (printf "data.%s.path" $name) (index $data $name) }}
{{- end }}
{{- if kindIs "map" $data.tasks }}
{{- range $name, $task := $data.tasks }}
{{- $_ := set $named (printf "data.tasks.%s.path" $name) $task }}
{{- end }}
{{- end }}
{{- $found := dict }}
{{- range $field, $value := $named }}
{{- if kindIs "map" $value }}{{ $value = $value.path }}{{ end }}
{{- if kindIs "string" $value }}{{ $_ := set $found $field $value }}{{ end }}
{{- end }}
{{- toJson $found }}
{{- end }}
