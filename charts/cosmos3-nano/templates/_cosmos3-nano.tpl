{{- define "cosmos3-nano.places" -}}
XPERIENCE_RECORDS: /data/{{ .Values.data.recordsPath }}
XPERIENCE_MANIFEST_JSON: /data/{{ .Values.data.evidencePath }}/episode_manifest_128.json
{{- if eq .Values.stage "compatibility" }}
XPERIENCE_OUTPUT: /data/{{ .Values.data.evidencePath }}/cosmos3_nano_compatibility.json
{{- else if eq .Values.stage "post-training" }}
XPERIENCE_OUTPUT: /data/{{ .Values.data.outputPath }}
{{- end }}
{{- end -}}

{{- define "cosmos3-nano.validate" -}}
{{- if not (has .Values.stage (list "export" "compatibility" "post-training")) }}{{ fail (printf "ERROR: stage is export, compatibility or post-training, not %q." .Values.stage) }}{{ end -}}
{{- include "common.trainer.validate" . -}}
{{- $official := .Values.officialTrainer -}}
{{- if eq .Values.stage "post-training" -}}
{{- if not .Values.model.claim }}{{ fail "ERROR: model.claim is missing: the claim that holds the base model." }}{{ end -}}
{{- if ne (empty $official.image) (empty $official.command) }}{{ fail "ERROR: officialTrainer.image and officialTrainer.command go together." }}{{ end -}}
{{- else -}}
{{- if $official.image }}{{ fail "ERROR: officialTrainer.image is for stage post-training." }}{{ end -}}
{{- if and (eq .Values.stage "export") (gt (int .Values.trainer.workers) 1) }}{{ fail "ERROR: trainer.workers is more than 1: stage export is one worker." }}{{ end -}}
{{- $clips := dig "clips" 2 .Values.settings | int -}}
{{- $processes := mul (int .Values.trainer.workers) (int (include "common.trainer.processes" .)) -}}
{{- if and (eq .Values.stage "compatibility") (gt $processes $clips) }}{{ fail (printf "ERROR: settings.clips is %d: %d processes share the clips, each needs one." $clips $processes) }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* Container, gate, image and command of the worker, as YAML. */}}
{{- define "cosmos3-nano.worker" -}}
{{- if eq .Values.stage "post-training" }}
gate: cosmos-post-training
{{- with .Values.officialTrainer }}
image: {{ .image | quote }}
args: {{- .command | default (list "xperience" "cosmos3-nano" "train") | toYaml | nindent 2 }}
{{- end }}
{{- else }}
gate: cosmos-compatibility
args: [xperience, cosmos3-nano, {{ ternary "export" "check" (eq .Values.stage "export") }}]
{{- end }}
{{- end -}}

{{- define "cosmos3-nano.jobName" -}}
{{- $pod := include "common.trainer.pod" (merge (dict "root" . "container" "pytorch") (include "cosmos3-nano.worker" . | fromYaml)) -}}
{{- include "common.fullname" . }}-{{ print $pod .Values.stage .Values.trainer.workers .Values.trainer.api | sha256sum | trunc 8 -}}
{{- end -}}
