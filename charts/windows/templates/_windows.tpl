{{/* Combinations that cannot work stop here, before anything reaches the cluster. */}}
{{- define "windows.validate" -}}
{{- if not .Values.data.claim }}{{ fail "ERROR: data.claim is missing: the claim that holds data root and evidence." }}{{ end -}}
{{- range list .Values.data.path .Values.data.evidencePath .Values.data.windowsPath }}
{{- if or (hasPrefix "/" .) (contains ".." .) (not .) }}{{ fail (printf "ERROR: data.path, data.evidencePath and data.windowsPath are folders in the claim, not %q." .) }}{{ end -}}
{{- end -}}
{{- if lt (int .Values.shards) 1 }}{{ fail "ERROR: shards is less than 1." }}{{ end -}}
{{- end -}}

{{- define "windows.jobName" -}}
{{- include "common.fullname" . }}-{{ print (include "windows.podTemplate" .) .Values.shards .Values.job.backoffLimitPerShard | sha256sum | trunc 8 -}}
{{- end -}}

{{- define "windows.env" -}}
{{- $env := dict
  "TRAINING_DATA_ROOT" (printf "/data/%s" .Values.data.path)
  "XPERIENCE_MANIFEST_JSON" (printf "/data/%s/episode_manifest_128.json" .Values.data.evidencePath)
  "XPERIENCE_WINDOWS" (printf "/data/%s" .Values.data.windowsPath)
  "XPERIENCE_SHARDS" .Values.shards
  "HOME" "/tmp" -}}
{{- range $name, $value := .Values.settings }}{{ $_ := set $env (printf "XPERIENCE_%s" (upper $name)) $value }}{{ end -}}
{{- include "common.env" $env | trim }}
{{- end -}}

{{- define "windows.podTemplate" -}}
metadata: {{- include "common.podMetadata" (dict "root" . "labels" (dict)) | nindent 2 }}
spec:
  restartPolicy: Never
  {{- include "common.podSpec" (dict "root" . "graceSeconds" .Values.job.terminationGracePeriodSeconds) | nindent 2 }}
  containers:
    - name: windows
      args: [windows, build]
      image: {{ include "common.image" (dict "image" .Values.image.prepare "version" .Chart.AppVersion) }}
      imagePullPolicy: {{ .Values.image.prepare.pullPolicy }}
      securityContext: {{- include "common.containerSecurityContext" . | nindent 8 }}
      terminationMessagePolicy: FallbackToLogsOnError
      env: {{- include "windows.env" . | nindent 8 }}
      resources: {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - {name: data, mountPath: /data}
        - {name: tmp, mountPath: /tmp}
  volumes:
    - name: data
      persistentVolumeClaim: {claimName: {{ .Values.data.claim }}}
    - name: tmp
      emptyDir: {sizeLimit: 256Mi}
{{- end -}}
