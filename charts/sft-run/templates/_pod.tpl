{{/*
Pod of the controller and of `helm test`: same image, environment, identity in the store and place, so that the test
sees what the controller will see. Takes a dict: root, role, serviceAccount, command.
Only values that this pod needs may be used here: each of them gives the controller a new Job when it changes.
*/}}
{{- define "sft-run.pod" -}}
{{- $root := .root }}
{{- $all := $root.Values.pods.all }}
{{- $own := $root.Values.pods.controller -}}
restartPolicy: Never
serviceAccountName: {{ .serviceAccount }}
automountServiceAccountToken: true
enableServiceLinks: false
terminationGracePeriodSeconds: 30
{{- include "sft-run.pullSecrets" $root }}
{{- with $own.runtime_class | default $all.runtime_class }}
runtimeClassName: {{ . }}
{{- end }}
{{- with merge dict $own.node_selector $all.node_selector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with concat $all.tolerations $own.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with merge dict $own.affinity $all.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- include "sft-run.podSecurity" $root | nindent 2 }}
containers:
  - name: {{ .role }}
    image: {{ $root.Values.images.controller }}
    imagePullPolicy: {{ $root.Values.images.pull_policy }}
    command: {{- toYaml .command | nindent 6 }}
    env: {{- include "sft-run.env" $root | nindent 6 }}
    envFrom:
      # Optional: the controller says itself which key is missing, and workload identity needs none.
      - secretRef:
          name: {{ $root.Values.secret }}
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
        cpu: {{ $root.Values.controller.cpu }}
        memory: {{ $root.Values.controller.memory }}
        ephemeral-storage: 512Mi
      limits:
        # No limit on CPU: throttling would only make it slow.
        memory: {{ $root.Values.controller.memory }}
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
      name: {{ .config_map }}
  {{- end }}
  {{- with concat $all.volumes $own.volumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "sft-run.podSecurity" -}}
runAsNonRoot: true
{{- if not .Values.security.any_user }}
runAsUser: {{ .Values.security.user }}
runAsGroup: {{ .Values.security.user }}
fsGroup: {{ .Values.security.user }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* Environment of the controller; names are those of sftjobs/names.py and of the libraries that read them. */}}
{{- define "sft-run.env" -}}
- name: SFTJOBS_RELEASE
  value: {{ .Release.Name }}
- name: SFTJOBS_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: SFTJOBS_AGAIN
  value: {{ .Values.controller.again | int64 | quote }}
{{- range $name, $value := include "sft-run.plainEnv" . | fromJson }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{/* Variables with a fixed value: those of cluster.yaml go over those that follow from its other fields. */}}
{{- define "sft-run.plainEnv" -}}
{{- $env := dict }}
{{- with .Values.ca_bundle }}
{{- $file := printf "/etc/sftjobs/ca/%s" (.key | default "ca.crt") }}
{{- $env = dict "SSL_CERT_FILE" $file "REQUESTS_CA_BUNDLE" $file "AWS_CA_BUNDLE" $file }}
{{- end }}
{{- with .Values.hub.endpoint }}
{{- $_ := set $env "HF_ENDPOINT" . }}
{{- end }}
{{- with .Values.proxy.http }}
{{- $_ := set $env "HTTP_PROXY" . }}
{{- end }}
{{- with .Values.proxy.https }}
{{- $_ := set $env "HTTPS_PROXY" . }}
{{- end }}
{{- if or .Values.proxy.http .Values.proxy.https }}
{{- /* The kubelet puts in the address of the API server, to which no proxy leads. */}}
{{- $_ := set $env "NO_PROXY" (printf "%s,$(KUBERNETES_SERVICE_HOST)" .Values.proxy.no_proxy) }}
{{- end }}
{{- merge dict .Values.pods.controller.env .Values.pods.all.env $env | toJson }}
{{- end }}
