{{/* The pod template of one shard: (dict "root" . "shard" INDEX). The Job's name carries its hash and that of what it
     mounts, so that an upgrade makes a new Job. */}}
{{- define "relay.podTemplate" -}}
{{- $shard := .shard -}}
{{- with .root -}}
{{- $labels := dict -}}
{{- if gt (int .Values.relay.shards) 1 }}{{ $_ := set $labels "xperience/shard" (print $shard) }}{{ end -}}
metadata: {{- include "common.podMetadata" (dict "root" . "labels" $labels) | nindent 2 }}
spec:
  restartPolicy: Never
  {{- include "common.podSpec" (dict "root" . "graceSeconds" .Values.job.terminationGracePeriodSeconds) | nindent 2 }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints: {{- toYaml . | nindent 4 }}
  {{- else }}
  {{- if gt (int .Values.relay.shards) 1 }}
  # Each shard on a node of its own, as far as there are nodes: its network and disk are what a shard adds.
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "common.selectorLabels" . | nindent 10 }}
  {{- end }}
  {{- end }}
  initContainers:
    - {{- include "relay.sidecar" . | nindent 6 }}
    - name: preflight
      args: ["preflight"]
      {{- include "relay.container" (dict "root" . "shard" $shard) | nindent 6 }}
  containers:
    - name: relay
      args: ["relay", "run"]
      {{- if .Values.metrics.enabled }}
      ports:
        - {name: metrics, containerPort: {{ .Values.metrics.port }}}
      {{- end }}
      {{- include "relay.container" (dict "root" . "shard" $shard) | nindent 6 }}
  volumes: {{- include "relay.volumes" (dict "root" . "shard" $shard) | nindent 4 }}
{{- end -}}
{{- end -}}

{{/* rclone as native sidecar: starts before preflight, ends after relay, holds the store's credentials. */}}
{{- define "relay.sidecar" -}}
name: rclone
image: {{ include "common.image" (dict "image" .Values.image.rclone "version" "") }}
imagePullPolicy: {{ .Values.image.rclone.pullPolicy }}
restartPolicy: Always
securityContext: {{- include "common.containerSecurityContext" . | nindent 2 }}
terminationMessagePolicy: FallbackToLogsOnError
env: {{- include "relay.rcloneEnv" . | trim | nindent 2 }}
{{- with .Values.store.s3.writerSecret }}
envFrom:
  - secretRef: {name: {{ . }}}
{{- end }}
startupProbe:
  exec:
    command: ["rclone", "rc", "--unix-socket", "/run/rclone/rc.sock", "rc/noop"]
  periodSeconds: 1
  timeoutSeconds: 5
  failureThreshold: 60
resources:
  requests: {cpu: {{ .Values.resources.rcloneCpu | quote }}, memory: {{ int64 .Values.resources.rcloneMemoryMib }}Mi, ephemeral-storage: 64Mi}
  limits: {memory: {{ int64 .Values.resources.rcloneMemoryMib }}Mi, ephemeral-storage: 256Mi}
volumeMounts:
  - {name: scratch, mountPath: /scratch}
  - {name: rclone-socket, mountPath: /run/rclone}
  - {name: tmp, mountPath: /tmp, subPath: rclone}
  - {name: rclone-config, mountPath: /etc/xperience/rclone, readOnly: true}
  {{- if .Values.store.ssh.host }}
  - {name: store-key, mountPath: /etc/xperience/store, readOnly: true}
  {{- end }}
  {{- if .Values.customCa.configMap }}
  - {name: custom-ca, mountPath: /etc/xperience/ca, readOnly: true}
  {{- end }}
{{- end -}}

{{/* What preflight and relay share. */}}
{{- define "relay.container" -}}
{{- $shard := .shard -}}
{{- with .root -}}
image: {{ include "common.image" (dict "image" .Values.image.relay "version" .Chart.AppVersion) }}
imagePullPolicy: {{ .Values.image.relay.pullPolicy }}
securityContext: {{- include "common.containerSecurityContext" . | nindent 2 }}
terminationMessagePolicy: FallbackToLogsOnError
env: {{- include "relay.env" (dict "root" . "shard" $shard) | trim | nindent 2 }}
  {{- if .Values.progress.enabled }}
  {{- include "common.progressEnv" . | nindent 2 }}
  {{- end }}
{{- with .Values.store.s3.readerSecret }}
envFrom:
  - secretRef: {name: {{ . }}}
{{- end }}
resources: {{- toYaml .Values.resources.relay | nindent 2 }}
volumeMounts:
  - {name: scratch, mountPath: /scratch}
  - {name: rclone-socket, mountPath: /run/rclone}
  - {name: tmp, mountPath: /tmp, subPath: relay}
  - {name: hub-token, mountPath: /var/run/xperience/hub, readOnly: true}
  {{- if .Values.progress.enabled }}
  {{- include "common.progressMount" . | nindent 2 }}
  {{- end }}
  {{- if include "relay.selectionConfigMap" . }}
  - {name: selection, mountPath: /etc/xperience/selection, readOnly: true}
  {{- end }}
  {{- if .Values.requiredProbe.configMap }}
  - {name: required-probe, mountPath: /etc/xperience/probe, readOnly: true}
  {{- end }}
  {{- if .Values.customCa.configMap }}
  - {name: custom-ca, mountPath: /etc/xperience/ca, readOnly: true}
  {{- end }}
{{- end -}}
{{- end -}}

{{- define "relay.volumes" -}}
{{- $shard := .shard -}}
{{- with .root -}}
- name: scratch
  {{- if .Values.scratch.ephemeral }}
  ephemeral:
    volumeClaimTemplate:
      spec: {{- include "relay.claimSpec" . | nindent 8 }}
  {{- else }}
  persistentVolumeClaim: {claimName: {{ include "relay.scratchClaim" (dict "root" . "shard" $shard) }}}
  {{- end }}
- name: rclone-socket
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
- name: tmp
  emptyDir: {sizeLimit: 128Mi}
- name: rclone-config
  configMap: {name: {{ include "common.fullname" . }}-rclone}
- name: hub-token
  secret:
    secretName: {{ .Values.hub.tokenSecret.name }}
    defaultMode: 0440
    items: [{key: {{ .Values.hub.tokenSecret.key }}, path: token}]
{{- if .Values.progress.enabled }}
{{ include "common.progressVolume" . }}
{{- end }}
{{- if .Values.store.ssh.host }}
- name: store-key
  secret: {secretName: {{ .Values.store.ssh.secret }}, defaultMode: 0440}
{{- end }}
{{- with include "relay.selectionConfigMap" . }}
- name: selection
  configMap:
    name: {{ . }}
    items: [{key: {{ $.root.Values.selection.key }}, path: selection}]
{{- end }}
{{- with .Values.requiredProbe.configMap }}
- name: required-probe
  configMap:
    name: {{ . }}
    items: [{key: {{ $.root.Values.requiredProbe.key }}, path: probe.json}]
{{- end }}
{{- with .Values.customCa.configMap }}
- name: custom-ca
  configMap:
    name: {{ . }}
    items: [{key: {{ $.root.Values.customCa.key }}, path: ca.crt}]
{{- end }}
{{- end -}}
{{- end -}}
