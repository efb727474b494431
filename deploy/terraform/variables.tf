variable "name" {
  description = "The release, which its objects are named after."
  type        = string
  default     = "perch"

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,40}[a-z0-9])?$", var.name))
    error_message = "Lower case letters, digits and dashes, at most 42."
  }
}

variable "namespace" {
  description = "Where it is installed."
  type        = string
  default     = "perch"
}

variable "create_namespace" {
  description = "Whether the namespace is made, where it is not there."
  type        = bool
  default     = true
}

variable "chart" {
  description = "The chart: a folder, or its name in `repository`. By default the one beside this module."
  type        = string
  default     = null
}

variable "repository" {
  description = "The chart's repository, as oci://ghcr.io/OWNER/charts; none for a folder."
  type        = string
  default     = null
}

variable "chart_version" {
  description = "The chart's version in the repository; none for a folder."
  type        = string
  default     = null
}

variable "image" {
  description = "The image. Without a tag it is the chart's appVersion, with -gpu for device cuda."
  type = object({
    repository = optional(string, "perch")
    tag        = optional(string, "")
  })
  default = {}
}

variable "secret_name" {
  description = "A Secret in the namespace with PERCH_ADMIN_TOKEN, PERCH_STATE_URL and the keys of the stores. It is not made here: its values would be in Terraform's state."
  type        = string

  validation {
    condition     = var.secret_name != ""
    error_message = "Without it no pod starts."
  }
}

variable "mlflow_uri" {
  description = "The registry, as http://mlflow.mlflow:5000."
  type        = string

  validation {
    condition     = can(regex("^https?://", var.mlflow_uri))
    error_message = "An address with http:// or https://."
  }
}

variable "s3_endpoint" {
  description = "The store of artifacts where it is not AWS, as http://minio.minio:9000."
  type        = string
  default     = null
}

variable "models" {
  description = "Names of the models to serve. Empty: those that carry the tag perch.serve=true."
  type        = list(string)
  default     = []
}

variable "rollout" {
  description = "How canaries come to all traffic: phased or four-steps."
  type        = string
  default     = "phased"

  validation {
    condition     = contains(["phased", "four-steps"], var.rollout)
    error_message = "phased or four-steps; a policy of your own goes into `values`, as config.registry.rollout."
  }
}

variable "device" {
  description = "Where models compute: cpu, or cuda with a GPU a pod."
  type        = string
  default     = "cpu"

  validation {
    condition     = contains(["cpu", "cuda"], var.device)
    error_message = "cpu or cuda."
  }

  validation {
    condition     = var.device != "cuda" || length(var.models) > 0
    error_message = "What goes to a GPU is named: set models."
  }
}

variable "replicas" {
  description = "The least and the most that the autoscaler runs."
  type = object({
    min = optional(number, 2)
    max = optional(number, 10)
  })
  default = {}

  validation {
    condition     = var.replicas.min >= 1 && var.replicas.max >= var.replicas.min
    error_message = "1 <= min <= max."
  }
}

variable "resources" {
  description = "Requests and limits of a pod, in place of the chart's."
  type = object({
    requests = map(string)
    limits   = map(string)
  })
  default = null
}

variable "monitoring" {
  description = "Whether the Prometheus operator is there, for the ServiceMonitor and the alerts."
  type        = bool
  default     = false
}

variable "values" {
  description = "Further values of the chart, as YAML; they win over what is made from the variables above."
  type        = list(string)
  default     = []
}

variable "timeout_seconds" {
  description = "How long models may take to be loaded and warm, before the release is taken back."
  type        = number
  default     = 900
}
