{{/* Combinations that cannot work stop here, before anything reaches the cluster. */}}
{{- define "relay.validate" -}}
{{- $ssh := .Values.store.ssh -}}{{- $s3 := .Values.store.s3 -}}{{- $settings := .Values.settings -}}
{{- if and $ssh.host $s3.url }}{{ fail "ERROR: two stores: set store.ssh.host or store.s3.url, not both." }}{{ end -}}
{{- if not (or $ssh.host $s3.url) }}{{ fail "ERROR: no store: set store.ssh.host and store.ssh.root, or store.s3.url." }}{{ end -}}
{{- if and $ssh.host (not (regexMatch "^.+@(\\[[0-9a-fA-F:.]+\\]|[^]@:[]+)(:[0-9]+)?$" $ssh.host)) }}{{ fail "ERROR: store.ssh.host is not user@host[:port]; an IPv6 address stands in brackets." }}{{ end -}}
{{- if and $ssh.host (not (hasPrefix "/" $ssh.root)) }}{{ fail "ERROR: store.ssh.root is not an absolute path." }}{{ end -}}
{{- if and $ssh.host (not $ssh.secret) }}{{ fail "ERROR: store.ssh.secret is missing: a Secret with id_ed25519 and known_hosts." }}{{ end -}}
{{- if and $s3.url (not (and $s3.writerSecret $s3.readerSecret)) }}{{ fail "ERROR: store.s3.writerSecret and store.s3.readerSecret are needed." }}{{ end -}}
{{- if not .Values.hub.tokenSecret.name }}{{ fail "ERROR: hub.tokenSecret.name is missing: a Secret with the hub token." }}{{ end -}}
{{- if gt (len (compact (list .Values.selection.packed .Values.selection.existingConfigMap .Values.selection.url))) 1 }}{{ fail "ERROR: two selections: set one of selection.packed, selection.existingConfigMap, selection.url." }}{{ end -}}
{{- if and .Values.selection.url (not (regexMatch "^[0-9a-f]{64}$" .Values.selection.sha256)) }}{{ fail "ERROR: selection.url needs selection.sha256, the hash of the file there." }}{{ end -}}
{{- if lt (int .Values.relay.shards) 1 }}{{ fail "ERROR: relay.shards is less than 1." }}{{ end -}}
{{- if and (gt (int .Values.relay.shards) 1) .Values.scratch.existingClaim }}{{ fail "ERROR: relay.shards on one claim: unset scratch.existingClaim, so that each shard gets its own." }}{{ end -}}
{{- $budget := addf (default $settings.batch_max_gib $settings.scratch_budget_gib) $settings.headroom_gib -}}
{{- if gt $budget (float64 .Values.scratch.sizeGib) }}{{ fail (printf "ERROR: scratch.sizeGib %v is smaller than budget and headroom (%v GiB)." .Values.scratch.sizeGib $budget) }}{{ end -}}
{{- if gt (float64 .Values.selection.largestFileGib) (subf $budget $settings.headroom_gib) }}{{ fail (printf "ERROR: settings.scratch_budget_gib %v is smaller than the largest file (selection.largestFileGib %v)." $settings.scratch_budget_gib .Values.selection.largestFileGib) }}{{ end -}}
{{- if and .Values.scratch.existingClaim .Values.scratch.ephemeral }}{{ fail "ERROR: two scratch volumes: set scratch.existingClaim or scratch.ephemeral." }}{{ end -}}
{{- include "common.refuseSecrets" (merge (dict) .Values.rcloneEnv .Values.proxyEnv) -}}
{{- $memory := add 256 (mul 24 (int $settings.chunk_parallel)) -}}
{{- if gt $memory (int64 .Values.resources.rcloneMemoryMib) }}{{ fail (printf "ERROR: resources.rcloneMemoryMib %v is less than %d connections need (%d)." .Values.resources.rcloneMemoryMib (int $settings.chunk_parallel) $memory) }}{{ end -}}
{{- end -}}

{{- define "relay.selectionConfigMap" -}}
{{- if .Values.selection.existingConfigMap -}}
{{- .Values.selection.existingConfigMap -}}
{{- else if .Values.selection.packed -}}
{{- printf "%s-selection" (include "common.fullname" .) -}}
{{- end -}}
{{- end -}}

{{/* Name of a shard's objects: (dict "root" . "shard" INDEX). */}}
{{- define "relay.shardName" -}}
{{- include "common.fullname" .root -}}{{- if gt (int .root.Values.relay.shards) 1 }}-{{ .shard }}{{ end -}}
{{- end -}}

{{- define "relay.scratchClaim" -}}
{{- default (printf "%s-scratch" (include "relay.shardName" .)) .root.Values.scratch.existingClaim -}}
{{- end -}}

{{- define "relay.jobName" -}}
{{- $mounted := include (print .root.Template.BasePath "/configmaps.yaml") .root -}}
{{- include "relay.shardName" . }}-{{ print (include "relay.podTemplate" .) $mounted | sha256sum | trunc 8 -}}
{{- end -}}

{{- define "relay.claimSpec" -}}
accessModes: [ReadWriteOnce]
{{- with .Values.scratch.storageClassName }}
storageClassName: {{ . }}
{{- end }}
resources:
  requests: {storage: {{ .Values.scratch.sizeGib }}Gi}
{{- end -}}

{{/* Variables of the sidecar; those of the values win. */}}
{{- define "relay.rcloneEnv" -}}
{{- $env := dict
  "RCLONE_CONFIG" "/etc/xperience/rclone/rclone.conf"
  "RCLONE_USE_JSON_LOG" "true"
  "HOME" "/tmp" -}}
{{- /* Go collects before the limit kills it. */ -}}
{{- $_ := set $env "GOMEMLIMIT" (printf "%dMiB" (div (mul 9 (int64 .Values.resources.rcloneMemoryMib)) 10)) -}}
{{- if .Values.customCa.configMap }}{{ $_ := set $env "SSL_CERT_FILE" "/etc/xperience/ca/ca.crt" }}{{ end -}}
{{- include "common.env" (merge (dict) .Values.rcloneEnv .Values.proxyEnv $env) -}}
{{- end -}}

{{/* Settings as XPERIENCE_… variables: those of the values, and those that the pod's own layout gives. */}}
{{- define "relay.env" -}}
{{- $shard := .shard -}}
{{- with .root -}}
{{- $env := dict
  "XPERIENCE_HF_ENDPOINT" .Values.hub.endpoint
  "XPERIENCE_HF_TOKEN_PATH" "/var/run/xperience/hub/token"
  "XPERIENCE_RELAY_ROOT" "/scratch/relay"
  "XPERIENCE_RCLONE_SOCKET" "/run/rclone/rc.sock"
  "XPERIENCE_RCLONE_FS" "store:"
  "XPERIENCE_LOCK_WAIT_SECONDS" (add 30 (int64 .Values.job.terminationGracePeriodSeconds))
  "HOME" "/tmp" -}}
{{- if include "relay.selectionConfigMap" . }}{{ $_ := set $env "XPERIENCE_SELECTION_JSON" "/etc/xperience/selection/selection" }}{{ end -}}
{{- if .Values.requiredProbe.configMap }}{{ $_ := set $env "XPERIENCE_REQUIRE_PROBE" "/etc/xperience/probe/probe.json" }}{{ end -}}
{{- with .Values.selection.url }}{{ $_ := set $env "XPERIENCE_SELECTION_URL" . }}{{ $_ := set $env "XPERIENCE_SELECTION_SHA256" $.root.Values.selection.sha256 }}{{ end -}}
{{- if gt (int .Values.relay.shards) 1 }}{{ $_ := set $env "XPERIENCE_SHARD" (printf "%d/%d" (int $shard) (int .Values.relay.shards)) }}{{ end -}}
{{- if .Values.store.ssh.host -}}
{{- $_ := set $env "XPERIENCE_TRANSFER_HOST" .Values.store.ssh.host -}}
{{- $_ := set $env "XPERIENCE_TRANSFER_ROOT" .Values.store.ssh.root -}}
{{- else -}}
{{- $_ := set $env "XPERIENCE_STORE" .Values.store.s3.url -}}
{{- $_ := set $env "XPERIENCE_S3_ENDPOINT" .Values.store.s3.endpoint -}}
{{- $_ := set $env "XPERIENCE_S3_REGION" .Values.store.s3.region -}}
{{- $_ := set $env "XPERIENCE_S3_PROVIDER" .Values.store.s3.provider -}}
{{- end -}}
{{- if .Values.metrics.enabled }}{{ $_ := set $env "XPERIENCE_METRICS_PORT" .Values.metrics.port }}{{ $_ := set $env "XPERIENCE_DEADLINE_SECONDS" .Values.job.activeDeadlineSeconds }}{{ end -}}
{{- if .Values.customCa.configMap }}{{ $_ := set $env "SSL_CERT_FILE" "/etc/xperience/ca/ca.crt" }}{{ $_ := set $env "AWS_CA_BUNDLE" "/etc/xperience/ca/ca.crt" }}{{ end -}}
{{- range $name, $value := .Values.settings }}{{ $_ := set $env (printf "XPERIENCE_%s" (upper $name)) $value }}{{ end -}}
{{- include "common.env" (merge (dict) .Values.proxyEnv $env) -}}
{{- end -}}
{{- end -}}

{{/* Port of user@host[:port]. */}}
{{- define "relay.sshPort" -}}
{{- regexFind ":[0-9]+$" .Values.store.ssh.host | trimPrefix ":" | default "22" -}}
{{- end -}}

{{/* TCP ports of hub, proxies and store, as their values say. */}}
{{- define "relay.egressPorts" -}}
{{- $ports := list (include "common.port" .Values.hub.endpoint) -}}
{{- with .Values.selection.url }}{{ $ports = append $ports (include "common.port" .) }}{{ end -}}
{{- if .Values.progress.enabled }}{{ $ports = concat $ports (.Values.networkPolicy.apiServerPorts | toStrings) }}{{ end -}}
{{- range $name, $address := .Values.proxyEnv }}
{{- if regexMatch "(?i)^https?_proxy$" $name }}{{ $ports = append $ports (include "common.port" $address) }}{{ end -}}
{{- end -}}
{{- if .Values.store.ssh.host -}}
{{- $ports = append $ports (include "relay.sshPort" .) -}}
{{- else -}}
{{- $ports = append $ports (include "common.port" (.Values.store.s3.endpoint | default "https://s3")) -}}
{{- end -}}
{{- $ports | uniq | toJson -}}
{{- end -}}
