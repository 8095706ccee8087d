{{/* Pods that train on several hosts, and the two APIs that run them: PyTorchJob and TrainJob, of the same pod. */}}

{{/* Combinations that cannot work stop here. */}}
{{- define "common.trainer.validate" -}}
{{- if not .Values.data.claim }}{{ fail "ERROR: data.claim is missing: the claim that holds evidence, windows and results." }}{{ end -}}
{{- $paths := dict "model.path" .Values.model.path -}}
{{- range $name, $path := omit .Values.data "claim" }}{{ $_ := set $paths (printf "data.%s" $name) $path }}{{ end -}}
{{- range $name, $path := $paths }}
{{- if or (hasPrefix "/" $path) (contains ".." $path) (not $path) }}{{ fail (printf "ERROR: %s is a folder in its claim, not %q." $name $path) }}{{ end -}}
{{- end -}}
{{- if not (has .Values.trainer.api (list "pytorchjob" "trainjob")) }}{{ fail (printf "ERROR: trainer.api is pytorchjob or trainjob, not %q." .Values.trainer.api) }}{{ end -}}
{{- if lt (int .Values.trainer.workers) 1 }}{{ fail "ERROR: trainer.workers is less than 1." }}{{ end -}}
{{- if lt (int .Values.trainer.terminationGracePeriodSeconds) 30 }}{{ fail "ERROR: trainer.terminationGracePeriodSeconds is less than 30: a checkpoint has to be written in it." }}{{ end -}}
{{- if and .Values.gang.schedulerName .Values.kueueQueueName }}{{ fail "ERROR: gang.schedulerName and kueueQueueName are both set: one of them admits the job." }}{{ end -}}
{{- if and .Values.hub.offline .Values.hub.tokenSecret }}{{ fail "ERROR: hub.tokenSecret is set and hub.offline is true: a token that nothing uses." }}{{ end -}}
{{- include "common.refuseSecrets" .Values.extraEnv -}}
{{- end -}}

{{/* Processes of a worker: its GPUs, or trainer.processesPerWorker where it has none. */}}
{{- define "common.trainer.processes" -}}
{{- ternary .Values.trainer.processesPerWorker .Values.gpu.count (eq (int .Values.gpu.count) 0) -}}
{{- end -}}

{{/* The chart's own variables come from its template <chart>.places, a map as YAML. */}}
{{- define "common.trainer.env" -}}
{{- $env := merge (include (printf "%s.places" .Chart.Name) . | fromYaml) (dict
  "XPERIENCE_EVIDENCE" (printf "/data/%s" .Values.data.evidencePath)
  "XPERIENCE_BASE" (printf "/models/%s" .Values.model.path)
  "HF_HUB_OFFLINE" (ternary "1" "0" .Values.hub.offline)
  "HF_HOME" "/tmp/huggingface"
  "HOME" "/tmp") -}}
{{- range $name, $value := .Values.settings }}{{ $_ := set $env (printf "XPERIENCE_%s" (upper $name)) $value }}{{ end -}}
{{- include "common.env" (merge (dict) .Values.extraEnv $env) | trim }}
{{- with .Values.hub.tokenSecret }}
- name: HF_TOKEN_PATH
  value: /etc/xperience/hub/token
{{- end }}
{{- end -}}

{{/* What every container of these pods has. A model in the data's claim is in its volume: a pod with two volumes of one claim never starts. */}}
{{- define "common.trainer.container" -}}
image: {{ include "common.image" (dict "image" .Values.image.train "version" .Chart.AppVersion) }}
imagePullPolicy: {{ .Values.image.train.pullPolicy }}
securityContext: {{- include "common.containerSecurityContext" . | nindent 2 }}
terminationMessagePolicy: FallbackToLogsOnError
volumeMounts:
  - {name: data, mountPath: /data}
  {{- if .Values.model.claim }}
  - {name: {{ ternary "data" "models" (eq .Values.model.claim .Values.data.claim) }}, mountPath: /models, readOnly: true}
  {{- end }}
  - {name: tmp, mountPath: /tmp}
  - {name: shm, mountPath: /dev/shm}
  {{- if .Values.hub.tokenSecret }}
  - {name: hub-token, mountPath: /etc/xperience/hub, readOnly: true}
  {{- end }}
  {{- with .Values.extraVolumeMounts }}{{ toYaml . | nindent 2 }}{{ end }}
{{- end -}}

{{- define "common.trainer.resources" -}}
{{- $resources := deepCopy .Values.resources -}}
{{- if gt (int .Values.gpu.count) 0 -}}
{{- $_ := set $resources "limits" (merge (dict .Values.gpu.resource (int .Values.gpu.count)) (default (dict) $resources.limits)) -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{/*
The gate writes its exit code and the main container ends with it: the training operator takes a pod whose init container
failed for one to try again, for ever.
*/}}
{{- define "common.trainer.gate" -}}
- name: gate
  command: [sh, -c, 'xperience gates --for "$1" --output /gate/gates.json; echo $? >/gate/code', gate, {{ .step }}]
  {{- $container := include "common.trainer.container" .root | fromYaml }}
  {{- $_ := set $container "volumeMounts" (append $container.volumeMounts (dict "name" "gate" "mountPath" "/gate")) }}
  {{- toYaml $container | nindent 2 }}
  env: {{- include "common.trainer.env" .root | nindent 4 }}
  resources: {{- toYaml .root.Values.gate.resources | nindent 4 }}
{{- end -}}

{{- define "common.trainer.volumes" -}}
- name: data
  persistentVolumeClaim: {claimName: {{ .Values.data.claim }}}
{{- if and .Values.model.claim (ne .Values.model.claim .Values.data.claim) }}
- name: models
  persistentVolumeClaim: {claimName: {{ .Values.model.claim }}, readOnly: true}
{{- end }}
- name: tmp
  emptyDir: {sizeLimit: {{ .Values.tmpSize }}}
- name: shm
  emptyDir: {medium: Memory, sizeLimit: {{ .Values.shmSize }}}
{{- with .Values.hub.tokenSecret }}
- name: hub-token
  secret: {secretName: {{ . }}, defaultMode: 0440, items: [{key: token, path: token}]}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A worker: (dict "root" . "container" NAME "args" (list PROGRAM …) "gate" STEP "image" "another than the gate's"). */}}
{{- define "common.trainer.pod" -}}
{{- $root := .root -}}
metadata: {{- include "common.podMetadata" (dict "root" .root "labels" (dict "app.kubernetes.io/component" "worker")) | nindent 2 }}
spec:
  {{- include "common.podSpec" (dict "root" .root "graceSeconds" .root.Values.trainer.terminationGracePeriodSeconds) | nindent 2 }}
  {{- with .root.Values.gang.schedulerName }}
  schedulerName: {{ . }}
  {{- end }}
  {{- if .root.Values.trainer.onePerNode }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: DoNotSchedule
      labelSelector:
        matchLabels: {{- include "common.selectorLabels" .root | nindent 10 }}
  {{- end }}
  initContainers:
    {{- include "common.trainer.gate" (dict "root" .root "step" .gate) | nindent 4 }}
  containers:
    - name: {{ .container }}
      command: [sh, -c, 'code=$(cat /gate/code); if [ "$code" != 0 ]; then echo "refused: the gates for $1 do not pass, see the log of container gate" >&2; exit "$code"; fi; shift; exec "$@"', train, {{ .gate }}]
      args: {{- toYaml .args | nindent 8 }}
      {{- $container := include "common.trainer.container" .root | fromYaml }}
      {{- $_ := set $container "volumeMounts" (append $container.volumeMounts (dict "name" "gate" "mountPath" "/gate" "readOnly" true)) }}
      {{- if .image }}{{ $_ := set $container "image" .image }}{{ end }}
      {{- toYaml $container | nindent 6 }}
      env:
        {{- include "common.trainer.env" .root | nindent 8 }}
        - name: XPERIENCE_METRICS_PORT
          value: {{ .root.Values.metrics.port | quote }}
        # torchrun ends workers that are not done by then; the rest of the grace period is for what it prints.
        - name: TORCH_ELASTIC_SHUTDOWN_TIMEOUT
          value: {{ sub (int64 .root.Values.trainer.terminationGracePeriodSeconds) 15 | quote }}
        {{- range $name, $value := .root.Values.nccl }}
        - {name: {{ $name }}, value: {{ include "common.text" $value | quote }}}
        {{- end }}
      ports:
        - {name: metrics, containerPort: {{ int .root.Values.metrics.port }}}
      resources: {{- include "common.trainer.resources" .root | nindent 8 }}
  volumes:
    {{- include "common.trainer.volumes" .root | nindent 4 }}
    - name: gate
      emptyDir: {sizeLimit: 1Mi}
{{- end -}}

{{/*
Worker-only with elasticPolicy: a Master would get the operator an init container of its own into every worker, which the
restricted profile refuses, and without elasticPolicy workers alone get no rendezvous. (dict "root" . "name" NAME, and the pod's)
*/}}
{{- define "common.trainer.pytorchjob" -}}
{{- $v := .root.Values -}}
apiVersion: kubeflow.org/v1
kind: PyTorchJob
metadata: {{- include "common.jobMetadata" . | nindent 2 }}
spec:
  nprocPerNode: {{ include "common.trainer.processes" .root | quote }}
  elasticPolicy:
    minReplicas: {{ int $v.trainer.workers }}
    maxReplicas: {{ int $v.trainer.workers }}
    rdzvBackend: c10d
    rdzvId: {{ .name }}
    maxRestarts: {{ int $v.trainer.restarts }}
  runPolicy:
    cleanPodPolicy: {{ $v.trainer.cleanPodPolicy }}
    backoffLimit: {{ int $v.trainer.restarts }}
    activeDeadlineSeconds: {{ int64 $v.trainer.activeDeadlineSeconds }}
    ttlSecondsAfterFinished: {{ int64 $v.trainer.ttlSecondsAfterFinished }}
    {{- if $v.gang.schedulerName }}
    schedulingPolicy:
      minAvailable: {{ int $v.trainer.workers }}
      {{- with $v.gang.queue }}
      queue: {{ . }}
      {{- end }}
    {{- end }}
  pytorchReplicaSpecs:
    Worker:
      replicas: {{ int $v.trainer.workers }}
      # 143 (stopped, checkpoint complete) and other codes from 128 on get a new pod, what refuses or is wrong fails the job.
      restartPolicy: ExitCode
      template: {{- include "common.trainer.pod" (merge (dict "container" "pytorch") .) | nindent 8 }}
{{- end -}}

{{/*
The same pod under Kubeflow Trainer v2: a TrainingRuntime of the release's own, and the TrainJob. Helm sorts kinds that it does not
know by name, so that the job would come first, which the webhook refuses: in a List the runtime is before it.
*/}}
{{- define "common.trainer.trainjob" -}}
apiVersion: v1
kind: List
metadata: {name: {{ .name }}}
items:
  - {{- include "common.trainer.runtime" . | nindent 4 }}
---
apiVersion: trainer.kubeflow.org/v1alpha1
kind: TrainJob
metadata: {{- include "common.jobMetadata" . | nindent 2 }}
spec:
  runtimeRef: {apiGroup: trainer.kubeflow.org, kind: TrainingRuntime, name: {{ .name }}}
  # Without a trainer of its own the job's pods get no rendezvous, and each trains alone.
  trainer: {numNodes: {{ int .root.Values.trainer.workers }}}
{{- end -}}

{{- define "common.trainer.runtime" -}}
{{- $v := .root.Values -}}
apiVersion: trainer.kubeflow.org/v1alpha1
kind: TrainingRuntime
metadata:
  name: {{ .name }}
  labels:
    {{- include "common.labels" .root | nindent 4 }}
    trainer.kubeflow.org/framework: torch
spec:
  mlPolicy:
    numNodes: {{ int $v.trainer.workers }}
    torch:
      numProcPerNode: {{ int (include "common.trainer.processes" .root) }}
  {{- if $v.gang.schedulerName }}
  podGroupPolicy:
    coscheduling: {scheduleTimeoutSeconds: 600}
  {{- end }}
  template:
    spec:
      # All hosts again, from the checkpoint, where one is lost; never where the pod's failure policy said no.
      failurePolicy:
        maxRestarts: {{ int $v.trainer.restarts }}
        rules:
          - {name: refused, action: FailJobSet, onJobFailureReasons: [PodFailurePolicy]}
      replicatedJobs:
        - name: node
          template:
            metadata:
              labels: {trainer.kubeflow.org/trainjob-ancestor-step: trainer}
            spec:
              backoffLimit: 0
              podReplacementPolicy: Failed
              podFailurePolicy:
                rules:
                  {{- include "common.podFailureRules" (list "node") | nindent 18 }}
              template:
                {{- $pod := include "common.trainer.pod" (merge (dict "container" "node") .) | fromYaml }}
                {{- $_ := set $pod.spec "restartPolicy" "Never" }}
                {{- toYaml $pod | nindent 16 }}
{{- end -}}

{{/* Ranks reach each other on all ports, as NCCL and gloo choose theirs; nobody else but who scrapes comes in. */}}
{{- define "common.trainer.networkPolicy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "common.fullname" . }}
  labels: {{- include "common.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels: {{- include "common.selectorLabels" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
    - from:
        - podSelector:
            matchLabels: {{- include "common.selectorLabels" . | nindent 14 }}
    {{- with .Values.networkPolicy.monitoringFrom }}
    - from: {{- toYaml . | nindent 8 }}
      ports:
        - {protocol: TCP, port: {{ int $.Values.metrics.port }}}
    {{- end }}
  egress:
    - to:
        - podSelector:
            matchLabels: {{- include "common.selectorLabels" . | nindent 14 }}
    {{- include "common.egress" (dict "root" . "ports" (ternary (list) (list "443") .Values.hub.offline)) | nindent 4 }}
{{- end -}}
