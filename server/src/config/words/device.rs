//! Words about where and how exactly models compute.

use crate::config::{
    setting::{Setting, text},
    tree::{Kind, Scalar},
};
use perch_models::backend::{Device, Precision};

impl Setting for Device {
    fn parse(scalar: &Scalar) -> Result<Self, String> {
        const EXPECTED: &str = "auto, cpu, cuda, cuda:N or openvino";
        match text(scalar, EXPECTED)? {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "openvino" => Ok(Self::OpenVino),
            other => other
                .strip_prefix("cuda:")
                .filter(|number| number.chars().all(|c| c.is_ascii_digit()))
                .and_then(|number| number.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| scalar.expected(EXPECTED)),
        }
    }

    fn show(&self) -> Scalar {
        Scalar::text(self.to_string())
    }
}

impl Setting for Precision {
    fn parse(scalar: &Scalar) -> Result<Self, String> {
        match scalar.text.as_str() {
            "fp32" => Ok(Self::Fp32),
            "tf32" => Ok(Self::Tf32),
            "bf16" => Ok(Self::Bf16),
            "fp16" => Ok(Self::Fp16),
            _ => Err(scalar.expected("fp32, tf32, bf16 or fp16")),
        }
    }

    fn show(&self) -> Scalar {
        Scalar::text(self.to_string())
    }
}

impl Setting for f64 {
    fn parse(scalar: &Scalar) -> Result<Self, String> {
        let number = match scalar.kind {
            Kind::Number | Kind::Loose => scalar.text.parse().ok(),
            Kind::Text | Kind::Bool => None,
        };
        number.filter(|number: &Self| number.is_finite()).ok_or_else(|| scalar.expected("a number such as 0.999"))
    }

    fn show(&self) -> Scalar {
        Scalar::number(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices() {
        for (text, device, shown) in [
            ("auto", Device::Auto, "auto"),
            ("cpu", Device::Cpu, "cpu"),
            ("cuda", Device::Cuda(0), "cuda:0"),
            ("cuda:1", Device::Cuda(1), "cuda:1"),
            ("openvino", Device::OpenVino, "openvino"),
        ] {
            assert_eq!(Device::parse(&Scalar::text(text)), Ok(device));
            assert_eq!(device.to_string(), shown);
        }
        for text in ["gpu", "cuda:", "cuda:+1", "OpenVINO"] {
            let message = format!("expected auto, cpu, cuda, cuda:N or openvino, got \"{text}\"");
            assert_eq!(Device::parse(&Scalar::text(text)), Err(message));
        }
    }

    #[test]
    fn precisions() {
        for precision in [Precision::Fp32, Precision::Tf32, Precision::Bf16, Precision::Fp16] {
            assert_eq!(Precision::parse(&precision.show()), Ok(precision));
        }
        let message = "expected fp32, tf32, bf16 or fp16, got \"int8\"";
        assert_eq!(Precision::parse(&Scalar::text("int8")), Err(message.to_owned()));
    }

    #[test]
    fn numbers() {
        assert_eq!(f64::parse(&Scalar::number(0.999)), Ok(0.999));
        assert_eq!(f64::parse(&Scalar::loose("1e-3")), Ok(0.001));
        for scalar in [Scalar::text("0.5"), Scalar::loose("NaN"), Scalar::loose("inf"), Scalar::loose("much")] {
            assert!(f64::parse(&scalar).is_err(), "{scalar:?}");
        }
    }
}
