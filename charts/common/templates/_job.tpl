{{/* Where a pod runs and what it is pulled with; a pod spec's keys. */}}
{{- define "common.scheduling" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What every pod's spec has: (dict "root" . "graceSeconds" N). */}}
{{- define "common.podSpec" -}}
serviceAccountName: {{ include "common.serviceAccountName" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ int64 .graceSeconds }}
securityContext: {{- include "common.podSecurityContext" .root | nindent 2 }}
{{- with include "common.scheduling" .root | trim }}{{ . | nindent 0 }}{{ end }}
{{- end -}}

{{/* Name and labels of a job of any kind: (dict "root" . "name" NAME). */}}
{{- define "common.jobMetadata" -}}
name: {{ .name }}
labels:
  {{- include "common.labels" .root | nindent 2 }}
  {{- with .root.Values.kueueQueueName }}
  kueue.x-k8s.io/queue-name: {{ . }}
  {{- end }}
{{- end -}}

{{/* What an Indexed Job's spec has, one index per shard; shards and tries cannot be changed, so they belong into its name: (dict "shards" N "tries" N "deadline" SECONDS "ttl" SECONDS "containers" LIST). */}}
{{- define "common.indexedJob" -}}
completionMode: Indexed
completions: {{ int .shards }}
parallelism: {{ int .shards }}
backoffLimitPerIndex: {{ int .tries }}
# Without one share there is no whole.
maxFailedIndexes: 0
activeDeadlineSeconds: {{ int64 .deadline }}
ttlSecondsAfterFinished: {{ int64 .ttl }}
podReplacementPolicy: Failed
podFailurePolicy:
  rules:
    {{- include "common.podFailureRules" .containers | nindent 4 }}
{{- end -}}

{{/* Labels and annotations of a pod; (dict "root" . "labels" FURTHER). */}}
{{- define "common.podMetadata" -}}
labels:
  {{- include "common.labels" .root | nindent 2 }}
  {{- with .labels }}{{ toYaml . | nindent 2 }}{{ end }}
  {{- with .root.Values.podLabels }}{{ toYaml . | nindent 2 }}{{ end }}
{{- with .root.Values.podAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A container that tells progress: its variables, its mount, and the pod's volume. */}}
{{- define "common.progressEnv" -}}
- name: XPERIENCE_PROGRESS_JOB
  valueFrom: {fieldRef: {fieldPath: "metadata.labels['batch.kubernetes.io/job-name']"}}
- name: XPERIENCE_PROGRESS_JOB_UID
  valueFrom: {fieldRef: {fieldPath: "metadata.labels['batch.kubernetes.io/controller-uid']"}}
{{- end -}}

{{- define "common.progressMount" -}}
- {name: cluster-token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
{{- end -}}

{{- define "common.progressVolume" -}}
- name: cluster-token
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3600}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
      - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
{{- end -}}

{{/* The release's account, and, where progress is told, its rights: (dict "root" . "jobs" (list NAME …)). */}}
{{- define "common.account" -}}
{{- $jobs := .jobs -}}
{{- with .root -}}
{{- if .Values.serviceAccount.create }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "common.serviceAccountName" . }}
  labels: {{- include "common.labels" . | nindent 4 }}
  {{- with .Values.serviceAccount.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end }}
{{- if (default (dict) .Values.progress).enabled }}
---
# Patching the Job itself would allow too much: its own ConfigMaps alone, and new Events.
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ include "common.fullname" . }}-progress
  labels: {{- include "common.labels" . | nindent 4 }}
rules:
  - apiGroups: [""]
    resources: [configmaps]
    resourceNames:
      {{- range $jobs }}
      - {{ . }}-progress
      {{- end }}
    verbs: [get, patch]
  - apiGroups: [""]
    resources: [events]
    verbs: [create]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ include "common.fullname" . }}-progress
  labels: {{- include "common.labels" . | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ include "common.fullname" . }}-progress}
subjects:
  - {kind: ServiceAccount, name: {{ include "common.serviceAccountName" . }}, namespace: {{ .Release.Namespace }}}
{{- range $jobs }}
---
# The Job's progress, as it tells it (`xperience status`); no data here, so that an upgrade leaves it.
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ . }}-progress
  labels: {{- include "common.labels" $.root | nindent 4 }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* When another try of a pod would end the same: (list CONTAINER …). */}}
{{- define "common.podFailureRules" -}}
- action: Ignore
  onPodConditions:
    - {type: DisruptionTarget, status: "True"}
{{- range . }}
# Usage, bad data, no space, refused, configuration: another try would end the same.
- action: FailJob
  onExitCodes: {containerName: {{ . }}, operator: In, values: [64, 65, 73, 77, 78]}
{{- end }}
{{- end -}}

{{/* Whether a map of variables holds what belongs into a Secret. */}}
{{- define "common.refuseSecrets" -}}
{{- range $name, $_ := . }}
{{- if regexMatch "(?i)(TOKEN|SECRET|PASS|PASSWORD|ACCESS_KEY|ACCESS_KEY_ID)$" $name }}{{ fail (printf "ERROR: %s is a secret: put it into a Secret, not into a value." $name) }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* Egress rules: DNS, then TCP ports: (dict "root" . "ports" LIST). */}}
{{- define "common.egress" -}}
- ports:
    {{- range .root.Values.networkPolicy.dnsPorts }}
    - {protocol: UDP, port: {{ . }}}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- with .ports }}
# By port alone: hub and store are names, and a policy knows addresses.
- ports:
    {{- range . }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end }}
{{- with .root.Values.networkPolicy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Who scrapes the pods of the release, by their port "metrics". */}}
{{- define "common.podMonitor" -}}
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  name: {{ include "common.fullname" . }}
  labels:
    {{- include "common.labels" . | nindent 4 }}
    {{- with .Values.metrics.podMonitor.labels }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  jobLabel: app.kubernetes.io/name
  selector:
    matchLabels: {{- include "common.selectorLabels" . | nindent 6 }}
  podMetricsEndpoints:
    - {port: metrics, interval: {{ .Values.metrics.podMonitor.interval }}}
{{- end -}}
