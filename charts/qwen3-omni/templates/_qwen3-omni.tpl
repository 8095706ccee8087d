{{- define "qwen3-omni.places" -}}
XPERIENCE_WINDOWS: /data/{{ .Values.data.windowsPath }}
XPERIENCE_OUTPUT: /data/{{ .Values.data.outputPath }}
{{- end -}}

{{- define "qwen3-omni.validate" -}}
{{- if not .Values.model.claim }}{{ fail "ERROR: model.claim is missing: the claim that holds the base model." }}{{ end -}}
{{- include "common.trainer.validate" . -}}
{{- if not (has .Values.stage (list "train" "evaluate")) }}{{ fail (printf "ERROR: stage is train or evaluate, not %q." .Values.stage) }}{{ end -}}
{{- if lt (int .Values.evaluate.shards) 1 }}{{ fail "ERROR: evaluate.shards is less than 1." }}{{ end -}}
{{- end -}}

{{/* A change of what the pods do makes another job: the old one's are immutable. */}}
{{- define "qwen3-omni.jobName" -}}
{{- $template := ternary (include "qwen3-omni.evaluatePod" .) (include "common.trainer.pod" (dict "root" . "container" "pytorch" "args" (list "xperience" "qwen3-omni" "train") "gate" "train")) (eq .Values.stage "evaluate") -}}
{{- include "common.fullname" . }}-{{ print $template .Values.trainer.workers .Values.trainer.api .Values.evaluate.shards .Values.evaluate.backoffLimitPerShard | sha256sum | trunc 8 -}}
{{- end -}}

{{- define "qwen3-omni.evaluateContainer" -}}
{{- include "common.trainer.container" . }}
env:
  {{- include "common.trainer.env" . | nindent 2 }}
  - {name: XPERIENCE_SHARDS, value: {{ .Values.evaluate.shards | quote }}}
resources: {{- include "common.trainer.resources" . | nindent 2 }}
{{- end -}}

{{- define "qwen3-omni.evaluatePod" -}}
metadata: {{- include "common.podMetadata" (dict "root" . "labels" (dict "app.kubernetes.io/component" "evaluate")) | nindent 2 }}
spec:
  restartPolicy: Never
  {{- include "common.podSpec" (dict "root" . "graceSeconds" .Values.trainer.terminationGracePeriodSeconds) | nindent 2 }}
  {{- if .Values.evaluate.zeroShot }}
  initContainers:
    - name: zero-shot
      args: [qwen3-omni, evaluate, --zero-shot]
      {{- include "qwen3-omni.evaluateContainer" . | nindent 6 }}
  {{- end }}
  containers:
    - name: evaluate
      args: [qwen3-omni, evaluate]
      {{- include "qwen3-omni.evaluateContainer" . | nindent 6 }}
  volumes:
    {{- include "common.trainer.volumes" . | nindent 4 }}
{{- end -}}
