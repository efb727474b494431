# Installs perch with its chart. The caller configures the provider helm for a cluster.

locals {
  gpu   = var.device == "cuda"
  chart = coalesce(var.chart, "${path.module}/../helm/perch")
  # As the chart names things.
  full_name = strcontains(var.name, "perch") ? var.name : "${var.name}-perch"

  config = merge(
    {
      runtime = { device = var.device }
      registry = merge(
        { uri = var.mlflow_uri, rollout = var.rollout },
        { for key, value in { select = { tag = "perch.serve=true" } } : key => value if length(var.models) == 0 },
      )
      # null takes the chart's MinIO away.
      artifacts = { s3Endpoint = var.s3_endpoint }
    },
    { for key, value in { models = [for name in var.models : { name = name }] } : key => value if length(value) > 0 },
  )

  # A pod has a GPU, and a node that has one; there is seldom a free one for a pod more.
  on_gpus = {
    strategy     = { maxUnavailable = 1, maxSurge = 0 }
    nodeSelector = { "nvidia.com/gpu.present" = "true" }
    tolerations  = [{ key = "nvidia.com/gpu", operator = "Exists", effect = "NoSchedule" }]
    resources = {
      requests = { cpu = "2", memory = "4Gi", "nvidia.com/gpu" = "1" }
      limits   = { cpu = "4", memory = "8Gi", "nvidia.com/gpu" = "1" }
    }
  }

  values = merge(
    {
      image       = var.image
      secret      = { name = var.secret_name }
      config      = local.config
      replicas    = var.replicas.min
      autoscaling = { minReplicas = var.replicas.min, maxReplicas = var.replicas.max }
      monitoring  = { enabled = var.monitoring }
    },
    { for key, value in local.on_gpus : key => value if local.gpu },
    { for key, value in { resources = var.resources } : key => value if value != null },
  )
}

resource "helm_release" "perch" {
  name             = var.name
  namespace        = var.namespace
  create_namespace = var.create_namespace
  repository       = var.repository
  chart            = local.chart
  version          = var.chart_version
  values           = concat([yamlencode(local.values)], var.values)

  # Done when pods are ready; what does not get ready is taken back.
  atomic          = true
  wait            = true
  cleanup_on_fail = true
  timeout         = var.timeout_seconds
}
