{{/* A value as text. Numbers of values.yaml are floats, and from 1000000 on they print as 1e+06 otherwise. */}}
{{- define "common.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end -}}

{{/* A map as a container's variables, sorted by name; a map has none twice, which server-side apply would refuse. */}}
{{- define "common.env" -}}
{{- range $name := keys . | sortAlpha }}
- name: {{ $name }}
  value: {{ include "common.text" (get $ $name) | quote }}
{{- end }}
{{- end -}}

{{/* Port of an address, else its scheme's. */}}
{{- define "common.port" -}}
{{- $parts := urlParse . -}}
{{- regexFind ":[0-9]+$" $parts.host | trimPrefix ":" | default (eq $parts.scheme "http" | ternary "80" "443") -}}
{{- end -}}
