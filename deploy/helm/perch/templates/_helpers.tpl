{{- define "perch.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains "perch" .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-perch" .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "perch.selector" -}}
app.kubernetes.io/name: perch
app.kubernetes.io/instance: {{ include "perch.fullname" . }}
{{- end -}}

{{- define "perch.labels" -}}
{{ include "perch.selector" . }}
app.kubernetes.io/part-of: perch
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "perch.metadata" -}}
metadata:
  name: {{ include "perch.fullname" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "perch.labels" . | nindent 4 }}
{{- end -}}

{{- /* Seconds of 5s, 500ms (a whole second), 1m, 1h. */ -}}
{{- define "perch.seconds" -}}
{{- $number := regexFind "^[0-9]+" . | int -}}
{{- if hasSuffix "ms" . -}}{{ div (add $number 999) 1000 }}
{{- else if hasSuffix "m" . -}}{{ mul $number 60 }}
{{- else if hasSuffix "h" . -}}{{ mul $number 3600 }}
{{- else -}}{{ $number }}
{{- end -}}
{{- end -}}

{{- /* The image for GPUs has a tag of its own. */ -}}
{{- define "perch.tag" -}}
{{- $device := (.Values.config.runtime | default dict).device | default "auto" -}}
{{- .Values.image.tag | default (printf "%s%s" .Chart.AppVersion (hasPrefix "cuda" $device | ternary "-gpu" "")) -}}
{{- end -}}
