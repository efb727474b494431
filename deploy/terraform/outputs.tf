output "release" {
  description = "The release's name and revision."
  value = {
    name     = helm_release.perch.name
    version  = helm_release.perch.version
    revision = try(helm_release.perch.metadata.revision, null)
  }
}

output "service" {
  description = "The Service, by the name that other pods reach it by."
  value       = "${local.full_name}.${var.namespace}.svc"
}

output "url" {
  description = "Where other pods send requests to."
  value       = "http://${local.full_name}.${var.namespace}.svc:8000"
}
