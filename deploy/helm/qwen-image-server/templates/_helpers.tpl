{{- define "qwen.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "qwen.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "qwen.labels" -}}
{{ include "qwen.selector" . }}
app.kubernetes.io/part-of: qwen-image-server
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "qwen.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "qwen.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "qwen.image" -}}
{{- $device := ternary "cuda" "cpu" .Values.gpu.enabled -}}
{{- printf "%s:%s" .Values.image.repository (default (printf "%s-%s" .Chart.AppVersion $device) .Values.image.tag) -}}
{{- end -}}

{{- define "qwen.hasKeys" -}}
{{- if or .Values.auth.keys .Values.auth.existingSecret -}}true{{- end -}}
{{- end -}}

{{- define "qwen.hasWeights" -}}
{{- if or .Values.model.existingClaim .Values.model.hostPath -}}true{{- end -}}
{{- end -}}

{{/* From SIGTERM to the last answer: the running job, slow clients, the engine, open connections (5 s each), and some to spare. */}}
{{- define "qwen.graceSeconds" -}}
{{- $graceMs := dig "server" "shutdownGraceMs" 60000 .Values.config -}}
{{- add .Values.preStopSeconds (ceil (divf $graceMs 1000)) 20 -}}
{{- end -}}

{{/* What the server reads with --config. */}}
{{- define "qwen.config" -}}
{{- $own := dict -}}
{{- if include "qwen.hasKeys" . -}}
{{- $_ := set $own "auth" (dict "keys" "/etc/qwen-image-server/keys/keys.yaml") -}}
{{- end -}}
{{- $model := dict -}}
{{- if include "qwen.hasWeights" . -}}
{{- $_ := set $model "path" (clean (printf "/models/%s" .Values.model.folder)) -}}
{{- end -}}
{{- if .Values.gpu.enabled -}}
{{- $_ := set $model "device" "cuda" -}}
{{- end -}}
{{- if $model -}}
{{- $_ := set $own "model" $model -}}
{{- end -}}
{{- toYaml (mergeOverwrite $own (deepCopy .Values.config)) -}}
{{- end -}}

{{/* What a schema cannot say clearly. */}}
{{- define "qwen.checks" -}}
{{- if gt (int .Values.replicaCount) 1 -}}
{{- fail (printf "replicaCount is %d, allowed are 0 and 1: one server owns one jobs folder and one device. For more, install the chart once for each server" (int .Values.replicaCount)) -}}
{{- end -}}
{{- range $key, $instead := dict "server.host" "the chart sets it" "server.port" "the chart sets it; service.port is what clients see" "jobs.directory" "the chart sets it; jobs.persistence chooses the volume" "model.path" "set model.existingClaim or model.hostPath, and model.folder" "auth.keys" "set auth.keys or auth.existingSecret" "redis.url" "set redis.existingSecret" -}}
{{- $parts := splitList "." $key -}}
{{- if hasKey (default dict (get $.Values.config (first $parts))) (last $parts) -}}
{{- fail (printf "config.%s is not for the values: %s" $key $instead) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.model.existingClaim .Values.model.hostPath -}}
{{- fail "model.existingClaim and model.hostPath: set one of the two" -}}
{{- end -}}
{{- if and .Values.model.folder (not (include "qwen.hasWeights" .)) -}}
{{- fail "model.folder needs model.existingClaim or model.hostPath" -}}
{{- end -}}
{{- if and .Values.auth.keys .Values.auth.existingSecret -}}
{{- fail "auth.keys and auth.existingSecret: set one of the two" -}}
{{- end -}}
{{- if and (eq (dig "rateLimit" "storage" "memory" .Values.config) "redis") (not .Values.redis.existingSecret) -}}
{{- fail "config.rateLimit.storage is redis: set redis.existingSecret" -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled (include "qwen.hasKeys" .) (not .Values.serviceMonitor.keySecret.name) -}}
{{- fail "serviceMonitor.enabled with API keys needs serviceMonitor.keySecret.name: a Secret with a key of scope metrics" -}}
{{- end -}}
{{- end -}}
