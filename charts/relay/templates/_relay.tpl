{{/* Combinations that cannot work stop here, before anything reaches the cluster. */}}
{{- define "relay.validate" -}}
{{- $ssh := .Values.store.ssh -}}{{- $s3 := .Values.store.s3 -}}{{- $settings := .Values.settings -}}
{{- if and $ssh.host $s3.url }}{{ fail "ERROR: two stores: set store.ssh.host or store.s3.url, not both." }}{{ end -}}
{{- if not (or $ssh.host $s3.url) }}{{ fail "ERROR: no store: set store.ssh.host and store.ssh.root, or store.s3.url." }}{{ end -}}
{{- if and $ssh.host (not (hasPrefix "/" $ssh.root)) }}{{ fail "ERROR: store.ssh.root is not an absolute path." }}{{ end -}}
{{- if and $ssh.host (not $ssh.secret) }}{{ fail "ERROR: store.ssh.secret is missing: a Secret with id_ed25519 and known_hosts." }}{{ end -}}
{{- if and $s3.url (not (and $s3.writerSecret $s3.readerSecret)) }}{{ fail "ERROR: store.s3.writerSecret and store.s3.readerSecret are needed." }}{{ end -}}
{{- if not .Values.hub.tokenSecret.name }}{{ fail "ERROR: hub.tokenSecret.name is missing: a Secret with the hub token." }}{{ end -}}
{{- if and .Values.selection.packed .Values.selection.existingConfigMap }}{{ fail "ERROR: two selections: set selection.packed or selection.existingConfigMap." }}{{ end -}}
{{- $budget := addf (default $settings.batch_max_gib $settings.scratch_budget_gib) $settings.headroom_gib -}}
{{- if gt $budget (float64 .Values.scratch.sizeGib) }}{{ fail (printf "ERROR: scratch.sizeGib %v is smaller than budget and headroom (%v GiB)." .Values.scratch.sizeGib $budget) }}{{ end -}}
{{- $memory := add 256 (mul 16 (int $settings.chunk_parallel)) -}}
{{- if gt $memory (int64 .Values.resources.rcloneMemoryMib) }}{{ fail (printf "ERROR: resources.rcloneMemoryMib %v is less than %d connections need (%d)." .Values.resources.rcloneMemoryMib (int $settings.chunk_parallel) $memory) }}{{ end -}}
{{- end -}}

{{- define "relay.selectionConfigMap" -}}
{{- if .Values.selection.existingConfigMap -}}
{{- .Values.selection.existingConfigMap -}}
{{- else if .Values.selection.packed -}}
{{- printf "%s-selection" (include "common.fullname" .) -}}
{{- end -}}
{{- end -}}

{{- define "relay.scratchClaim" -}}
{{- default (printf "%s-scratch" (include "common.fullname" .)) .Values.scratch.existingClaim -}}
{{- end -}}

{{/* Settings as XPERIENCE_… variables: those of the values, and those that the pod's own layout gives. */}}
{{- define "relay.env" -}}
{{- $env := dict
  "XPERIENCE_HF_ENDPOINT" .Values.hub.endpoint
  "XPERIENCE_HF_TOKEN_PATH" "/var/run/xperience/hub/token"
  "XPERIENCE_RELAY_ROOT" "/scratch/relay"
  "XPERIENCE_RCLONE_SOCKET" "/run/rclone/rc.sock"
  "XPERIENCE_RCLONE_FS" "store:"
  "HOME" "/tmp" -}}
{{- if include "relay.selectionConfigMap" . }}{{ $_ := set $env "XPERIENCE_SELECTION_JSON" "/etc/xperience/selection/selection" }}{{ end -}}
{{- if .Values.store.ssh.host -}}
{{- $_ := set $env "XPERIENCE_TRANSFER_HOST" .Values.store.ssh.host -}}
{{- $_ := set $env "XPERIENCE_TRANSFER_ROOT" .Values.store.ssh.root -}}
{{- else -}}
{{- $_ := set $env "XPERIENCE_STORE" .Values.store.s3.url -}}
{{- $_ := set $env "XPERIENCE_S3_ENDPOINT" .Values.store.s3.endpoint -}}
{{- $_ := set $env "XPERIENCE_S3_REGION" .Values.store.s3.region -}}
{{- $_ := set $env "XPERIENCE_S3_PROVIDER" .Values.store.s3.provider -}}
{{- end -}}
{{- if .Values.metrics.enabled }}{{ $_ := set $env "XPERIENCE_METRICS_PORT" .Values.metrics.port }}{{ end -}}
{{- if .Values.customCa.configMap }}{{ $_ := set $env "SSL_CERT_FILE" "/etc/xperience/ca/ca.crt" }}{{ end -}}
{{- range $name, $value := .Values.settings }}{{ $_ := set $env (printf "XPERIENCE_%s" (upper $name)) $value }}{{ end -}}
{{- range $name, $value := .Values.proxyEnv }}{{ $_ := set $env $name $value }}{{ end -}}
{{- range $name := keys $env | sortAlpha }}
- name: {{ $name }}
  value: {{ get $env $name | toString | quote }}
{{- end }}
{{- end -}}
