//! The library that runs models, started for the devices that the configuration names.

use std::sync::Arc;

use perch_models::backend::{Device, Loader};

use super::{Failure, StartLoader};
use crate::config::Config;

/// Starts it, and tries every device that is named: one that was asked for and cannot be used is a reason not to start,
/// rather than to serve nothing. For `auto` it is decided here what that comes to.
pub(super) fn start(start_loader: StartLoader, config: &Config) -> Result<Arc<dyn Loader>, Failure> {
    let devices = devices(config);
    let loader = start_loader(config.runtime.library.as_deref(), &devices).map_err(Failure::Missing)?;
    for device in devices {
        loader.resolve(device).map_err(|error| Failure::Missing(error.to_string()))?;
    }
    Ok(loader)
}

/// Every device that some model computes on, once.
fn devices(config: &Config) -> Vec<Device> {
    let mut devices: Vec<Device> = Vec::new();
    let listed = config.models.iter().map(|model| model.device.unwrap_or(config.runtime.device));
    // Those that are only found have no device of their own.
    let found = config.models.is_empty() || config.registry.select.is_some();
    for device in listed.chain(found.then_some(config.runtime.device)) {
        if !devices.contains(&device) {
            devices.push(device);
        }
    }
    devices
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    fn of(text: &str) -> Vec<Device> {
        let layers = Layers::new().file_text("perch.yaml", text).stateless();
        devices(&Config::load(layers).expect("a right configuration").config)
    }

    #[test]
    fn each_device_that_a_model_computes_on() {
        let registry = "registry: {path: m}\nruntime: {device: cuda}\n";
        assert_eq!(of(registry), [Device::Cuda(0)]);
        let models = "models: [{name: a, device: cpu}, {name: b, device: cpu}, {name: c, device: openvino}]";
        assert_eq!(of(&format!("{registry}{models}")), [Device::Cpu, Device::OpenVino]);
        assert_eq!(of(&format!("{registry}models: [a, {{name: b, device: cpu}}]")), [Device::Cuda(0), Device::Cpu]);
    }
}
