{{/*
Pod of the controller and of `helm test`: same image, environment, identity in the store and place, so that the test
sees what the controller will see. Takes a dict: root, role, serviceAccount, module.
Only values that this pod needs may be used here: each of them gives the controller a new Job when it changes.
*/}}
{{- define "sft-run.pod" -}}
{{- $root := .root }}
{{- $all := $root.Values.pods.all }}
{{- $own := $root.Values.pods.controller -}}
restartPolicy: Never
serviceAccountName: {{ .serviceAccount | quote }}
automountServiceAccountToken: true
enableServiceLinks: false
terminationGracePeriodSeconds: 30
{{- include "sft-run.pullSecrets" $root }}
{{- with $own.runtime_class | default $all.runtime_class }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- with include "sft-run.over" (list $all.node_selector $own.node_selector) | fromJson }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with concat $all.tolerations $own.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "sft-run.over" (list $all.affinity $own.affinity) | fromJson }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- include "sft-run.podSecurity" $root | nindent 2 }}
containers:
  - name: {{ .role }}
    image: {{ $root.Values.images.controller | quote }}
    imagePullPolicy: {{ $root.Values.images.pull_policy | quote }}
    command: [python, -m, {{ .module }}]
    env: {{- include "sft-run.env" $root | nindent 6 }}
    envFrom:
      # All keys: which of them the run names is known when run.yaml is read. Optional: the controller says itself
      # which key is missing, and workload identity needs none.
      - secretRef:
          name: {{ $root.Values.secret | quote }}
          optional: true
    terminationMessagePath: /dev/termination-log
    terminationMessagePolicy: FallbackToLogsOnError
    securityContext:
      allowPrivilegeEscalation: false
      capabilities:
        drop: [ALL]
      readOnlyRootFilesystem: true
    resources:
      requests:
        cpu: {{ $root.Values.controller.cpu | quote }}
        memory: {{ $root.Values.controller.memory | quote }}
        ephemeral-storage: 512Mi
      limits:
        # No limit on CPU: throttling would only make it slow.
        memory: {{ $root.Values.controller.memory | quote }}
        ephemeral-storage: 512Mi
    volumeMounts:
      - name: tmp
        mountPath: /tmp
      {{- if $root.Values.ca_bundle }}
      - name: ca
        mountPath: /etc/sftjobs/ca
        readOnly: true
      {{- end }}
      {{- with concat $all.volume_mounts $own.volume_mounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
volumes:
  - name: tmp # the root file system is read-only
    emptyDir:
      sizeLimit: 256Mi
  {{- with $root.Values.ca_bundle }}
  - name: ca
    configMap:
      name: {{ .config_map | quote }}
  {{- end }}
  {{- with concat $all.volumes $own.volumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "sft-run.podSecurity" -}}
runAsNonRoot: true
{{- if not .Values.security.any_user }}
runAsUser: {{ .Values.security.user | int64 }}
runAsGroup: {{ .Values.security.user | int64 }}
fsGroup: {{ .Values.security.user | int64 }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* Environment of the controller; names are those of sftjobs/names.py and of the libraries that read them. */}}
{{- define "sft-run.env" -}}
- name: SFTJOBS_RELEASE
  value: {{ .Release.Name | quote }}
- name: SFTJOBS_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: SFTJOBS_AGAIN
  value: {{ .Values.controller.again | int64 | quote }}
{{- range $name, $value := include "sft-run.plainEnv" . | fromJson }}
- name: {{ $name | quote }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{/*
Variables with a fixed value, as JSON: what follows from proxy, ca_bundle and hub, and over it those of cluster.yaml.
sftjobs/objects/environment.py gives stage pods the same; a test compares them.
*/}}
{{- define "sft-run.plainEnv" -}}
{{- $env := dict }}
{{- with .Values.proxy }}
{{- if or .http .https }}
{{- /* The kubelet puts in the address of the API server: no proxy leads there. */}}
{{- $noProxy := printf "%s,$(KUBERNETES_SERVICE_HOST)" .no_proxy | trimPrefix "," }}
{{- range $name, $value := dict "HTTP_PROXY" .http "HTTPS_PROXY" .https "NO_PROXY" $noProxy }}
{{- if $value }}{{ $_ := set $env $name $value }}{{ $_ := set $env (lower $name) $value }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.ca_bundle }}
{{- $file := printf "/etc/sftjobs/ca/%s" (.key | default "ca.crt") }}
{{- range $name := list "SSL_CERT_FILE" "REQUESTS_CA_BUNDLE" "CURL_CA_BUNDLE" "AWS_CA_BUNDLE" }}
{{- $_ := set $env $name $file }}
{{- end }}
{{- end }}
{{- with .Values.hub.endpoint }}
{{- $_ := set $env "HF_ENDPOINT" . }}
{{- end }}
{{- include "sft-run.over" (list $env .Values.pods.all.env .Values.pods.controller.env) }}
{{- end }}
