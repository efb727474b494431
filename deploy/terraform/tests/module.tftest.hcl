# What the module tells the chart. The provider is a mock: there is no cluster.
mock_provider "helm" {}

variables {
  secret_name = "perch"
  mlflow_uri  = "http://mlflow.mlflow:5000"
}

run "by_default" {
  command = plan

  assert {
    condition     = yamldecode(helm_release.perch.values[0]).config.registry.select.tag == "perch.serve=true"
    error_message = "Models that carry the tag are served."
  }
  assert {
    condition     = yamldecode(helm_release.perch.values[0]).image.tag == ""
    error_message = "The image is of the chart's version."
  }
  assert {
    condition     = helm_release.perch.atomic && helm_release.perch.wait
    error_message = "What does not get ready is taken back."
  }
  assert {
    condition     = output.url == "http://perch.perch.svc:8000"
    error_message = "The address is that of the chart's Service."
  }
}

run "on_gpus" {
  command = plan

  variables {
    name        = "embed"
    device      = "cuda"
    models      = ["minilm"]
    s3_endpoint = "http://minio.minio:9000"
    replicas    = { min = 1, max = 4 }
  }

  assert {
    condition     = yamldecode(helm_release.perch.values[0]).config.runtime.device == "cuda"
    error_message = "The device is the GPU, and so the chart's image is the one for GPUs."
  }
  assert {
    condition     = yamldecode(helm_release.perch.values[0]).resources.limits["nvidia.com/gpu"] == "1"
    error_message = "A pod has a GPU."
  }
  assert {
    condition     = yamldecode(helm_release.perch.values[0]).config.models == [{ name = "minilm" }]
    error_message = "The models are those that were named."
  }
  assert {
    condition     = output.service == "embed-perch.perch.svc"
    error_message = "The address is that of the chart's Service."
  }
}

run "a_gpu_for_whatever_comes_is_refused" {
  command = plan

  variables {
    device = "cuda"
  }

  expect_failures = [var.device]
}

run "more_at_least_than_at_most_is_refused" {
  command = plan

  variables {
    replicas = { min = 5, max = 2 }
  }

  expect_failures = [var.replicas]
}

run "a_registry_without_an_address_is_refused" {
  command = plan

  variables {
    mlflow_uri = "mlflow:5000"
  }

  expect_failures = [var.mlflow_uri]
}
