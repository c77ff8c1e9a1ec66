{{- /* What the names of the release's objects begin with. */ -}}
{{- define "dueby.fullname" -}}
{{ .Values.fullnameOverride | default .Release.Name }}
{{- end }}
{{- define "dueby.labels" -}}
app.kubernetes.io/name: dueby
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}
{{- /* How an image is named: by its digest if there is one, which no registry can answer with anything else. */ -}}
{{- define "dueby.image" -}}
{{ .image.repository }}{{ if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .chart.AppVersion }}{{ end }}
{{- end }}
{{- define "dueby.selector" -}}
app.kubernetes.io/name: dueby
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
