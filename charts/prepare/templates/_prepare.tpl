{{/* Combinations that cannot work stop here, before anything reaches the cluster. */}}
{{- define "prepare.validate" -}}
{{- if not .Values.data.claim }}{{ fail "ERROR: data.claim is missing: the claim that holds the data root." }}{{ end -}}
{{- range list .Values.data.path .Values.data.evidencePath }}
{{- if or (hasPrefix "/" .) (contains ".." .) (not .) }}{{ fail (printf "ERROR: data.path and data.evidencePath are folders in the claim, not %q." .) }}{{ end -}}
{{- end -}}
{{- if and .Values.source.s3.url (not .Values.source.s3.readerSecret) }}{{ fail "ERROR: source.s3.readerSecret is missing: a Secret that may read the prefix." }}{{ end -}}
{{- if lt (int .Values.check.shards) 1 }}{{ fail "ERROR: check.shards is less than 1." }}{{ end -}}
{{- include "common.refuseSecrets" .Values.proxyEnv -}}
{{- end -}}

{{- define "prepare.jobName" -}}
{{- $packed := .Values.selection.packed -}}
{{- include "common.fullname" . }}-{{ print (include "prepare.podTemplate" .) $packed .Values.check.shards .Values.job.backoffLimitPerShard | sha256sum | trunc 8 -}}
{{- end -}}

{{- define "prepare.env" -}}
{{- $env := dict
  "TRAINING_DATA_ROOT" (printf "/data/%s" .Values.data.path)
  "XPERIENCE_EVIDENCE" (printf "/data/%s" .Values.data.evidencePath)
  "XPERIENCE_SHARDS" .Values.check.shards
  "HOME" "/tmp" -}}
{{- $_ := set $env "XPERIENCE_SELECTION_JSON" (ternary "/etc/xperience/selection/selection" "xperience10m_128_episode_selection.json" (ne .Values.selection.packed "")) -}}
{{- if .Values.source.s3.url -}}
{{- $_ := set $env "XPERIENCE_STORE" .Values.source.s3.url -}}
{{- $_ := set $env "XPERIENCE_S3_ENDPOINT" .Values.source.s3.endpoint -}}
{{- $_ := set $env "XPERIENCE_S3_REGION" .Values.source.s3.region -}}
{{- $_ := set $env "XPERIENCE_S3_PROVIDER" .Values.source.s3.provider -}}
{{- end -}}
{{- if .Values.customCa.configMap }}{{ $_ := set $env "SSL_CERT_FILE" "/etc/xperience/ca/ca.crt" }}{{ $_ := set $env "AWS_CA_BUNDLE" "/etc/xperience/ca/ca.crt" }}{{ end -}}
{{- range $name, $value := .Values.settings }}{{ $_ := set $env (printf "XPERIENCE_%s" (upper $name)) $value }}{{ end -}}
{{- include "common.env" (merge (dict) .Values.proxyEnv $env) | trim }}
- name: XPERIENCE_RUN
  valueFrom: {fieldRef: {fieldPath: "metadata.labels['batch.kubernetes.io/controller-uid']"}}
{{- if .Values.progress.enabled }}
{{ include "common.progressEnv" . }}
{{- end }}
{{- end -}}

{{- define "prepare.container" -}}
image: {{ include "common.image" (dict "image" .Values.image.prepare "version" .Chart.AppVersion) }}
imagePullPolicy: {{ .Values.image.prepare.pullPolicy }}
securityContext: {{- include "common.containerSecurityContext" . | nindent 2 }}
terminationMessagePolicy: FallbackToLogsOnError
env: {{- include "prepare.env" . | nindent 2 }}
resources: {{- toYaml .Values.resources | nindent 2 }}
volumeMounts:
  - {name: data, mountPath: /data}
  - {name: tmp, mountPath: /tmp}
  {{- if .Values.selection.packed }}
  - {name: selection, mountPath: /etc/xperience/selection, readOnly: true}
  {{- end }}
  {{- if .Values.customCa.configMap }}
  - {name: custom-ca, mountPath: /etc/xperience/ca, readOnly: true}
  {{- end }}
  {{- if .Values.progress.enabled }}
  {{- include "common.progressMount" . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "prepare.podTemplate" -}}
metadata: {{- include "common.podMetadata" (dict "root" . "labels" (dict)) | nindent 2 }}
spec:
  restartPolicy: Never
  {{- include "common.podSpec" (dict "root" . "graceSeconds" .Values.job.terminationGracePeriodSeconds) | nindent 2 }}
  {{- if .Values.source.s3.url }}
  initContainers:
    - name: pull
      args: ["relay", "pull"]
      {{- include "prepare.container" . | nindent 6 }}
      # Read only, and here alone: what checks the files never sees it.
      envFrom:
        - secretRef: {name: {{ .Values.source.s3.readerSecret }}}
  {{- end }}
  containers:
    - name: prepare
      args: ["prepare", "run"]
      {{- include "prepare.container" . | nindent 6 }}
  volumes:
    - name: data
      persistentVolumeClaim: {claimName: {{ .Values.data.claim }}}
    - name: tmp
      emptyDir: {sizeLimit: 256Mi}
    {{- if .Values.selection.packed }}
    - name: selection
      configMap: {name: {{ include "common.fullname" . }}-selection}
    {{- end }}
    {{- with .Values.customCa.configMap }}
    - name: custom-ca
      configMap:
        name: {{ . }}
        items: [{key: {{ $.Values.customCa.key }}, path: ca.crt}]
    {{- end }}
    {{- if .Values.progress.enabled }}
    {{- include "common.progressVolume" . | nindent 4 }}
    {{- end }}
{{- end -}}
